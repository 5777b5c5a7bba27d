"""Replace the pods of one group up to an exact number, then pause; the brake is the same pause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.batches import has_new_template, is_replaced, next_spec, paused, target_of
from upgrader.model.fleet import Workload
from upgrader.model.plugins import Progress, Scene, StepPlan
from upgrader.steps.deployments import new_chart, pairs, set_spec


@dataclass(frozen=True)
class RollBatch:
    """One batch of one group.

    Settings: ``workloads`` (names), ``counts`` (new pods wanted, by name), ``of`` (replicas when planned).
    A Deployment whose pod template did not change has nothing to replace.
    """

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        settings = self.plan.settings
        parts = [
            f"{settings['counts'][name]} of {settings['of'][name]} {name}" for name in settings["workloads"]
        ]
        return f"replace pods until {', '.join(parts)} run the new version"

    def is_done(self, scene: Scene) -> bool:
        """Look whether every Deployment has what the batch means."""
        return all(self._is_there(scene, workload, row) for workload, row in pairs(self.plan, scene))

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Nothing to begin: `poll` does it all, from what it sees."""
        return {}

    def poll(self, scene: Scene) -> Progress:
        """Let the controller go on where pods are missing, pause it where the number is reached."""
        said = []
        for workload, row in pairs(self.plan, scene):
            if self._is_there(scene, workload, row):
                continue
            target = self._target(workload)
            spec = next_spec(workload, target, new_chart(workload, row))
            if spec is not None:
                set_spec(scene, workload, spec)
            said.append(f"{row['name']}: {_ready(scene, workload)} of {target} new pods Ready")
        return Progress(not said, "; ".join(said) or self._reached(scene))

    def brake(self, scene: Scene) -> Progress:
        """Pause each Deployment with the surplus it has."""
        left = []
        for workload, row in pairs(self.plan, scene):
            if workload.paused or not has_new_template(workload, row["template"]):
                continue
            if workload.observed >= workload.generation:
                set_spec(scene, workload, paused(workload))
            left.append(row["name"])
        return Progress(not left, f"pausing {', '.join(left)}" if left else "all are paused")

    def undo(self, scene: Scene) -> Progress:
        """Stop replacing; what goes back goes back by Helm, and by letting the Deployments go."""
        return self.brake(scene)

    def _target(self, workload: Workload) -> int:
        name = workload.ref.name
        return target_of(self.plan.settings["counts"][name], self.plan.settings["of"][name], workload)

    def _is_there(self, scene: Scene, workload: Workload, row: Mapping[str, Any]) -> bool:
        unchanged = not has_new_template(workload, row["template"])
        return unchanged or is_replaced(scene.fleet, workload, self._target(workload))

    def _reached(self, scene: Scene) -> str:
        seen = [
            f"{w.wanted_new} of {w.wanted_new + w.wanted_old} {w.ref.name}"
            for w, _ in pairs(self.plan, scene)
        ]
        return f"{', '.join(seen)} are new"


def _ready(scene: Scene, workload: Workload) -> int:
    mine = [pod for pod in scene.fleet.pods if pod.workload == workload.ref.name and pod.side == "new"]
    return sum(pod.ready and not pod.terminating for pod in mine)


def build(plan: StepPlan) -> RollBatch:
    """Make the step."""
    return RollBatch(plan)
