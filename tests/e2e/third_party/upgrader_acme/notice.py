"""Tell Acme's status page that a change is under way; the undo takes it off again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.errors import BalancerUnwilling
from upgrader.model.plugins import Progress, Scene, StepPlan

from .api import AcmeApi


@dataclass(frozen=True)
class Notice:
    """Settings: ``url`` of the page, ``text``."""

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        return f"put {self.plan.settings['text']!r} on Acme's status page"

    def is_done(self, scene: Scene) -> bool:
        """Look whether it is there."""
        return self._shown(scene) == str(self.plan.settings["text"])

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Nothing to begin: `poll` does it all."""
        return {}

    def poll(self, scene: Scene) -> Progress:
        """Put it there where it is not."""
        return self._bring(scene, self.plan.settings["text"])

    def brake(self, scene: Scene) -> Progress:
        """It replaces nothing."""
        return Progress(True, "nothing is being replaced")

    def undo(self, scene: Scene) -> Progress:
        """Take it off where it is ours."""
        if self._shown(scene) not in (None, self.plan.settings["text"]):
            return Progress(True, "the notice is somebody else's")
        return self._bring(scene, "")

    def _bring(self, scene: Scene, text: str) -> Progress:
        if self._shown(scene) == text:
            return Progress(True, f"the notice is {text!r}")
        try:
            self._api(scene).put("/notice", {"text": text})
        except BalancerUnwilling as error:
            return Progress(False, error.what)
        return Progress(False, "putting the notice")

    def _shown(self, scene: Scene) -> str | None:
        try:
            return str(self._api(scene).get("/notice")["text"])
        except BalancerUnwilling:
            return None

    def _api(self, scene: Scene) -> AcmeApi:
        return AcmeApi(self.plan.settings["url"], scene.ports.http)


def build(plan: StepPlan) -> Notice:
    """Make the step."""
    return Notice(plan)
