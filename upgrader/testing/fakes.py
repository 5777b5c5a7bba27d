"""Fakes of the ports that a test passes in. Each refuses what it was not told to expect.

There is no imitated Kubernetes here: what talks to a cluster is tested on a real one (the lab).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from upgrader.model.evidence import Counts
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Progress, Scene, StepPlan
from upgrader.model.reading import Fact, Reading


class FakeClock:
    """Time that passes only when someone sleeps."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self.time = start

    def now(self) -> float:
        """Return UTC seconds."""
        return self.time

    def monotonic(self) -> float:
        """Return the same seconds."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.time += seconds


class Crash(BaseException):
    """The process died here; no handler of the program may catch it."""


class FakeJournal:
    """A journal in memory, which can kill the process before or after a record is on the disk.

    Args:
        crash_before: Number of the record before which the process dies; -1 for never.
        crash_after: Number of the record after which it dies; -1 for never.
    """

    def __init__(self, *, crash_before: int = -1, crash_after: int = -1) -> None:
        self.lines: list[Mapping[str, Any]] = []
        self.crash_before = crash_before
        self.crash_after = crash_after

    def append(self, record: Mapping[str, Any]) -> None:
        """Keep one record."""
        number = int(record["seq"])
        if number == self.crash_before:
            self.crash_before = -1
            raise Crash
        self.lines.append(record)
        if number == self.crash_after:
            self.crash_after = -1
            raise Crash

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Read all records."""
        return iter(self.lines)


class FakeLease:
    """A lease that nobody else wants."""

    def __init__(self) -> None:
        self.abort = ""
        self.released = False

    def acquire(self, run_id: str, *, resume: bool = False) -> None:
        """Take it."""

    def renew(self) -> None:
        """Keep it."""

    def abort_requested(self) -> str:
        """Return what a test set."""
        return self.abort

    def release(self) -> None:
        """Give it back."""
        self.released = True


@dataclass
class Cluster:
    """What steps of a scenario really did, in order; it outlives every crash of the process."""

    acts: list[str] = field(default_factory=list)
    standing: set[str] = field(default_factory=set)
    braked: set[str] = field(default_factory=set)


@dataclass
class ScriptedStep:
    """A step that takes a number of polls, and can be told to fail.

    Args:
        plan: What it is.
        cluster: Where its effects live.
        polls: How many polls it takes after its start.
        fails: Why it fails at the end, or the empty text.
    """

    plan: StepPlan
    cluster: Cluster
    polls: int = 2
    fails: str = ""

    def describe(self) -> str:
        """Say what it is."""
        return f"scripted {self.plan.id}"

    def is_done(self, scene: Scene) -> bool:
        """Look at the cluster, never at memory."""
        return self.plan.id in self.cluster.standing

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Take effect; a second effect while the first stands is a fault of the engine."""
        assert self.plan.id not in self.cluster.standing, f"{self.plan.id} was started twice"
        self.cluster.acts.append(f"start {self.plan.id}")
        self.cluster.standing.add(self.plan.id)
        return {"polls": 0}

    def poll(self, scene: Scene) -> Progress:
        """Count the polls in the journal's facts, as a real step keeps what it needs."""
        seen = int(scene.facts.get("polls", 0)) + 1
        if seen > self.polls:
            return Progress(not self.fails, "done", failed=self.fails)
        return Progress(False, f"poll {seen}", facts={"polls": seen})

    def brake(self, scene: Scene) -> Progress:
        """Stand still at once."""
        self.cluster.braked.add(self.plan.id)
        return Progress(True, "braked")

    def undo(self, scene: Scene) -> Progress:
        """Take the effect back, once."""
        if self.plan.id in self.cluster.standing:
            self.cluster.acts.append(f"undo {self.plan.id}")
            self.cluster.standing.discard(self.plan.id)
            return Progress(False, "undoing")
        return Progress(True, "undone")


Script = Callable[[float], Counts | Sequence[Fact] | str]
"""From the scenario's seconds to what a signal says then: counts, facts, or why it is blind."""


@dataclass
class ScriptedSignal:
    """A signal that says what the scenario's clock makes it say.

    Args:
        name: Its name.
        clock: The scenario's clock.
        script: What it says when.
        interval_seconds: How often it is read.
    """

    name: str
    clock: FakeClock
    script: Script
    interval_seconds: float = 1.0
    counts_requests: bool = True
    compares_pods: bool = True
    speaks_of_backends: bool = False

    def read(self, fleet: Fleet) -> Reading:
        """Say what is due."""
        now = self.clock.now()
        said = self.script(now - 1_000_000.0)
        if isinstance(said, str):
            return Reading(self.name, now, None, "script", error=said)
        if isinstance(said, Counts):
            return Reading(self.name, now, now, "script", window_seconds=1.0, counts=said)
        return Reading(self.name, now, now, "script", facts=tuple(said))

    def close(self) -> None:
        """Nothing runs."""
