"""How many more pods of a workload each node could take. Pure; an estimate that errs on the side of room.

Looked at: requests against what is free, the number of pods, cordons, taints, node selectors, required node
affinity, required anti-affinity by host, and host ports. Not looked at: topology spread, volumes, priority.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model import manifests
from upgrader.model.ports import Manifest

_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_HOSTNAME = "kubernetes.io/hostname"
_ENDED = ("Succeeded", "Failed")
_BARRING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Node:
    """One node and what runs there.

    Args:
        name: Its name.
        labels: Its labels.
        taints: Those that keep pods off.
        free: Resource → what no pod has asked for.
        pods: Pods on it that have not ended.
        trouble: Why pods on it may go at any moment: cordoned, not ready, a pressure; empty if all is well.
    """

    name: str
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, Any], ...]
    free: Mapping[str, float]
    pods: tuple[Manifest, ...]
    trouble: tuple[str, ...]

    def fits(self, workload: Manifest, *, at_most: int) -> int:
        """Return how many more pods of the workload fit here, 0 to ``at_most``."""
        template = manifests.pod_template(workload)
        spec = template.get("spec") or {}
        if self.trouble or not self._lets_in(spec):
            return 0
        asked = {**manifests.requests(spec), "pods": 1.0}
        room = [self.free.get(name, 0.0) / amount for name, amount in asked.items() if amount > 0]
        fits = min(at_most, *(math.floor(one + 1e-9) for one in room))
        if _is_alone(spec):
            taken = any(_excludes(spec, one) for one in self.pods)
            fits = min(fits, 0 if taken else 1)
        return max(0, fits)

    def _lets_in(self, spec: Mapping[str, Any]) -> bool:
        is_tolerated = all(_tolerates(spec, taint) for taint in self.taints)
        wanted = spec.get("nodeSelector") or {}
        is_wanted = all(self.labels.get(key) == value for key, value in wanted.items())
        return is_tolerated and is_wanted and self._has_affinity(spec)

    def _has_affinity(self, spec: Mapping[str, Any]) -> bool:
        affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
        terms = required.get("nodeSelectorTerms") or ()
        known = [one for one in terms if _is_known(one)]
        return (
            not terms or len(known) < len(terms) or any(manifests.selects(one, self.labels) for one in known)
        )


def nodes_of(nodes: Iterable[Manifest], pods: Iterable[Manifest]) -> tuple[Node, ...]:
    """Put pods on their nodes and work out what is free."""
    placed: dict[str, list[Manifest]] = {}
    for pod in pods:
        if (pod.get("status") or {}).get("phase") not in _ENDED:
            placed.setdefault(str(pod["spec"].get("nodeName") or ""), []).append(pod)
    return tuple(_node(one, tuple(placed.get(one["metadata"]["name"], ()))) for one in nodes)


def _node(node: Manifest, pods: tuple[Manifest, ...]) -> Node:
    status, spec = node.get("status") or {}, node.get("spec") or {}
    free = {name: manifests.quantity(amount) for name, amount in (status.get("allocatable") or {}).items()}
    for pod in pods:
        for name, amount in {**manifests.requests(pod["spec"]), "pods": 1.0}.items():
            free[name] = free.get(name, 0.0) - amount
    taints = tuple(one for one in spec.get("taints") or () if one.get("effect") in _BARRING)
    labels = {_HOSTNAME: node["metadata"]["name"], **manifests.labels_of(node)}
    return Node(node["metadata"]["name"], labels, taints, free, pods, _trouble(spec, status))


def _trouble(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[str, ...]:
    conditions = {one["type"]: one.get("status") for one in status.get("conditions") or ()}
    found = ["cordoned"] if spec.get("unschedulable") else []
    if conditions.get("Ready", "True") != "True":
        found.append("not ready")
    return (*found, *(name for name in _PRESSURES if conditions.get(name) == "True"))


def _tolerates(spec: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    for one in spec.get("tolerations") or ():
        is_effect = one.get("effect") in (None, "", taint.get("effect"))
        is_key = one.get("key") in (None, "", taint.get("key"))
        is_value = one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", "")
        if is_effect and is_key and is_value:
            return True
    return False


def _is_known(term: Mapping[str, Any]) -> bool:
    operators = {one.get("operator") for one in term.get("matchExpressions") or ()}
    return operators <= {"In", "NotIn", "Exists", "DoesNotExist"} and not term.get("matchFields")


def _is_alone(spec: Mapping[str, Any]) -> bool:
    """Tell whether two such pods can't be on one node."""
    return bool(_host_ports(spec) or _anti_selectors(spec))


def _excludes(spec: Mapping[str, Any], pod: Manifest) -> bool:
    if _host_ports(spec) & _host_ports(pod["spec"]):
        return True
    return any(manifests.selects(one, manifests.labels_of(pod)) for one in _anti_selectors(spec))


def _host_ports(spec: Mapping[str, Any]) -> set[int]:
    ports = [one for container in spec.get("containers") or () for one in container.get("ports") or ()]
    if spec.get("hostNetwork"):
        return {int(one["containerPort"]) for one in ports}
    return {int(one["hostPort"]) for one in ports if one.get("hostPort")}


def _anti_selectors(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rules = (spec.get("affinity") or {}).get("podAntiAffinity") or {}
    required = rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return [one.get("labelSelector") or {} for one in required if one.get("topologyKey") == _HOSTNAME]
