"""The contract of every kind of step: driven by levels, by any process, forward, braked and back."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Progress, Scene, Step, StepPlan
from upgrader.model.ports import Clock
from upgrader.testing.contracts.rigs import two_pods

ROUND_SECONDS = 1.0
ROUNDS = 200
"""So many rounds are enough for whatever a rig plays."""
CALL_SECONDS = 1.0
"""No call may take longer."""


class StepRig(ABC):
    """What a step acts in, in a test's hands; at first nothing has been done.

    ``clock``: the clock of the scene's ports.

    ``plan``: the step as a strategy plans it.
    """

    clock: Clock
    plan: StepPlan

    @abstractmethod
    def build(self, plan: StepPlan) -> Step:
        """Make the step, as the engine does: anew for every call."""

    @abstractmethod
    def scene(self, facts: Mapping[str, Any]) -> Scene:
        """Return the world as it is now, with these facts of the journal."""

    @abstractmethod
    def state(self) -> Any:
        """Return all that the step changes, as plain data that can be compared."""

    def fleet(self) -> Fleet:
        """Return the gateway as the watch shows it."""
        return two_pods()

    def advance(self) -> None:
        """Let one second pass, and whatever was asked for come nearer: controllers, Helm, a provider."""
        self.clock.sleep(ROUND_SECONDS)

    def is_back(self, before: Any) -> bool:
        """Tell whether what this step has to bring back is back; ``before`` is the `state` at first."""
        return bool(self.state() == before)


class StepContract:
    """Subclass it as ``Test…``, and return your rig from `make_rig`."""

    @abstractmethod
    def make_rig(self) -> Any:
        """Return a new rig; asked once or twice a test."""

    def start(self, rig: StepRig, facts: dict[str, Any]) -> None:
        """Start it as another process would, and keep its facts as the journal does."""
        facts |= _as_journalled(self._timed(rig, lambda step, scene: step.start(scene), facts))

    def drive(self, rig: StepRig, facts: dict[str, Any], act: str, *, rounds: int = ROUNDS) -> Progress:
        """Call ``poll``, ``brake`` or ``undo`` until it is done, or so often."""
        progress = Progress(False, "never asked")
        for _ in range(rounds):
            progress = self._timed(rig, lambda step, scene: getattr(step, act)(scene), facts)
            assert isinstance(progress, Progress)
            facts |= _as_journalled(progress.facts)
            if progress.done or progress.failed:
                break
            assert progress.detail.strip(), f"{act} does not say what it waits for"
            rig.advance()
        return progress

    def _timed(self, rig: StepRig, call: Callable[[Step, Scene], Any], facts: Mapping[str, Any]) -> Any:
        began = rig.clock.monotonic()
        said = call(rig.build(rig.plan), rig.scene(facts))
        assert rig.clock.monotonic() - began <= CALL_SECONDS, "a call may not block"
        return said

    def test_it_says_in_one_sentence_what_it_will_do(self) -> None:
        """`plan` prints it."""
        rig: StepRig = self.make_rig()

        said = rig.build(rig.plan).describe()

        assert said.strip()
        assert "\n" not in said

    def test_looking_changes_nothing(self) -> None:
        """`is_done` is asked before the start, and after a crash; before, it is not done."""
        rig: StepRig = self.make_rig()
        before = rig.state()

        said = rig.build(rig.plan).is_done(rig.scene({}))

        assert said is False
        assert rig.state() == before

    def test_it_comes_to_its_end_in_time(self) -> None:
        """Each call by a new process, with nothing but the facts of the journal."""
        rig: StepRig = self.make_rig()
        facts: dict[str, Any] = {}
        began = rig.clock.monotonic()
        self.start(rig, facts)

        progress = self.drive(rig, facts, "poll")

        assert progress.failed == ""
        assert progress.done, progress.detail
        assert progress.detail.strip()
        assert rig.clock.monotonic() - began <= rig.plan.deadline_seconds

    def test_asked_once_more_at_its_end_it_changes_nothing(self) -> None:
        """A process may die before it has written down that it is done."""
        rig: StepRig = self.make_rig()
        facts: dict[str, Any] = {}
        self.start(rig, facts)
        self.drive(rig, facts, "poll")
        before = rig.state()

        again = self.drive(rig, facts, "poll")

        assert again.done
        assert rig.state() == before

    def test_starting_twice_is_starting_once(self) -> None:
        """A process may die between its start and its record of it; the facts are lost then."""
        once: StepRig = self.make_rig()
        twice: StepRig = self.make_rig()
        first: dict[str, Any] = {}
        second: dict[str, Any] = {}
        self.start(once, first)
        self.start(twice, {})
        self.start(twice, second)

        ends = (self.drive(once, first, "poll"), self.drive(twice, second, "poll"))

        assert [one.done for one in ends] == [True, True], ends[1].failed or ends[1].detail
        assert once.state() == twice.state()

    def test_undoing_what_never_began_changes_nothing(self) -> None:
        """A run goes back through all its steps."""
        rig: StepRig = self.make_rig()
        before = rig.state()

        progress = self.drive(rig, {}, "undo")

        assert (progress.done, progress.failed) == (True, "")
        assert rig.is_back(before)

    def test_what_was_done_is_undone(self) -> None:
        """From its end, and from everywhere on the way there."""
        for polls in (0, 1, 2, 5, ROUNDS):
            rig: StepRig = self.make_rig()
            before = rig.state()
            facts: dict[str, Any] = {}
            self.start(rig, facts)
            self.drive(rig, facts, "poll", rounds=polls)

            progress = self.drive(rig, facts, "undo")

            assert progress.failed == "", f"after {polls} polls"
            assert progress.done, f"after {polls} polls: {progress.detail}"
            assert rig.is_back(before), f"after {polls} polls"

    def test_undone_twice_is_undone_once(self) -> None:
        """With the facts of the first time, or without them."""
        rig: StepRig = self.make_rig()
        before = rig.state()
        facts: dict[str, Any] = {}
        self.start(rig, facts)
        self.drive(rig, facts, "poll", rounds=2)
        self.drive(rig, facts, "undo")

        again = self.drive(rig, facts, "undo")

        assert (again.done, again.failed) == (True, "")
        assert rig.is_back(before)

    def test_the_brake_holds(self) -> None:
        """Once it says so, nothing more is replaced until it goes on; asked again, it still holds."""
        rig: StepRig = self.make_rig()
        facts: dict[str, Any] = {}
        self.start(rig, facts)
        self.drive(rig, facts, "poll", rounds=2)

        braked = self.drive(rig, facts, "brake")
        replaced = self.replaced(rig)
        for _ in range(10):
            rig.advance()
        again = self.drive(rig, facts, "brake", rounds=1)

        assert braked.done, braked.detail
        assert again.done, again.detail
        assert self.replaced(rig) == replaced
        assert self.drive(rig, facts, "poll").done, "it does not go on after the brake"

    def replaced(self, rig: StepRig) -> Any:
        """Return what a brake must keep as it is: how many pods are new."""
        return [(pod.name, pod.side) for pod in rig.fleet().pods]


def _as_journalled(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts as they come out of the journal."""
    kept: dict[str, Any] = json.loads(json.dumps(dict(facts)))
    assert kept == dict(facts), "facts are JSON, and nothing else"
    return kept
