"""Custom resource definitions of the chart, beside the live ones of the same names.

Helm changes those among the templates, and a rollback does so back; those in ``crds/`` it sends at the first
install and never again.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from upgrader.model import definitions
from upgrader.model.definitions import Change
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest
from upgrader.model.subjects import by_ref

RULES: Mapping[str, str] = {
    "crd-version-lost": "A CRD would lose a version in which objects are stored: the API refuses that.",
    "crd-version-unserved": "A CRD stops serving a version: manifests and clients that use it fail.",
    "crd-identity": "A CRD would change its group, scope or names: the API refuses that.",
    "crd-storage-moves": "A CRD will store objects in another version: the way back keeps the new CRD.",
    "crd-not-updated": "A CRD of the chart's crds/ is missing or differs: Helm will not write it.",
    "crd-removed": "A CRD is not among the new templates: Helm deletes it, with every object of its kind.",
}
ONLY_FOR = dict.fromkeys(("crd-removed", "crd-not-updated"), ("rolling",))

_SOURCE = "https://helm.sh/docs/chart_best_practices/custom_resource_definitions/"
_VERSIONING = "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/"
_KEEP = "helm.sh/resource-policy"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what the new CRDs would break, and which of them nobody would write."""
    for change in definitions.changes(survey):
        yield from _lost(change)
        yield from _unserved(survey, change)
        yield from _identity(change)
        yield from _storage(change)
    yield from _not_updated(survey)
    yield from _removed(survey)


def _lost(change: Change) -> Iterator[Finding]:
    lost = sorted(definitions.stored(change.live) - definitions.versions(change.new).keys())
    if lost:
        yield Finding(
            "crd-version-lost",
            Severity.BLOCK,
            f"{change.ref} stores objects in {', '.join(lost)}, which the new one does not have",
            "write each object once more in a version that stays, then take the old one out of "
            "status.storedVersions",
            "https://github.com/crossplane/crossplane/issues/3859",
        )


def _unserved(survey: Survey, change: Change) -> Iterator[Finding]:
    gone = definitions.served(change.live) - definitions.served(change.new)
    for version in sorted(gone):
        users = list(dict.fromkeys(_users(survey, change, version)))
        used = f"; {', '.join(users[:_SHOWN])} used it" if users else ""
        yield Finding(
            "crd-version-unserved",
            Severity.BLOCK if users else Severity.WARN,
            f"{change.ref} will no longer serve {version}{used}",
            "move manifests and clients to a version that stays; see that nobody uses it",
            _VERSIONING,
        )


_SHOWN = 5


def _users(survey: Survey, change: Change, version: str) -> Iterator[str]:
    """Yield who is known to use a version: managers of live objects, and the release's own manifests."""
    spec = change.live["spec"]
    wanted = f"{spec.get('group')}/{version}"
    for one in survey.custom.get(change.ref.name, ()):
        for entry in one["metadata"].get("managedFields") or ():
            if entry.get("apiVersion") == wanted:
                yield f"manager {entry.get('manager')}"
    for words, rendered in ((f"revision {survey.known_good}", survey.old), ("the new version", survey.new)):
        if any(_is_of(one, wanted, spec["names"]["kind"]) for one in rendered.objects):
            yield words


def _is_of(manifest: Manifest, api_version: str, kind: str) -> bool:
    return (manifest.get("apiVersion"), manifest.get("kind")) == (api_version, kind)


def _identity(change: Change) -> Iterator[Finding]:
    was, will = _names(change.live), _names(change.new)
    changed = [f"{key} {was[key]} → {will[key]}" for key in was if was[key] != will[key]]
    if changed:
        yield Finding(
            "crd-identity",
            Severity.BLOCK,
            f"{change.ref}: {', '.join(changed)}",
            "such a change is another CRD: bring it under a new name and move the objects",
            _VERSIONING,
        )


def _names(definition: Manifest) -> dict[str, str]:
    spec = definition["spec"]
    names = spec.get("names") or {}
    found = {"group": spec.get("group"), "scope": spec.get("scope")}
    found |= {f"names.{key}": names.get(key) for key in ("plural", "kind")}
    return {key: str(value) for key, value in found.items()}


def _storage(change: Change) -> Iterator[Finding]:
    was, will = definitions.storage(change.live), definitions.storage(change.new)
    if was != will:
        yield Finding(
            "crd-storage-moves",
            Severity.WARN,
            f"{change.ref} stores objects in {will} instead of {was}: the way back keeps the new CRDs",
            "see that the old version runs with the new CRD, before there is need to",
            "https://github.com/crossplane/crossplane/issues/6148",
        )


def _not_updated(survey: Survey) -> Iterator[Finding]:
    missing = frozenset(definitions.absent(survey))
    for name in definitions.to_apply(survey):
        words = "is not in the cluster" if name in missing else "differs from the live one"
        yield Finding(
            "crd-not-updated",
            Severity.BLOCK,
            f"CustomResourceDefinition {name} of the chart's crds/ {words}, and Helm does not write it at an "
            "upgrade",
            f"apply them first: {apply_command(survey)}",
            "https://github.com/helm/helm/issues/8972",
        )


def apply_command(survey: Survey) -> str:
    """Return the command that applies the ``crds/`` of the playbook's chart, as an operator would type it.

    Helm 3 prints them without separators (``helm show crds``), so there the files are taken one by one.
    """
    source, context = survey.playbook.release.chart, survey.playbook.context
    ref = source.at(source.to_version)
    kubectl = ["kubectl", *(["--context", context] if context else []), "apply", "--server-side"]
    apply = f"{shlex.join(kubectl)} --force-conflicts -f"
    chart = shlex.join(_chart(ref, source.to_version))
    if survey.helm_version.startswith("v4."):
        return f"helm show crds {chart} | {apply} -"
    if source.is_local and not ref.endswith(".tgz"):
        folder, fetch = shlex.quote(ref), ""
    else:
        folder, fetch = "new-chart", f"helm pull {chart} --untar --untardir new-chart && "
    if source.is_local and fetch:
        fetch = f"mkdir new-chart && tar xzf {chart} -C new-chart && "
    return f"{fetch}find {folder} -path '*/crds/*' -name '*.y*ml' -exec {apply} {{}} \\;"


def _chart(ref: str, version: str) -> list[str]:
    scheme, separator, _ = ref.partition("://")
    if not separator or ref.endswith(".tgz"):
        return [ref]
    if scheme == "oci":
        return [ref, "--version", version]
    repository, _, name = ref.rstrip("/").rpartition("/")
    return [name, "--repo", repository, "--version", version]


def _removed(survey: Survey) -> Iterator[Finding]:
    """Yield the templated CRDs that the new version has no more; moved to ``crds/``, Helm deletes it, too."""
    new = by_ref(survey.new.objects)
    for ref, one in by_ref(survey.old.objects).items():
        is_gone = definitions.is_definition(one) and new and ref not in new and ref in survey.live
        if is_gone and (one["metadata"].get("annotations") or {}).get(_KEEP) != "keep":
            yield Finding(
                "crd-removed",
                Severity.BLOCK,
                f"{ref} is not among the new version's templates",
                f"annotate it {_KEEP}: keep",
                _SOURCE,
            )
