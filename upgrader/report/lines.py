"""One line for each change: JSON objects for pipelines and log stores, or plain sentences for a CI log.

An event's name is ``noun.verbed``; numbers carry their unit in the key. Secrets never enter a journal, and so
never a line; whoever knows some more gives a ``redact``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Self, TextIO

import structlog

from upgrader.model.phase import EXIT_CODES, TERMINAL, Event, Phase
from upgrader.model.record import Kind, Record
from upgrader.model.run import Run
from upgrader.report.sentences import sentence
from upgrader.report.wording import clock_time, release_name, run_id, timestamp

_EVENT_NAMES: dict[Event, str] = {
    Event.STARTED: "run.started",
    Event.CLEARED: "run.cleared",
    Event.REFUSED: "run.refused",
    Event.APPLIED: "step.applied",
    Event.ADVANCED: "gate.passed",
    Event.HELD: "run.held",
    Event.BREACHED: "run.breached",
    Event.FAILED: "step.failed",
    Event.ABORTED: "run.aborted",
    Event.EXPIRED: "run.expired",
    Event.RESUMED: "run.resumed",
    Event.UNDONE: "run.undone",
}
_END_NAMES = {
    Phase.PAUSED: "run.paused",
    Phase.COMPLETED: "run.completed",
    Phase.ROLLED_BACK: "run.rolled_back",
    Phase.NEEDS_HUMAN: "human.needed",
}
_ACT_NAMES = {
    (Kind.INTENT, "start"): "step.begun",
    (Kind.INTENT, "undo"): "undo.begun",
    (Kind.DONE, "undo"): "step.undone",
    (Kind.DONE, "wait"): "run.delayed",
    (Kind.DONE, "verify"): "difference.found",
    (Kind.DONE, "see"): "fact.seen",
}
_WARNINGS = frozenset(
    {"run.held", "run.paused", "run.refused", "run.aborted", "run.delayed", "difference.found"}
)
_ERRORS = frozenset({"run.breached", "step.failed", "human.needed", "run.expired"})


def _as_it_is(text: str) -> str:
    return text


def event_name(run: Run, record: Record) -> str:
    """Return the name of a change, such as ``step.applied`` or ``run.held``.

    Args:
        run: The run with the record folded in.
        record: A record that has a sentence.
    """
    if record.kind is Kind.HEADER:
        return "run.opened"
    if record.kind is Kind.VERDICT:
        return "verdict.changed"
    if record.kind is Kind.EVENT:
        return _END_NAMES.get(run.phase) or _EVENT_NAMES[Event(record.body["event"])]
    act = str(record.body["act"])
    return _ACT_NAMES.get((record.kind, act), f"{act}.noted")


def change_body(run: Run, record: Record) -> dict[str, Any] | None:
    """Return a change as a JSON object; ``None`` when the record changed nothing worth a line."""
    said = sentence(run, record)
    if not said:
        return None
    name = event_name(run, record)
    level = "error" if name in _ERRORS else "warning" if name in _WARNINGS else "info"
    body = {
        "at": timestamp(record.at),
        "level": level,
        "event": name,
        "run": run_id(run),
        "release": release_name(run),
        "phase": run.phase.value,
        "step": record.step if record.step in {step.id for step in run.steps} else run.step.id,
        "sentence": said,
        "elapsed_seconds": round(record.at - run.began, 3),
        "evidence_odds": round(run.evidence, 4),
        "evidence_odds_needed": round(1 / run.policy.false_alarm, 4),
        "signals": _signals(run),
    }
    return {**body, **_of_event(run, record), **_of_end(run)}


def _signals(run: Run) -> dict[str, dict[str, float]]:
    return {
        name: {**asdict(total), "evidence_odds": round(run.meters[name].evidence, 4)}
        for name, total in run.totals.items()
    }


def _of_event(run: Run, record: Record) -> dict[str, Any]:
    if record.kind is Kind.EVENT:
        return {"phase_before": record.phase.value, "reason": str(record.body.get("reason", ""))}
    if record.kind is Kind.VERDICT:
        return {"verdict": record.body["verdict"], "reason": "; ".join(record.body.get("reasons", ()))}
    return {}


def _of_end(run: Run) -> dict[str, Any]:
    if run.phase not in TERMINAL and run.phase is not Phase.PAUSED:
        return {}
    spent = {name: round(value, 3) for name, value in run.seconds_in.items()}
    return {"exit_code": int(EXIT_CODES[run.phase]), "phase_seconds": spent}


class _Lines:
    """Writes the line of each change to a stream; made to be the world's ``tell``."""

    def __init__(self, stream: TextIO, *, redact: Callable[[str], str] = _as_it_is) -> None:
        """Write to a stream.

        Args:
            stream: Where to; flushed after each line, left open.
            redact: Masks secrets in a text.
        """
        self._stream = stream
        self._redact = redact

    def __enter__(self) -> Self:
        """Begin; nothing is written yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """End; the stream stays open."""

    def _write(self, line: str) -> None:
        self._stream.write(self._redact(line) + "\n")
        self._stream.flush()


class JsonLines(_Lines):
    """Logs one JSON object a line for each change, by structlog."""

    def __init__(self, stream: TextIO, *, redact: Callable[[str], str] = _as_it_is) -> None:
        """Log to a stream; see `_Lines`."""
        super().__init__(stream, redact=redact)
        self._log: structlog.BoundLogger = structlog.wrap_logger(
            self,
            processors=[structlog.processors.JSONRenderer(ensure_ascii=False)],
            wrapper_class=structlog.BoundLogger,
        )

    def msg(self, line: str) -> None:
        """Take a rendered line from structlog."""
        self._write(line)

    def show(self, run: Run, record: Record) -> None:
        """Log a record, if it has a line."""
        body = change_body(run, record)
        if body is not None:
            self._log.msg(**body)


class TextLines(_Lines):
    """Writes one sentence a line for each change, with its time in UTC: for a CI log."""

    def show(self, run: Run, record: Record) -> None:
        """Write the sentence of a record, if it has one."""
        said = sentence(run, record)
        if said:
            self._write(f"{clock_time(record.at)}Z {said}")
