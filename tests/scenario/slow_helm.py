"""A Helm that takes two seconds for whatever it is asked, for scenarios: what it then does is theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from upgrader.model.ports import Process, Revision
from upgrader.testing.fakes import FakeClock

HELM_SECONDS = 2.0


@dataclass
class SlowHelm:
    """One release's Helm; it outlives every crash of the process that started it.

    Args:
        clock: The scenario's.
        revisions: Helm's history.
        busy: Until when it acts in each role, and what it will have done then.
        fails: What it prints when it fails; empty where it does not.
    """

    clock: FakeClock
    revisions: list[Revision] = field(default_factory=list)
    busy: dict[str, tuple[float, Callable[[], None]]] = field(default_factory=dict)
    fails: str = ""

    def settle(self) -> None:
        """Let it end what is over by now."""
        for role, (until, effect) in list(self.busy.items()):
            if self.clock.time >= until:
                effect()
                self.busy[role] = (until, lambda: None)

    def history(self) -> tuple[Revision, ...]:
        self.settle()
        return tuple(self.revisions)

    def started(self, role: str) -> Process | None:
        return Process(1, 1, role) if role in self.busy else None

    def running(self, process: Process) -> bool:
        self.settle()
        return process.log in self.busy and self.clock.time < self.busy[process.log][0]

    def output(self, process: Process) -> str:
        return self.fails

    def stop(self, process: Process) -> None:
        self.busy[process.log] = (self.clock.time, self.busy[process.log][1])

    def begin(self, role: str, effect: Callable[[], None]) -> Process:
        """Start it in a role."""
        self.busy[role] = (self.clock.time + HELM_SECONDS, effect)
        return Process(1, 1, role)
