"""The state machine: one table, ``(phase, event) → phase``. The diagram in the docs is generated from it."""

from __future__ import annotations

from enum import StrEnum

from upgrader.errors import ExitCode


class Phase(StrEnum):
    """Where a run stands."""

    PLANNED = "planned"
    PREFLIGHT = "preflight"
    APPLYING = "applying"
    """A step is being done; signals are being watched already."""
    OBSERVING = "observing"
    """The gate of the step just done."""
    HOLDING = "holding"
    """The brake is on: nothing more is replaced, nothing goes back."""
    PAUSED = "paused"
    """Held for too long: the process may end, the brake stays on."""
    ROLLING_BACK = "rolling_back"
    VERIFYING = "verifying"
    COMPLETED = "completed"
    REFUSED = "refused"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"
    NEEDS_HUMAN = "needs_human"


class Event(StrEnum):
    """What moves a run from phase to phase."""

    STARTED = "started"
    CLEARED = "cleared"
    REFUSED = "refused"
    APPLIED = "applied"
    ADVANCED = "advanced"
    HELD = "held"
    BREACHED = "breached"
    FAILED = "failed"
    ABORTED = "aborted"
    EXPIRED = "expired"
    RESUMED = "resumed"
    UNDONE = "undone"
    FINISHED = "finished"


class Back(StrEnum):
    """A target that depends on the past: where the hold or the pause came from."""

    CAME_FROM = "where it came from"


_BACK: dict[Event, Phase | Back] = {Event.BREACHED: Phase.ROLLING_BACK, Event.ABORTED: Phase.ROLLING_BACK}

_ROWS: dict[Phase, dict[Event, Phase | Back]] = {
    Phase.PLANNED: {Event.STARTED: Phase.PREFLIGHT, Event.ABORTED: Phase.ABORTED},
    Phase.PREFLIGHT: {
        Event.CLEARED: Phase.APPLYING,
        Event.REFUSED: Phase.REFUSED,
        Event.ABORTED: Phase.ABORTED,
    },
    Phase.APPLYING: {
        Event.APPLIED: Phase.OBSERVING,
        Event.HELD: Phase.HOLDING,
        Event.FAILED: Phase.ROLLING_BACK,
        **_BACK,
    },
    Phase.OBSERVING: {
        Event.ADVANCED: Phase.APPLYING,
        Event.HELD: Phase.HOLDING,
        Event.FINISHED: Phase.COMPLETED,
        **_BACK,
    },
    Phase.HOLDING: {Event.CLEARED: Back.CAME_FROM, Event.EXPIRED: Phase.PAUSED, **_BACK},
    Phase.PAUSED: {Event.RESUMED: Back.CAME_FROM, **_BACK},
    Phase.ROLLING_BACK: {
        Event.UNDONE: Phase.VERIFYING,
        Event.FAILED: Phase.NEEDS_HUMAN,
        Event.EXPIRED: Phase.NEEDS_HUMAN,
    },
    Phase.VERIFYING: {
        Event.FINISHED: Phase.ROLLED_BACK,
        Event.BREACHED: Phase.NEEDS_HUMAN,
        Event.EXPIRED: Phase.NEEDS_HUMAN,
    },
}
TRANSITIONS = {(phase, event): target for phase, row in _ROWS.items() for event, target in row.items()}

EXIT_CODES: dict[Phase, ExitCode] = {
    Phase.COMPLETED: ExitCode.COMPLETED,
    Phase.REFUSED: ExitCode.REFUSED,
    Phase.ROLLED_BACK: ExitCode.ROLLED_BACK,
    Phase.NEEDS_HUMAN: ExitCode.NEEDS_HUMAN,
    Phase.ABORTED: ExitCode.ABORTED,
    Phase.PAUSED: ExitCode.PAUSED,
}
"""How a process ends that leaves a run in this phase; phases without one never end a process."""

TERMINAL = frozenset(Phase) - {phase for phase, _ in TRANSITIONS}
WATCHED = frozenset({Phase.APPLYING, Phase.OBSERVING, Phase.HOLDING})
"""Phases in which a verdict may act."""


def next_phase(phase: Phase, event: Event, *, came_from: Phase) -> Phase:
    """Return the phase that follows.

    Args:
        phase: Where the run stands.
        event: What happened.
        came_from: Where the last hold came from; used by `Back.CAME_FROM`.

    Raises:
        ValueError: The table has no such row; that is a bug of ours.
    """
    target = TRANSITIONS.get((phase, event))
    if target is None:
        raise ValueError(f"no way from {phase} by {event}")
    return came_from if isinstance(target, Back) else target


def diagram() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> planned"]
    for (phase, event), target in TRANSITIONS.items():
        ends = (Phase.APPLYING, Phase.OBSERVING) if isinstance(target, Back) else (target,)
        lines += [f"    {phase} --> {end}: {event}" for end in ends]
    lines += [f"    {phase} --> [*]" for phase in Phase if phase in TERMINAL]
    return "\n".join(lines) + "\n"
