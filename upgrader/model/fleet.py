"""The gateway's pods and workloads at one moment, old and new told apart; built from what a watch holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from upgrader.model.ports import Manifest, Ref

POD_HASH_LABEL = "pod-template-hash"
"""Set by the Deployment controller on ReplicaSets and their pods (Kubernetes docs, Deployments)."""


class Side(StrEnum):
    """Which version a pod runs."""

    OLD = "old"
    """Made from a pod template that was live when the run was planned."""
    NEW = "new"
    """Made from any other."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod as last seen.

    Args:
        name: Its name.
        namespace: Its namespace.
        uid: Its uid: what counters are kept under.
        address: Its IP; empty until it has one.
        workload: The Deployment it belongs to.
        group: The playbook's group of that Deployment; empty for a dependent one found by its Service.
        side: Old or new.
        ready: Its Ready condition.
        terminating: It has a deletion time.
        restarts: Restarts of its containers together, init containers included.
        waiting: Why a container waits (``CrashLoopBackOff``, ``ErrImagePull`` …), or the empty text.
        images: The images of its containers.
        ready_at: When it turned Ready, as the API writes it; empty if it is not.
        created_at: When it was created, as the API writes it.
        gates: Each of its readiness gates that is True → the reason given: a gate may open without proof.
        tier: Which release of the playbook it belongs to, from 0.
    """

    name: str
    namespace: str
    uid: str
    address: str
    workload: str
    group: str
    side: Side
    ready: bool
    terminating: bool
    restarts: int
    waiting: str
    images: tuple[str, ...]
    ready_at: str = ""
    created_at: str = ""
    gates: Mapping[str, str] = field(default_factory=dict, hash=False)
    tier: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """One Deployment as last seen; the numbers are pods.

    Args:
        ref: Its name.
        group: The playbook's group; empty for a dependent one.
        replicas: Wanted (``spec.replicas``).
        total: Existing, old and new (``status.replicas``).
        updated: Of the newest template (``status.updatedReplicas``).
        available: ``status.availableReplicas``.
        paused: ``spec.paused``.
        generation: ``metadata.generation``.
        observed: ``status.observedGeneration``; the status is stale while it is smaller.
        max_surge: ``spec.strategy.rollingUpdate.maxSurge`` as live (number or percentage text).
        max_unavailable: ``…maxUnavailable`` as live.
        min_ready: ``spec.minReadySeconds`` as live.
        progress_deadline: ``spec.progressDeadlineSeconds`` as live; the API's default is 600.
        wanted_new: Pods the ReplicaSets of new templates shall have; moves before any pod exists.
        wanted_old: The same for old templates.
        template: Digest of the live pod template; it changes before a paused Deployment makes a ReplicaSet.
        progress_deadline_exceeded: The Progressing condition says so.
        tier: Which release of the playbook it belongs to, from 0.
    """

    ref: Ref
    group: str
    replicas: int
    total: int
    updated: int
    available: int
    paused: bool
    generation: int
    observed: int
    max_surge: int | str
    max_unavailable: int | str
    min_ready: int = 0
    progress_deadline: int = 600
    wanted_new: int = 0
    wanted_old: int = 0
    template: str = ""
    progress_deadline_exceeded: bool = False
    tier: int = 0


@dataclass(frozen=True, slots=True)
class Fleet:
    """All workloads under upgrade, and their pods.

    Where a playbook has several releases, signals and steps are given the gateway as `of_tier` cuts it: the
    workloads and pods of the one tier that is being upgraded, for old and new are compared within a tier.

    Args:
        workloads: In the order of the playbook's groups, dependents last.
        pods: All pods of these, terminating ones included.
        age_seconds: How old this picture may be; 0 while the watch is connected.
        error: Why it is old, or the empty text.
        new_ratio: The share of requests a balancer is set to give the new version, 0-1; ``None`` where nobody
            sets one, so that traffic follows the number of pods, or where it is not known.
        tier: The tier it was cut to, from 0. Who remembers what pods counted begins anew when it changes.
        others: The pods of all other tiers: not compared, yet facts may be told of them.
    """

    workloads: tuple[Workload, ...]
    pods: tuple[Pod, ...]
    age_seconds: float = 0.0
    error: str = ""
    new_ratio: float | None = None
    tier: int = 0
    others: tuple[Pod, ...] = ()

    @property
    def everywhere(self) -> tuple[Pod, ...]:
        """Return the pods of all tiers."""
        return (*self.pods, *self.others)

    def of_tier(self, tier: int) -> Fleet:
        """Return the gateway cut to one tier, where names are unambiguous; the other tiers' pods stand apart.

        It is to be asked of the whole gateway: workloads of other tiers are gone afterwards.
        """
        return replace(
            self,
            workloads=tuple(one for one in self.workloads if one.tier == tier),
            pods=tuple(pod for pod in self.everywhere if pod.tier == tier),
            tier=tier,
            others=tuple(pod for pod in self.everywhere if pod.tier != tier),
        )

    def workload(self, name: str) -> Workload | None:
        """Return the workload of that name, or ``None``."""
        return next((w for w in self.workloads if w.ref.name == name), None)

    def of_group(self, group: str) -> tuple[Pod, ...]:
        """Return the pods of one group."""
        return tuple(pod for pod in self.pods if pod.group == group)

    def of_side(self, side: Side, *, workload: str = "") -> tuple[Pod, ...]:
        """Return the pods of one side, of one workload if named."""
        return tuple(pod for pod in self.pods if pod.side is side and workload in ("", pod.workload))


@dataclass(frozen=True, slots=True)
class Members:
    """Which workloads are under upgrade, and what was old when the run was planned.

    Args:
        groups: Deployment name → the playbook's group (empty for a dependent one), in order.
        old_hashes: Deployment name → the pod-template-hashes that count as old.
        tier: Which release of the playbook it is, from 0.
    """

    groups: Mapping[str, str]
    old_hashes: Mapping[str, frozenset[str]]
    tier: int = 0


def fleet_of(
    objects: Iterable[Manifest], members: Members, *, age_seconds: float = 0.0, error: str = ""
) -> Fleet:
    """Build the picture from watched Deployments, ReplicaSets and Pods; foreign objects are passed over."""
    by_kind: dict[str, list[Manifest]] = {"Deployment": [], "ReplicaSet": [], "Pod": []}
    for one in objects:
        if one.get("kind") in by_kind:
            by_kind[one["kind"]].append(one)
    owners = {rs["metadata"]["name"]: _owner(rs) for rs in by_kind["ReplicaSet"]}
    live = {one["metadata"]["name"]: one for one in by_kind["Deployment"]}
    workloads = tuple(
        _workload(live[name], members, _wanted(by_kind["ReplicaSet"], name, members))
        for name in members.groups
        if name in live
    )
    pods = tuple(
        _pod(pod, workload, members)
        for pod in by_kind["Pod"]
        if (workload := owners.get(_owner(pod), "")) in members.groups
    )
    return Fleet(workloads, pods, age_seconds, error)


def joined(*parts: Fleet) -> Fleet:
    """Return the gateway that stands in several places; what one of them does not know is not known."""
    return Fleet(
        tuple(one for part in parts for one in part.workloads),
        tuple(pod for part in parts for pod in part.pods),
        max((part.age_seconds for part in parts), default=0.0),
        next((part.error for part in parts if part.error), ""),
    )


def current_hashes(objects: Iterable[Manifest], deployment: str) -> frozenset[str]:
    """Return the pod-template-hashes of a Deployment's newest ReplicaSet and of every one that has pods."""
    mine = [one for one in objects if one.get("kind") == "ReplicaSet" and _owner(one) == deployment]
    newest = max(mine, key=_revision, default=None)
    kept = [one for one in mine if one is newest or one.get("spec", {}).get("replicas")]
    return frozenset(one["metadata"]["labels"][POD_HASH_LABEL] for one in kept)


