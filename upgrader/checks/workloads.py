"""Which workloads are under upgrade, and are they at rest?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Ref
from upgrader.model.subjects import Subject, by_ref, is_locked, serves, subjects

RULES: Mapping[str, str] = {
    "selector-empty": "The selector of a group matches no Deployment.",
    "service-missing": "The Service a group names does not exist.",
    "service-selects-nothing": "The Service a group names sends traffic to no Deployment under upgrade.",
    "data-path-unknown": "No Service is known that brings traffic: no batch would be gated.",
    "dependent-workload": "A Deployment in no manifest serves the gateway's Service: it is batched too.",
    "workload-removed": "A Deployment under upgrade is not in the new version: Helm deletes it at once.",
    "workload-paused": "A Deployment is paused already, by somebody or by an unfinished run.",
    "workload-unsettled": "A Deployment is not whole: a rollout is in flight, or pods are not available.",
}
ONLY_FOR = dict.fromkeys(("workload-removed", "dependent-workload"), ("rolling",))


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what is odd about groups, Services and Deployments before the run."""
    yield from _groups(survey)
    found = subjects(survey)
    if found and not any(one.service for one in found):
        yield Finding(
            "data-path-unknown",
            Severity.BLOCK,
            f"no Service of a group sends traffic to {', '.join(one.ref.name for one in found)}",
            "name it: workloads.GROUP.service",
        )
    held = by_ref(survey.new.objects)
    for one in found:
        if one.is_dependent:
            yield Finding(
                "dependent-workload",
                Severity.INFO,
                f"{one.ref} is in no manifest and serves {_service(one)}: a controller makes it",
                "nothing: it is paused, batched and brought back with the others",
            )
        elif one.ref not in held and not is_locked(survey):
            yield Finding(
                "workload-removed",
                Severity.BLOCK,
                f"{one.ref} ({one.replicas} pods) is not in the new version",
                "Helm would delete all its pods at once; move traffic away from it before",
            )
        yield from _at_rest(one)


def _groups(survey: Survey) -> Iterator[Finding]:
    for group, wanted in survey.playbook.release.workloads.items():
        if group not in survey.groups.values():
            yield Finding(
                "selector-empty",
                Severity.BLOCK,
                f"workloads.{group}: no Deployment has the labels {wanted.selector}",
                "correct the selector (`kubectl get deployments --show-labels`) or take the group out",
            )
        if wanted.service is None:
            continue
        if group not in survey.services:
            yield Finding(
                "service-missing",
                Severity.BLOCK,
                f"workloads.{group}: there is no Service {wanted.service}",
                "correct workloads.GROUP.service",
            )
        elif not any(serves(survey.services[group], one.live) for one in subjects(survey)):
            yield Finding(
                "service-selects-nothing",
                Severity.BLOCK,
                f"workloads.{group}: Service {wanted.service} selects no pods of a Deployment under upgrade",
                "correct the selector of the group or the Service it names",
            )


def _service(subject: Subject) -> Ref | str:
    return Ref.of(subject.service) if subject.service else "a Service"


def _at_rest(subject: Subject) -> Iterator[Finding]:
    spec, status = subject.live.get("spec") or {}, subject.live.get("status") or {}
    if spec.get("paused"):
        yield Finding(
            "workload-paused",
            Severity.BLOCK,
            f"{subject.ref} is paused",
            "`upgrader status` says whether a run left it so; else "
            f"`kubectl rollout resume deployment/{subject.ref.name} --namespace {subject.ref.namespace}`",
        )
    generation = int(subject.live["metadata"].get("generation") or 0)
    observed = int(status.get("observedGeneration") or 0)
    numbers = {
        name: int(status.get(name) or 0) for name in ("replicas", "updatedReplicas", "availableReplicas")
    }
    is_whole = observed >= generation and all(number == subject.replicas for number in numbers.values())
    if not is_whole:
        said = ", ".join(f"{name} {number}" for name, number in numbers.items())
        yield Finding(
            "workload-unsettled",
            Severity.BLOCK,
            f"{subject.ref} wants {subject.replicas}, has {said} (generation {generation}, seen {observed})",
            "wait until it is whole, or repair it: an upgrade never starts from red",
        )
