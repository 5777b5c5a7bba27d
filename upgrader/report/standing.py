"""Where a run stands in numbers: what it waits for, how its pods are split, what the balancers say. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from upgrader.flow.roll_back import undo_seconds
from upgrader.flow.verify import VERIFY_SECONDS
from upgrader.model.phase import Phase
from upgrader.model.plugins import Gate
from upgrader.model.reading import Fact, Weight
from upgrader.model.run import Run
from upgrader.model.verdict import lacking, needed_seconds
from upgrader.report.wording import began_step_at, seconds

_WANTED = " wanted"
_URGENT = {Weight.BREACH: 0, Weight.HOLD: 1, Weight.WAIT: 2, Weight.NOTE: 3}


@dataclass(frozen=True, slots=True)
class Wait:
    """What a run waits for at the moment.

    Args:
        what: In one word, such as ``gate`` or ``hold``.
        done: Seconds of it that are over.
        of: Seconds it takes; infinite when it can never end by itself.
        detail: What is counted, in a few words.
    """

    what: str
    done: float
    of: float
    detail: str

    @property
    def left_seconds(self) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self.of - self.done)

    @property
    def ratio(self) -> float:
        """Return how much of it is over, 0-1."""
        return 0.0 if math.isinf(self.of) else min(1.0, self.done / self.of) if self.of > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Split:
    """How many of the pods on each side are as they should be.

    Args:
        name: The group, or the balancer.
        word: What is counted: ``ready``, ``healthy`` or ``wanted``.
        old: (as they should be, all of them), old pods.
        new: The same of new pods.
        error: Why there are no numbers now, or the empty text.
    """

    name: str
    word: str
    old: tuple[float, float]
    new: tuple[float, float]
    error: str = ""


def needs(run: Run) -> dict[str, float]:
    """Return the seconds of good looks the gate needs of each counting signal; empty where no gate stands.

    Looking ahead is dear (up to 20 ms a signal): call it every few seconds, not on every frame.
    """
    if not is_gating(run) or run.step.gate is Gate.NONE:
        return {}
    return {name: needed_seconds(run, name, run.step.gate) for name in run.meters}


def is_gating(run: Run) -> bool:
    """Tell whether the gate of the step just done stands, also while it is held."""
    held = run.phase is Phase.HOLDING and run.came_from is Phase.OBSERVING
    return run.phase is Phase.OBSERVING or held


def waits_for(run: Run, now: float, needed: Mapping[str, float]) -> Wait | None:
    """Return what a run waits for, or ``None``: it is over, or has not begun.

    Args:
        run: The run.
        now: UTC seconds.
        needed: What `needs` said lately.
    """
    spent = now - run.since
    if run.phase is Phase.OBSERVING:
        return _gate(run, spent, needed)
    if run.phase is Phase.APPLYING:
        begun = max(began_step_at(run, run.step.id), run.since)
        return Wait("step", now - begun, run.step.deadline_seconds, "at most")
    if run.phase is Phase.HOLDING:
        return Wait("hold", spent, run.policy.hold_seconds, "then paused")
    if run.phase is Phase.ROLLING_BACK:
        return Wait("way back", spent, undo_seconds(run), "at most")
    if run.phase is Phase.VERIFYING:
        return Wait("proof", spent, VERIFY_SECONDS, "at most")
    return None


def _gate(run: Run, spent: float, needed: Mapping[str, float]) -> Wait | None:
    """Return the slowest of all that the gate needs."""
    if run.step.gate is Gate.NONE:
        return None
    bakes = run.step.gate is Gate.BAKE
    what, least = ("bake", run.policy.bake_seconds) if bakes else ("gate", run.policy.stand_seconds)
    parts = [Wait(what, min(spent, least), least, next(iter(lacking(run)), "least time"))]
    for name, seconds_needed in needed.items():
        stood = run.gate_seconds.get(name, 0.0)
        detail = f"good looks: {name}"
        if math.isinf(seconds_needed):
            detail = f"{name} sees too little traffic to rule out {run.policy.exclude:.0%} failures"
        parts.append(Wait(what, stood, seconds_needed, detail))
    return max(parts, key=lambda part: part.left_seconds)


def splits(run: Run) -> tuple[Split, ...]:
    """Return how many pods of each group shall be old and new, how many are Ready, and what balancers say.

    The ``rollout`` reading's values speak of a group as ``GROUP wanted`` and ``… wanted_new``, of all pods
    as ``new_ready`` and so on; a balancer's as ``new_healthy``.
    """
    found = []
    for name, reading in run.latest.items():
        word = "healthy" if run.policy.signals[name].speaks_of_backends else "ready"
        if f"new_{word}" in reading.values:
            old, new = (_side(reading.values, side, word) for side in ("old", "new"))
            found.append(Split(name, word, old, new))
        elif reading.error and name not in run.meters:
            found.append(Split(name, word, (0, 0), (0, 0), error="blind"))
    found.sort(key=lambda split: split.word == "healthy")
    return (*_groups(run), *found)


def _groups(run: Run) -> Iterator[Split]:
    reading = run.latest.get("rollout")
    for key, wanted in (reading.values if reading else {}).items():
        if reading is not None and key.endswith(_WANTED) and wanted:
            group = key.removesuffix(_WANTED)
            new = reading.values.get(f"{group}{_WANTED}_new", 0.0)
            yield Split(group or "dependents", "wanted", (wanted - new, wanted), (new, wanted))


def _side(values: Mapping[str, float], side: str, word: str) -> tuple[float, float]:
    return values.get(f"{side}_{word}", 0.0), values.get(f"{side}_total", 0.0)


def ceiling_odds(run: Run, signal: str) -> float:
    """Return the evidence that new pods fail above the ceiling; 1 while there are old ones to compare."""
    meter = run.ceilings.get(signal)
    return 1.0 if meter is None else meter.evidence


def facts(run: Run) -> tuple[Fact, ...]:
    """Return what the latest readings say that needs no statistics, and why one is blind; gravest first."""
    said = [fact for reading in run.latest.values() for fact in reading.facts]
    blind = [reading for reading in run.latest.values() if reading.error]
    said += [Fact(Weight.HOLD, "blind", f"{reading.signal}: {reading.error}") for reading in blind]
    return tuple(sorted(said, key=lambda fact: _URGENT[fact.weight]))


def silence(run: Run, signal: str, now: float) -> str:
    """Say for how long a signal has had no usable data, or the empty text; why is in its last reading."""
    reading = run.latest.get(signal)
    if reading is None or not reading.error:
        return ""
    return f"blind for {seconds(now - run.good_at.get(signal, run.began))}"


def steps_over(run: Run) -> float:
    """Return how many steps are over, undone ones not counted; one that waits for its gate counts half."""
    if run.phase is Phase.COMPLETED:
        return float(len(run.steps))
    if run.phase in (Phase.ROLLING_BACK, Phase.VERIFYING, Phase.ROLLED_BACK, Phase.NEEDS_HUMAN):
        return float(sum(f"undo {step.id}" not in run.ended for step in run.begun()))
    return run.index + (0.5 if is_gating(run) else 0.0)
