"""ConfigMaps and Secrets that change under running old pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref
from upgrader.model.subjects import Subject, by_ref, subjects

RULES: Mapping[str, str] = {
    "config-in-place": "A ConfigMap or Secret that old pods read changes in place: they may meet the new.",
    "config-removed": "A ConfigMap or Secret that old pods read is deleted: a replaced old pod cannot start.",
}
ONLY_FOR = dict.fromkeys(("config-in-place", "config-removed"), ("rolling",))

_SOURCE = "https://helm.sh/docs/howto/charts_tips_and_tricks/#automatically-roll-deployments"
_DATA = ("data", "binaryData", "stringData")


def check(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each object the old pods of a workload read and the upgrade changes."""
    old, new = by_ref(survey.old.objects), by_ref(survey.new.objects)
    is_compatible = survey.playbook.checks.declare.config_compatible
    declared = "; declared compatible" if is_compatible else ""
    for ref, readers in sorted(_readers(survey).items()):
        live = survey.live.get(ref)
        if live is None:
            continue
        words = f"{ref}, read by {', '.join(readers)}"
        if ref in new and (changed := _changed_keys(live, _planned(survey, new, ref))):
            yield Finding(
                "config-in-place",
                Severity.INFO if is_compatible else Severity.BLOCK,
                f"{words}, changes in place: {', '.join(changed)}{declared}",
                ""
                if is_compatible
                else "name it after its content in the chart (a hash); or, if old pods can read all "
                "of the new ones: checks.declare.config_compatible: true",
                _SOURCE,
            )
        elif ref in old and ref not in new and new:
            yield Finding(
                "config-removed",
                Severity.WARN,
                f"{words}, is not in the new version",
                "keep it for one more version (helm.sh/resource-policy: keep)",
                _SOURCE,
            )


def _readers(survey: Survey) -> dict[Ref, list[str]]:
    found: dict[Ref, list[str]] = {}
    for one in subjects(survey):
        for ref in _read_by(one):
            found.setdefault(ref, []).append(one.ref.name)
    return found


def _read_by(subject: Subject) -> Iterator[Ref]:
    for kind, name in manifests.references(subject.live):
        yield Ref("v1", kind, subject.ref.namespace, name)


def _planned(survey: Survey, new: Mapping[Ref, Manifest], ref: Ref) -> Manifest:
    answer = survey.dry_run.get(ref)
    return answer if isinstance(answer, dict) else new[ref]


def _changed_keys(live: Manifest, planned: Manifest) -> tuple[str, ...]:
    """Name the keys that differ, never their values: they may be secret."""
    before: dict[str, Any] = {key: live.get(key) or {} for key in _DATA}
    after: dict[str, Any] = {key: planned.get(key) or {} for key in _DATA}
    return manifests.changed_paths(before, after)
