"""Replace the last old pods and let every Deployment go, with the new chart's own strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.batches import has_new_template, next_spec, paused
from upgrader.model.fleet import Workload
from upgrader.model.plugins import Progress, Scene, StepPlan
from upgrader.steps.deployments import is_whole, let_go, new_chart, pairs, set_spec


@dataclass(frozen=True)
class Thaw:
    """The end of a rolling upgrade, after the bake. Settings: ``workloads`` (names)."""

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        return f"replace the last old pods of {', '.join(self.plan.settings['workloads'])} and let them go"

    def is_done(self, scene: Scene) -> bool:
        """Never known beforehand: `poll` looks at each object."""
        return False

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Nothing to begin: `poll` does it all, from what it sees."""
        return {}

    def poll(self, scene: Scene) -> Progress:
        """Roll what is old, then give each whole Deployment its strategy back."""
        left = [said for workload, row in pairs(self.plan, scene) if (said := _thaw(scene, workload, row))]
        return Progress(not left, "; ".join(left) or "all pods are new, every Deployment is let go")

    def brake(self, scene: Scene) -> Progress:
        """Pause what still has old pods."""
        left = []
        for workload, _ in pairs(self.plan, scene):
            if not workload.paused and workload.wanted_old:
                set_spec(scene, workload, paused(workload))
                left.append(workload.ref.name)
        return Progress(not left, f"pausing {', '.join(left)}" if left else "nothing is being replaced")

    def undo(self, scene: Scene) -> Progress:
        """Pause all again, so that the way back by Helm replaces nothing before its time."""
        running = [workload for workload, _ in pairs(self.plan, scene) if not workload.paused]
        for workload in running:
            set_spec(scene, workload, paused(workload))
        return Progress(not running, "pausing again" if running else "all are paused")


def _thaw(scene: Scene, workload: Workload, row: Mapping[str, Any]) -> str:
    """Bring one Deployment nearer to its end, and say what is still missing."""
    rolls = has_new_template(workload, row["template"])
    if is_whole(workload) and not (rolls and workload.wanted_old):
        own = let_go(scene, row, strategy=row["target_strategy"], min_ready=row["target_min_ready"])
        return "" if own else f"{row['name']}: taking our marks off"
    spec = next_spec(workload, workload.replicas, new_chart(workload, row))
    if spec is not None:
        set_spec(scene, workload, spec)
    return f"{row['name']}: {workload.wanted_old} old pods left"


def build(plan: StepPlan) -> Thaw:
    """Make the step."""
    return Thaw(plan)
