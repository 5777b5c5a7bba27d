"""Observe: read every signal that is due, and write the reading down before anyone judges it."""

from __future__ import annotations

from upgrader.flow.recorder import Recorder
from upgrader.model.fleet import Fleet
from upgrader.model.record import Kind


class Rounds:
    """When each signal is due next; the one thing of observing that is not in the journal."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def take(self, name: str, interval_seconds: float, now: float) -> bool:
        """Tell whether a signal is due, and if so when again: on the beat, without catching up."""
        due = self._due.get(name, now)
        if now < due:
            return False
        self._due[name] = max(due + interval_seconds, now + interval_seconds / 2)
        return True


def observe(recorder: Recorder, rounds: Rounds) -> Fleet:
    """Read what is due and return the gateway as the readings saw it."""
    world = recorder.world
    fleet = world.fleet()
    for signal in world.signals:
        if rounds.take(signal.name, signal.interval_seconds, world.ports.clock.monotonic()):
            recorder.write(Kind.READING, signal.read(fleet).to_body(), step=recorder.run.step.id)
    return fleet
