"""What the steps of a rolling upgrade do to one Deployment; no step itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from upgrader.model.batches import ChartRoll, pods_of
from upgrader.model.fleet import Workload
from upgrader.model.measure import REASON, RUN, UNDO, ref_of
from upgrader.model.plugins import Scene, StepPlan

MARKS = (RUN, REASON, UNDO)


def pairs(plan: StepPlan, scene: Scene) -> Iterator[tuple[Workload, Mapping[str, Any]]]:
    """Yield each Deployment of a step as last seen, with what was measured of it; none that is gone."""
    for row in scene.measured["workloads"]:
        workload = scene.fleet.workload(row["name"])
        if row["name"] in plan.settings["workloads"] and workload is not None:
            yield workload, row


def new_chart(workload: Workload, row: Mapping[str, Any]) -> ChartRoll:
    """Return how the new version's chart has a Deployment rolled."""
    return _roll(workload, row["target_strategy"], row["target_min_ready"])


def old_chart(workload: Workload, row: Mapping[str, Any]) -> ChartRoll:
    """Return how a Deployment was rolled before the run."""
    return _roll(workload, row["strategy"], row["min_ready"])


def _roll(workload: Workload, strategy: Mapping[str, Any], min_ready: int) -> ChartRoll:
    """Read it; Kubernetes' default is 25 % of surge, and at least one pod must be allowed."""
    value = (strategy.get("rollingUpdate") or {}).get("maxSurge", "25%")
    return ChartRoll(max(1, pods_of(value, workload.replicas, up=True)), min_ready)


def is_whole(workload: Workload) -> bool:
    """Tell whether the controller has nothing left to do and no pod is missing."""
    settled = workload.observed >= workload.generation and workload.total == workload.replicas
    return settled and workload.available >= workload.replicas


def set_spec(scene: Scene, workload: Workload, spec: Mapping[str, Any]) -> None:
    """Patch the Deployment's ``spec``."""
    scene.ports.kube.patch(workload.ref, {"spec": dict(spec)})


def pause(scene: Scene, row: Mapping[str, Any], *, run: str) -> None:
    """Pause a Deployment, and write on it who did, why and how to undo it."""
    undo = f"kubectl -n {row['namespace']} rollout resume deployment {row['name']}"
    notes = {RUN: run, REASON: "paused: upgrader replaces its pods in batches", UNDO: undo}
    scene.ports.kube.patch(ref_of(row), {"metadata": {"annotations": notes}, "spec": {"paused": True}})


def let_go(scene: Scene, row: Mapping[str, Any], *, strategy: Mapping[str, Any], min_ready: int) -> bool:
    """Give a Deployment its own rolling, take our marks and ownership off; tell if it was so already."""
    ref = ref_of(row)
    live = scene.ports.kube.get(ref)
    if live is None:
        return True
    marks = [key for key in MARKS if key in (live["metadata"].get("annotations") or {})]
    spec = live["spec"]
    own = spec.get("strategy") == strategy and (spec.get("minReadySeconds") or 0) == min_ready
    if own and not marks and not spec.get("paused"):
        return True
    body = {
        "metadata": {"annotations": dict.fromkeys(marks)},
        "spec": {"paused": None, "minReadySeconds": min_ready, "strategy": dict(strategy)},
    }
    scene.ports.kube.patch(ref, body)
    scene.ports.kube.drop_ownership(ref)
    return False