def _revision(replica_set: Manifest) -> int:
    return int(replica_set["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", 0))


def _owner(one: Manifest) -> str:
    owners = one["metadata"].get("ownerReferences") or ()
    return next((str(o["name"]) for o in owners if o.get("controller")), "")


def template_digest(deployment: Manifest) -> str:
    """Return a digest of a Deployment's live pod template."""
    template = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return hashlib.sha256(template.encode()).hexdigest()[:16]


def _wanted(replica_sets: Iterable[Manifest], deployment: str, members: Members) -> dict[Side, int]:
    wanted = {Side.NEW: 0, Side.OLD: 0}
    old = members.old_hashes.get(deployment, frozenset())
    for one in replica_sets:
        if _owner(one) == deployment:
            side = Side.OLD if one["metadata"]["labels"][POD_HASH_LABEL] in old else Side.NEW
            wanted[side] += int(one["spec"].get("replicas") or 0)
    return wanted


def _workload(live: Manifest, members: Members, wanted: Mapping[Side, int]) -> Workload:
    spec, status = live["spec"], live.get("status") or {}
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    return Workload(
        ref=Ref.of(live),
        group=members.groups[live["metadata"]["name"]],
        replicas=int(spec.get("replicas", 1)),
        total=int(status.get("replicas") or 0),
        updated=int(status.get("updatedReplicas") or 0),
        available=int(status.get("availableReplicas") or 0),
        paused=bool(spec.get("paused")),
        generation=int(live["metadata"].get("generation") or 0),
        observed=int(status.get("observedGeneration") or 0),
        max_surge=rolling.get("maxSurge", "25%"),
        max_unavailable=rolling.get("maxUnavailable", "25%"),
        min_ready=int(spec.get("minReadySeconds") or 0),
        progress_deadline=int(spec.get("progressDeadlineSeconds") or 600),
        wanted_new=wanted[Side.NEW],
        wanted_old=wanted[Side.OLD],
        template=template_digest(live),
        progress_deadline_exceeded=(conditions.get("Progressing") or {}).get("reason")
        == "ProgressDeadlineExceeded",
        tier=members.tier,
    )


