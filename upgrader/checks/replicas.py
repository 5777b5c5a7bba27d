"""Enough pods, and as many after Helm's patch as before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref
from upgrader.model.subjects import Subject, by_ref, subjects

RULES: Mapping[str, str] = {
    "replicas-one": "A data-plane Deployment has fewer than two pods: any mishap is an outage.",
    "control-plane-one": "A Deployment off the data path has one pod: no new configuration meanwhile.",
    "replicas-cut": "The chart renders fewer replicas than are live: capacity is cut at once, paused or not.",
    "replicas-grown": "The chart renders more replicas than are live: it grows before the first batch.",
    "replicas-cut-back": "The known-good revision renders fewer replicas than are live: a rollback cuts.",
    "replicas-unset": "The old version renders replicas and the new one does not: the field falls back to 1.",
}
ONLY_FOR = dict.fromkeys(
    ("replicas-cut", "replicas-grown", "replicas-cut-back", "replicas-unset"), ("rolling",)
)

_SOURCE = "https://github.com/helm/helm/issues/7090"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what the numbers of pods would do to capacity."""
    old, new = by_ref(survey.old.objects), by_ref(survey.new.objects)
    for one in subjects(survey):
        yield from _few(one)
        if one.ref in new:
            planned = _planned_replicas(survey, one, new)
            is_falling = planned is None or planned < one.replicas or survey.apply_method == "csa"
            is_unset = is_falling and _is_unset(one.ref, old, new)
            yield from _rendered(one, planned, is_unset=is_unset)
        if one.ref in old:
            yield from _way_back(survey, one, old)


def _few(subject: Subject) -> Iterator[Finding]:
    if subject.replicas >= 2:
        return
    words = f"{subject.ref} has {subject.replicas} replicas"
    if subject.service:
        yield Finding(
            "replicas-one",
            Severity.BLOCK,
            words,
            "scale it to 2 or more in the values, and let that settle first",
            "https://github.com/traefik/traefik-helm-chart/issues/540",
        )
    else:
        yield Finding(
            "control-plane-one",
            Severity.WARN,
            f"{words}: nobody stands in for it while it is replaced",
            "2 with leader election is better, where it can do that",
        )


def _planned_replicas(survey: Survey, subject: Subject, new: Mapping[Ref, Manifest]) -> int | None:
    """Return what the API server answered, else what is rendered; ``None`` where nothing sets it."""
    answer = survey.dry_run.get(subject.ref)
    return manifests.replicas(answer if isinstance(answer, dict) else new[subject.ref])


def _is_unset(ref: Ref, old: Mapping[Ref, Manifest], new: Mapping[Ref, Manifest]) -> bool:
    return ref in old and manifests.replicas(old[ref]) is not None and manifests.replicas(new[ref]) is None


def _rendered(subject: Subject, planned: int | None, *, is_unset: bool) -> Iterator[Finding]:
    live = subject.replicas
    if is_unset and live > 1:
        yield Finding(
            "replicas-unset",
            Severity.BLOCK,
            f"{subject.ref} has {live} replicas, the old version sets the field and the new one does not",
            "keep it at the live number for this step; take it away in a step of its own",
            "https://github.com/helm/helm/issues/12650",
        )
    elif planned is not None and planned < live:
        yield Finding(
            "replicas-cut",
            Severity.BLOCK,
            f"{subject.ref} has {live} replicas and the new version renders {planned}",
            f"set {live} in the values, or have the chart leave replicas out",
            _SOURCE,
        )
    elif planned is not None and planned > live:
        yield Finding(
            "replicas-grown",
            Severity.WARN,
            f"{subject.ref} has {live} replicas and the new version renders {planned}",
            f"set {live} in the values to have one change at a time",
            _SOURCE,
        )


def _way_back(survey: Survey, subject: Subject, old: Mapping[Ref, Manifest]) -> Iterator[Finding]:
    answer = survey.dry_run_back.get(subject.ref)
    wanted = manifests.replicas(answer if isinstance(answer, dict) else old[subject.ref])
    if wanted is not None and wanted < subject.replicas:
        yield Finding(
            "replicas-cut-back",
            Severity.BLOCK,
            f"{subject.ref} has {subject.replicas} replicas, revision {survey.known_good} renders {wanted}: "
            "a rollback would cut capacity at once",
            f"run `helm upgrade` of the old chart with {subject.replicas} in the values first",
            _SOURCE,
        )
