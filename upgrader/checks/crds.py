"""Custom resource definitions in the release's templates: Helm changes them, and a rollback does so back.

Those in a chart's ``crds/`` folder never reach Helm's manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref
from upgrader.model.subjects import by_ref

RULES: Mapping[str, str] = {
    "crd-version-lost": "A CRD would lose a version in which objects are stored: the API refuses that.",
    "crd-version-unserved": "A CRD stops serving a version: manifests and clients that use it fail.",
    "crd-removed": "A CRD is not in the new version: Helm deletes it, with every object of its kind.",
}
ONLY_FOR = dict.fromkeys(("crd-removed",), ("rolling",))

_SOURCE = "https://helm.sh/docs/chart_best_practices/custom_resource_definitions/"
_KEEP = "helm.sh/resource-policy"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what the new CRDs would break."""
    old, new = by_ref(survey.old.objects), by_ref(survey.new.objects)
    for ref in sorted({one for one in (*old, *new) if one.kind == "CustomResourceDefinition"}):
        live = survey.live.get(ref)
        if live is None:
            continue
        if ref in new:
            yield from _changed(ref, live, new[ref])
        elif new and (old[ref]["metadata"].get("annotations") or {}).get(_KEEP) != "keep":
            yield Finding(
                "crd-removed",
                Severity.BLOCK,
                f"{ref} is not in the new version",
                f"annotate it {_KEEP}: keep",
                _SOURCE,
            )


def _changed(ref: Ref, live: Manifest, new: Manifest) -> Iterator[Finding]:
    versions = {one["name"]: bool(one.get("served")) for one in new["spec"].get("versions") or ()}
    lost = sorted({*(live.get("status") or {}).get("storedVersions", ())} - versions.keys())
    if lost:
        yield Finding(
            "crd-version-lost",
            Severity.BLOCK,
            f"{ref} stores objects in {', '.join(lost)}, which the new one does not have",
            "migrate the stored objects first",
            "https://github.com/crossplane/crossplane/issues/3859",
        )
    served = {one["name"] for one in live["spec"].get("versions") or () if one.get("served")}
    unserved = sorted(name for name in served if not versions.get(name) and name not in lost)
    if unserved:
        yield Finding(
            "crd-version-unserved",
            Severity.WARN,
            f"{ref} will no longer serve {', '.join(unserved)}",
            "see that no manifest and no client uses it",
            _SOURCE,
        )