def _pod(pod: Manifest, workload: str, members: Members) -> Pod:
    metadata, status = pod["metadata"], pod.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    ready: Mapping[str, Any] = conditions.get("Ready", {})
    is_old = metadata.get("labels", {}).get(POD_HASH_LABEL) in members.old_hashes.get(workload, frozenset())
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    is_ready = ready.get("status") == "True"
    return Pod(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        address=status.get("podIP") or "",
        workload=workload,
        group=members.groups[workload],
        side=Side.OLD if is_old else Side.NEW,
        ready=is_ready,
        terminating=bool(metadata.get("deletionTimestamp")),
        restarts=sum(int(c.get("restartCount") or 0) for c in containers),
        waiting=next((r for c in containers if (r := _waiting(c))), ""),
        images=tuple(c["image"] for c in pod["spec"]["containers"]),
        ready_at=str(ready.get("lastTransitionTime") or "") if is_ready else "",
        created_at=str(metadata.get("creationTimestamp") or ""),
        gates=_open_gates(pod["spec"].get("readinessGates") or (), conditions),
        tier=members.tier,
    )


def _open_gates(
    gates: Iterable[Mapping[str, Any]], conditions: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    said = {str(one["conditionType"]): conditions.get(one["conditionType"], {}) for one in gates}
    return {name: str(one.get("reason") or "") for name, one in said.items() if one.get("status") == "True"}


def _waiting(container: Mapping[str, Any]) -> str:
    return str(((container.get("state") or {}).get("waiting") or {}).get("reason") or "")
