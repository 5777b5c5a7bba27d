"""The arithmetic of exact batches on a real Deployment controller. Pure.

A paused Deployment is not frozen, and pausing alone is not exact: unpaused with the chart's surge of
25 %, the controller makes surge and unavailable pods at once, long before anyone can pause it. Exact is:
``maxUnavailable: 0`` and a ``maxSurge`` never above what is left of the batch, lowered whenever less is
left; at the target, paused with ``maxSurge`` equal to the surplus that exists, in one patch. (Measured on
Kubernetes 1.37.2 with 20 replicas, 2026-11; the controller's ``scale`` and ``reconcileNewReplicaSet``.)

Nor may the patch come late: once a new pod is available, an old one goes and the next new one is made. So
from the first batch to the last but one, ``minReadySeconds`` holds each new pod back from counting as
available for longer than any two looks are apart. It stays through the pauses: taken back and set anew, it
would have pods that count already count no more, and ``availableReplicas`` dip below ``replicas``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from upgrader.model.fleet import Fleet, Side, Workload

GUARD_SECONDS: Final = 10
"""How long a new pod must be Ready before the controller goes on, until the last batch. Two looks were seen
1.4 s apart on a machine with too much to do; a process that was killed is not stopped, but slowed."""


@dataclass(frozen=True, slots=True)
class ChartRoll:
    """What a chart says of how its Deployment rolls.

    Args:
        surge: Most pods it allows on top, at least 1.
        min_ready: ``spec.minReadySeconds``, at least 0.
    """

    surge: int
    min_ready: int = 0


def pods_of(value: int | str, replicas: int, *, up: bool) -> int:
    """Resolve ``maxSurge`` (rounded up) or ``maxUnavailable`` (rounded down) to pods, as the controller does.

    Args:
        value: A number of pods or a percentage such as ``25%``.
        replicas: What the percentage is of.
        up: True for ``maxSurge``.
    """
    if isinstance(value, int) or not value.endswith("%"):
        return int(value)
    exact = replicas * int(value[:-1]) / 100
    return math.ceil(exact) if up else math.floor(exact)


def target_of(count: int, planned_of: int, workload: Workload) -> int:
    """Return how many new pods a batch means now: the planned share, if it was scaled meanwhile."""
    if planned_of in (workload.replicas, 0):
        return min(count, workload.replicas)
    return max(1, min(workload.replicas, math.floor(count * workload.replicas / planned_of)))


def unpaused(workload: Workload, target: int, chart: ChartRoll) -> dict[str, Any]:
    """Return the spec that lets the controller go on towards a target, and never past it.

    Args:
        workload: As last seen.
        target: New pods wanted; with all of them new there is nothing to stop before, so no guard.
        chart: What the chart says of rolling.
    """
    left = target - workload.wanted_new
    allowed = max(1, min(left, chart.surge))
    is_last = target >= workload.replicas
    return {
        "paused": False,
        "minReadySeconds": chart.min_ready if is_last else _guarded(workload, chart),
        "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": allowed}},
    }


def paused(workload: Workload) -> dict[str, Any]:
    """Return the spec that keeps old and new exactly as they are.

    A paused Deployment is driven to ``replicas + maxSurge`` in proportion, so the surge must be the surplus
    that exists; both numbers 0 are refused by the API, and ``maxUnavailable`` means nothing while paused.
    """
    surplus = max(0, workload.wanted_new + workload.wanted_old - workload.replicas)
    rolling = {"maxUnavailable": 0 if surplus else 1, "maxSurge": surplus}
    return {"paused": True, "strategy": {"rollingUpdate": rolling}}


def next_spec(workload: Workload, target: int, chart: ChartRoll) -> dict[str, Any] | None:
    """Return the spec to patch now, or ``None``: it is as it shall be, or not yet seen by the controller."""
    if workload.observed < workload.generation:
        return None
    reached = workload.wanted_new >= target and target < workload.replicas
    spec = paused(workload) if reached else unpaused(workload, target, chart)
    rolling, min_ready = spec["strategy"]["rollingUpdate"], spec.get("minReadySeconds", workload.min_ready)
    wanted = (spec["paused"], min_ready, rolling["maxUnavailable"], rolling["maxSurge"])
    live = (workload.paused, workload.min_ready, workload.max_unavailable, workload.max_surge)
    return None if live == wanted else spec


def has_new_template(workload: Workload, old_template: str) -> bool:
    """Tell whether the Deployment's pod template is another than the one measured before the run."""
    return workload.template != old_template


def is_replaced(fleet: Fleet, workload: Workload, target: int) -> bool:
    """Tell whether a batch is done: its pods Ready, nothing more under way, and no pod missing."""
    ready = sum(
        pod.ready and not pod.terminating for pod in fleet.of_side(Side.NEW, workload=workload.ref.name)
    )
    if ready < target or workload.available < workload.replicas or workload.observed < workload.generation:
        return False
    whole = workload.wanted_old == 0 and workload.total == workload.replicas
    return whole if target >= workload.replicas else workload.paused and workload.wanted_new >= target


def _guarded(workload: Workload, chart: ChartRoll) -> int:
    """Return the guard; the API refuses one that is not below ``progressDeadlineSeconds``."""
    return max(chart.min_ready, min(GUARD_SECONDS, workload.progress_deadline - 1))
