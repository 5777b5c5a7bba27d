"""Disruption budgets: they do not limit a rollout; they keep node drains from taking pods away during it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref
from upgrader.model.subjects import Subject, nearby, on_data_path, subjects

RULES: Mapping[str, str] = {
    "pdb-missing": "No PodDisruptionBudget covers a data-plane Deployment: a node drain may take all pods.",
    "pdb-too-strict": "A PodDisruptionBudget allows no pod to go, ever: node drains hang.",
    "pdb-exhausted": "A PodDisruptionBudget allows no disruption right now.",
    "pdb-double": "Two PodDisruptionBudgets cover the same pods: evictions of these are refused outright.",
    "pdb-selects-nothing": "A PodDisruptionBudget of the release selects no pod of a workload under upgrade.",
}

_SOURCE = "https://kubernetes.io/docs/tasks/run-application/configure-pdb/"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what is wrong with the budgets of data-plane Deployments and of the release."""
    for one in on_data_path(survey):
        yield from _covering(one, [pdb for pdb in _budgets(survey) if _covers(pdb, one)])
    rendered = {Ref.of(one) for one in survey.old.objects}
    for pdb in _budgets(survey):
        if Ref.of(pdb) in rendered and not any(_covers(pdb, one) for one in subjects(survey)):
            yield Finding(
                "pdb-selects-nothing",
                Severity.WARN,
                f"{Ref.of(pdb)} selects no pod of a Deployment under upgrade",
                "correct its selector in the values",
                _SOURCE,
            )


def _budgets(survey: Survey) -> tuple[Manifest, ...]:
    return nearby(survey, "PodDisruptionBudget")


def _covers(pdb: Manifest, subject: Subject) -> bool:
    selector = (pdb.get("spec") or {}).get("selector") or {}
    is_near = pdb["metadata"].get("namespace") == subject.ref.namespace
    return is_near and manifests.selects(selector, manifests.labels_of(manifests.pod_template(subject.live)))


def _covering(subject: Subject, budgets: list[Manifest]) -> Iterator[Finding]:
    if not budgets and subject.replicas >= 2:
        yield Finding(
            "pdb-missing",
            Severity.WARN,
            f"no PodDisruptionBudget covers {subject.ref} ({subject.replicas} pods)",
            "add one with maxUnavailable 1",
            _SOURCE,
        )
    if len(budgets) > 1:
        names = ", ".join(pdb["metadata"]["name"] for pdb in budgets)
        yield Finding(
            "pdb-double", Severity.WARN, f"{names} all cover {subject.ref}", "keep one of them", _SOURCE
        )
    for pdb in budgets:
        allowed = (pdb.get("status") or {}).get("disruptionsAllowed")
        if _spare(pdb, subject.replicas) < 1:
            yield Finding(
                "pdb-too-strict",
                Severity.BLOCK,
                f"{Ref.of(pdb)} ({_rule(pdb)}) leaves none of {subject.replicas} pods of {subject.ref} to go",
                "lower minAvailable below the number of pods, or use maxUnavailable 1",
                _SOURCE,
            )
        elif allowed == 0:
            yield Finding(
                "pdb-exhausted",
                Severity.WARN,
                f"{Ref.of(pdb)} allows 0 disruptions now",
                "see which pods are not ready",
                _SOURCE,
            )


def _spare(pdb: Manifest, replicas: int) -> int:
    spec = pdb.get("spec") or {}
    if spec.get("maxUnavailable") is not None:
        return manifests.pods_of(spec["maxUnavailable"], replicas, round_up=True)
    return replicas - manifests.pods_of(spec.get("minAvailable", 1), replicas, round_up=True)


def _rule(pdb: Manifest) -> str:
    spec = pdb.get("spec") or {}
    return ", ".join(f"{key} {spec[key]}" for key in ("minAvailable", "maxUnavailable") if key in spec)
