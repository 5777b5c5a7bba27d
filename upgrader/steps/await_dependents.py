"""Wait until the controller has put the new version into the Deployments it makes, which are in no manifest.

They change half a minute after Helm's success, when the new controller has got its leader lease (measured
with a large public gateway: 14-22 s); a run that stops watching at Helm's success has watched nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.batches import has_new_template
from upgrader.model.plugins import Progress, Scene, StepPlan
from upgrader.steps.deployments import pairs


@dataclass(frozen=True)
class AwaitDependents:
    """Settings: ``workloads`` (names), ``patience_seconds``: after it they are taken as unchanged."""

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        return f"wait until the controller has changed {', '.join(self.plan.settings['workloads'])} (paused)"

    def is_done(self, scene: Scene) -> bool:
        """Look whether all have a new pod template."""
        return not self._unchanged(scene)

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Note when the waiting began."""
        return {"waiting_since": scene.ports.clock.now()}

    def poll(self, scene: Scene) -> Progress:
        """Wait for all, or until patience is over."""
        unchanged = self._unchanged(scene)
        waited = scene.ports.clock.now() - float(scene.facts.get("waiting_since", scene.ports.clock.now()))
        if not unchanged:
            return Progress(True, "the controller has changed all of them")
        if waited >= self.plan.settings["patience_seconds"]:
            return Progress(
                True, f"{', '.join(unchanged)} did not change in {waited:.0f} s: nothing to replace there"
            )
        return Progress(False, f"waiting for the controller to change {', '.join(unchanged)}")

    def brake(self, scene: Scene) -> Progress:
        """They are paused."""
        return Progress(True, "nothing is being replaced")

    def undo(self, scene: Scene) -> Progress:
        """Nothing was done."""
        return Progress(True, "nothing to undo")

    def _unchanged(self, scene: Scene) -> list[str]:
        return [w.ref.name for w, row in pairs(self.plan, scene) if not has_new_template(w, row["template"])]


def build(plan: StepPlan) -> AwaitDependents:
    """Make the step."""
    return AwaitDependents(plan)
