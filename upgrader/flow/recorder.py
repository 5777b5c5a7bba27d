"""Write a run down, record by record, and know it as it then stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upgrader.model.phase import Event, Phase
from upgrader.model.record import Kind, Record
from upgrader.model.run import Run, fold, open_run
from upgrader.model.world import World


class Recorder:
    """The one place where a run changes: a record is on the disk before the run knows of it."""

    def __init__(self, world: World, run: Run) -> None:
        self.world = world
        self.run = run

    @classmethod
    def open(cls, world: World, header: Mapping[str, Any]) -> Recorder:
        """Begin a new run: write its header."""
        record = Record(0, round(world.ports.clock.now(), 3), Kind.HEADER, Phase.PLANNED, "", header)
        world.journal.append(record.to_line())
        run = open_run(record)
        world.tell(run, record)
        return cls(world, run)

    @classmethod
    def reopen(cls, world: World) -> Recorder:
        """Take up the run the journal tells of.

        Raises:
            JournalDamaged: It cannot be trusted.
        """
        return cls(world, fold(world.journal.records()))

    def write(self, kind: Kind, body: Mapping[str, Any], *, step: str = "", at: float = 0.0) -> Run:
        """Append one record and return the run after it; ``at`` defaults to now."""
        run = self.run
        moment = at or self.now()
        record = Record(run.seq + 1, moment, kind, run.phase, step, body, run.prev)
        after = run.with_record(record)
        self.world.journal.append(record.to_line())
        self.run = after
        self.world.tell(after, record)
        return after

    def event(self, event: Event, reason: str = "", *, at: float = 0.0, **more: Any) -> Run:
        """Write what moves the run on."""
        step = self.run.step.id if self.run.phase in (Phase.APPLYING, Phase.OBSERVING) else ""
        return self.write(Kind.EVENT, {"event": event.value, "reason": reason, **more}, step=step, at=at)

    def mark(self, kind: Kind, act: str, *, step: str, ended: bool = False, **body: Any) -> Run:
        """Write an intent, or what became of it; a mark that says nothing new is not written."""
        known = self.run.facts.get(step, {})
        facts = {key: value for key, value in body.pop("facts", {}).items() if known.get(key) != value}
        if kind is Kind.DONE and not ended and not facts:
            return self.run
        said = {key: value for key, value in body.items() if value}
        return self.write(kind, {"act": act, "facts": facts, "ended": ended, **said}, step=step)

    def now(self) -> float:
        """Return the time as records hold it: UTC seconds, to the millisecond."""
        return round(self.world.ports.clock.now(), 3)
