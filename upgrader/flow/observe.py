"""Observe: read every signal that is due, and write the reading down before anyone judges it."""

from __future__ import annotations

from dataclasses import replace

from upgrader.flow.recorder import Recorder
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Signal
from upgrader.model.reading import Weight
from upgrader.model.record import Kind
from upgrader.model.run import new_ratio


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
    """Read what is due of the current step's tier, and return the whole gateway as the readings saw it."""
    world, tier = recorder.world, recorder.run.step.tier
    fleet = replace(world.fleet(), new_ratio=new_ratio(recorder.run))
    for signal in world.signals:
        # By tier, too: nothing of a new one is judged by the last look at the one before.
        name = f"{tier} {signal.name}"
        if rounds.take(name, signal.interval_seconds, world.ports.clock.monotonic()):
            _read(recorder, signal, fleet.of_tier(tier))
    return fleet


def _read(recorder: Recorder, signal: Signal, fleet: Fleet) -> None:
    """Write one reading down, and say what it saw that the one before did not.

    What a gate merely waits for is said by the gate's verdict.
    """
    known = recorder.run.latest.get(signal.name)
    before = {fact.rule for fact in known.facts} if known else set()
    reading = signal.read(fleet)
    recorder.write(Kind.READING, reading.to_body(), step=recorder.run.step.id)
    told = [fact for fact in reading.facts if fact.weight is not Weight.WAIT]
    fresh = {fact.rule: fact.text for fact in told if fact.rule not in before}
    if fresh:
        recorder.mark(Kind.DONE, "see", step=f"seen by {signal.name}", facts=fresh)
