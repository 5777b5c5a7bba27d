"""Is there room for the pods of surge?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model.nodes import Node, nodes_of
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest
from upgrader.model.subjects import Subject, nearby, subjects

RULES: Mapping[str, str] = {
    "surge-room": "No node has room for one more pod, or not for as many as a batch may make at once.",
    "surge-room-unknown": "Nodes could not be listed: nobody knows whether a pod of surge fits.",
    "node-unwell": "A node that runs pods under upgrade is cordoned, not ready or under pressure.",
}
ONLY_FOR = dict.fromkeys(("surge-room", "surge-room-unknown"), ("rolling",))

_SOURCE = "https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what stands against the pods of surge."""
    found = nodes_of(nearby(survey, "Node"), nearby(survey, "Pod"))
    if not found:
        yield Finding(
            "surge-room-unknown",
            Severity.WARN,
            "no node could be listed",
            "grant list Nodes, or look yourself",
            _SOURCE,
        )
        return
    for one in subjects(survey):
        yield from _room(one, found)
    yield from _unwell(survey, found)


def _room(subject: Subject, found: tuple[Node, ...]) -> Iterator[Finding]:
    wanted = max(1, subject.rollout.surge if subject.rollout else 1)
    fits = sum(node.fits(subject.planned, at_most=wanted) for node in found)
    if fits < wanted:
        yield Finding(
            "surge-room",
            Severity.WARN if fits else Severity.BLOCK,
            f"{subject.ref}: {fits} pods of surge fit, up to {wanted} may be made at once",
            "add a node, lower requests, or smaller batches" if fits else "add a node, or lower requests",
            _SOURCE,
        )


def _unwell(survey: Survey, found: tuple[Node, ...]) -> Iterator[Finding]:
    namespaces = {(one.ref.namespace, one.ref.name) for one in subjects(survey)}
    for node in found:
        if node.trouble and any(_is_under_upgrade(survey, pod, namespaces) for pod in node.pods):
            yield Finding(
                "node-unwell",
                Severity.WARN,
                f"node {node.name}: {', '.join(node.trouble)}",
                "let the node be repaired or drained first: its pods may go at any moment",
                "https://github.com/kgateway-dev/kgateway/issues/9036",
            )


def _is_under_upgrade(survey: Survey, pod: Manifest, names: set[tuple[str, str]]) -> bool:
    namespace = pod["metadata"].get("namespace", "")
    owners = {
        one["metadata"]["name"]: next((o["name"] for o in one["metadata"].get("ownerReferences") or ()), "")
        for one in nearby(survey, "ReplicaSet")
    }
    above = (owners.get(o["name"], "") for o in pod["metadata"].get("ownerReferences") or ())
    return any((namespace, name) in names for name in above)
