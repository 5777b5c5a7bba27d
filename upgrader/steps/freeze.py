"""Pause every Deployment under upgrade, so that Helm's patch replaces nothing; its undo lets all go again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.fleet import Workload
from upgrader.model.plugins import Progress, Scene, StepPlan
from upgrader.steps.deployments import is_whole, let_go, old_chart, pairs, pause, set_spec


@dataclass(frozen=True)
class Freeze:
    """The release's Deployments, and dependent ones, with ``spec.paused`` set; no chart renders that field.

    Settings: ``workloads`` (names), ``run`` (the run's id, for the annotation).
    """

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        return f"pause {', '.join(self.plan.settings['workloads'])}, so that Helm's write replaces no pod"

    def is_done(self, scene: Scene) -> bool:
        """Look whether all are paused."""
        return all(workload.paused for workload, _ in pairs(self.plan, scene))

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Pause each that is not."""
        for workload, row in pairs(self.plan, scene):
            if not workload.paused:
                pause(scene, row, run=self.plan.settings["run"])
        return {}

    def poll(self, scene: Scene) -> Progress:
        """Wait until the controller has seen all of them paused."""
        seen = pairs(self.plan, scene)
        waiting = [w.ref.name for w, _ in seen if not w.paused or w.observed < w.generation]
        return Progress(not waiting, f"waiting for {', '.join(waiting)}" if waiting else "all are paused")

    def brake(self, scene: Scene) -> Progress:
        """Nothing is replaced while it acts."""
        return Progress(True, "nothing is being replaced")

    def undo(self, scene: Scene) -> Progress:
        """Let each Deployment go back to whole, then give it its own strategy and take our marks off."""
        seen = pairs(self.plan, scene)
        left = [said for workload, row in seen if (said := _let_go_one(scene, workload, row))]
        return Progress(not left, "; ".join(left) or "all are whole and let go")


def _let_go_one(scene: Scene, workload: Workload, row: Mapping[str, Any]) -> str:
    """Bring one Deployment nearer to how it was, and say what is still missing."""
    if workload.template != row["template"]:
        return f"{row['name']}: its old pod template is not back yet"
    if workload.wanted_new == 0 and is_whole(workload):
        own = let_go(scene, row, strategy=row["strategy"], min_ready=row["min_ready"])
        return "" if own else f"{row['name']}: taking our marks off"
    if workload.observed >= workload.generation and (workload.paused or workload.max_unavailable != 0):
        # One wave: as much surge as there are pods to replace, and no pod of capacity given up.
        chart = old_chart(workload, row)
        rolling = {"maxUnavailable": 0, "maxSurge": max(workload.wanted_new, chart.surge)}
        spec = {"paused": None, "minReadySeconds": chart.min_ready, "strategy": {"rollingUpdate": rolling}}
        set_spec(scene, workload, spec)
    whole = f"{workload.available} of {workload.replicas} available"
    return f"{row['name']}: {workload.wanted_new} new pods left, {whole}"


def build(plan: StepPlan) -> Freeze:
    """Make the step."""
    return Freeze(plan)
