"""Ask the new version itself, past the balancer, before it gets any traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.plugins import Progress, Scene, StepPlan
from upgrader.model.ports import ProbeSpec, Request

ROUNDS = 10
"""So many rounds in a row must be answered as they must be; one that is not begins the count anew."""
ROUND_SECONDS = 0.8
"""How long all requests of a round may take together."""


@dataclass(frozen=True)
class ProbeDirectly:
    """Every synthetic request of the playbook, with its path, Host and headers, straight at the new place.

    It has no settings: the requests hold secrets, and so are never in a plan or a journal.
    """

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        return f"ask the new version past the balancer, until {ROUNDS} rounds in a row are answered rightly"

    def is_done(self, scene: Scene) -> bool:
        """Never known beforehand."""
        return False

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Begin to count."""
        return {"good": 0}

    def poll(self, scene: Scene) -> Progress:
        """Ask once round."""
        probes = scene.ports.direct
        wrong = [said for probe in probes if (said := _wrong(scene, probe, ROUND_SECONDS / len(probes)))]
        good = 0 if wrong else int(scene.facts.get("good", 0)) + 1
        said = wrong[0] if wrong else f"{good} of {ROUNDS} rounds were answered rightly"
        return Progress(good >= ROUNDS, said, facts={"good": good})

    def brake(self, scene: Scene) -> Progress:
        """Go on asking: a question changes nothing, and nobody else asks, so doubt would never end."""
        asked = self.poll(scene)
        return Progress(True, asked.detail, facts=asked.facts)

    def undo(self, scene: Scene) -> Progress:
        """Nothing is left of a question."""
        return Progress(True, "nothing was changed")


def _wrong(scene: Scene, probe: ProbeSpec, deadline_seconds: float) -> str:
    """Ask once; say what is wrong with the answer, or nothing."""
    answer = scene.ports.http.send(
        Request("GET", probe.url, headers=probe.headers), deadline_seconds=deadline_seconds
    )
    if answer.status == probe.expect:
        return ""
    return f"{probe.url} answers {answer.error or answer.status}, and must answer {probe.expect}"


def build(plan: StepPlan) -> ProbeDirectly:
    """Make the step."""
    return ProbeDirectly(plan)
