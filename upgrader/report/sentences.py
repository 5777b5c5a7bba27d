"""One plain English sentence for each record that changes something. Pure.

Written for someone who was just woken up: what happened, with the numbers, and what it means for the traffic.
Readings, looks at a step that is still under way, and verdicts that an event repeats have no sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from upgrader.model.measure import tiers_of
from upgrader.model.phase import Event, Phase
from upgrader.model.plugins import Gate
from upgrader.model.record import Kind, Record
from upgrader.model.run import Run
from upgrader.model.verdict import Verdict
from upgrader.report.wording import (
    began_step_at,
    drain_slack,
    failed_of,
    odds,
    one_line,
    release_name,
    route,
    run_id,
    seconds,
    spoken,
    step_place,
)

MOST_DIFFERENCES = 3
"""So many differences from the known-good revision are named; the others are counted."""


def sentence(run: Run, record: Record) -> str:
    """Say what a record changed.

    Args:
        run: The run with the record folded in.
        record: The record.

    Returns:
        One sentence, or the empty text when it changed nothing an operator would want to know.
    """
    text = _BY_KIND[record.kind](run, record)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def change(run: Run, record: Record) -> str:
    """Return ``old phase → new phase`` of an event, or the empty text."""
    if record.kind is not Kind.EVENT:
        return ""
    return f"{spoken(record.phase)} → {spoken(run.phase)}"


def _header(run: Run, record: Record) -> str:
    context = run.measured.get("context")
    where = f" in {context}" if context else ""
    known = ", ".join(str(one["known_good"]) for one in tiers_of(run.measured) if one.get("known_good"))
    back = f"; the way back is revision {known}" if known else ""
    return f"run {run_id(run)} takes {release_name(run)}{where} {route(run)} in {len(run.steps)} steps{back}"


def _intent(run: Run, record: Record) -> str:
    place = step_place(run, record.step)
    says = one_line(str(record.body.get("says", "")))
    if record.body["act"] == "undo":
        return f"undoing {place}"
    return f"{place} begins: {says}" if says else f"{place} begins"


def _done(run: Run, record: Record) -> str:
    act, facts = record.body["act"], record.body.get("facts", {})
    if act == "undo" and record.body.get("ended"):
        return f"{step_place(run, record.step)} is undone"
    if act == "wait":
        return f"nothing can be done at the moment, trying again: {one_line(str(facts.get('waits_for', '')))}"
    if act == "see":
        return f"seen: {one_line('; '.join(map(str, facts.values())))}"
    if act == "verify" and facts.get("differs"):
        return f"the old version is not whole yet: {_some(facts['differs'])}"
    return ""


def _some(items: Any) -> str:
    named = [one_line(str(item)) for item in items]
    left = len(named) - MOST_DIFFERENCES
    return "; ".join(named[:MOST_DIFFERENCES]) + (f"; and {left} more" if left > 0 else "")


def _reading(run: Run, record: Record) -> str:
    return ""


def _verdict(run: Run, record: Record) -> str:
    body = record.body
    if body.get("event"):
        return ""  # that event's record follows at once, with the same reasons
    because = one_line("; ".join(body.get("reasons", ())))
    if body["verdict"] == Verdict.PASS.value:
        return f"all signals pass, odds {odds(float(body.get('evidence', 1.0)))} to 1 that new is worse"
    waits = {Phase.OBSERVING: "the gate waits", Phase.HOLDING: "still held"}
    return f"{waits.get(record.phase, 'not clear yet')} ({body['verdict']}): {because}"


def _event(run: Run, record: Record) -> str:
    said = _EVENTS[Event(record.body["event"])](run, record, one_line(str(record.body.get("reason", ""))))
    return f"{change(run, record)}: {said}" if said else ""


def _started(run: Run, record: Record, reason: str) -> str:
    return "checking once more that the cluster and the release are fit, nothing is touched yet"


def _cleared(run: Run, record: Record, reason: str) -> str:
    if record.phase is Phase.PREFLIGHT:
        return reason
    return f"the brake is off after {seconds(run.seconds_in.get(Phase.HOLDING, 0.0))} of holding, {reason}"


def _refused(run: Run, record: Record, reason: str) -> str:
    return f"nothing was touched; {reason}"


def _applied(run: Run, record: Record, reason: str) -> str:
    step = run.step
    took = seconds(record.at - began_step_at(run, step.id))
    detail = f" ({reason})" if reason else ""
    return f"{step_place(run, step.id)} is done after {took}{detail}, {_gate(run)}"


def _gate(run: Run) -> str:
    least = {Gate.NONE: 0.0, Gate.BAKE: run.policy.bake_seconds}
    needed = least.get(run.step.gate, run.policy.stand_seconds)
    if run.step.gate is Gate.NONE:
        return "no gate follows"
    return f"the {'bake' if run.step.gate is Gate.BAKE else 'gate'} takes at least {seconds(needed)}"


def _advanced(run: Run, record: Record, reason: str) -> str:
    passed = run.steps[run.index - 1]
    if passed.gate is Gate.NONE:
        return ""  # nothing had to pass, and the next step says that it begins
    said = (reason, failed_of(run), drain_slack(run, passed.id))
    return f"{step_place(run, passed.id)}: {'; '.join(one for one in said if one)}"


def _held(run: Run, record: Record, reason: str) -> str:
    return f"brake on, nothing more is replaced and nothing goes back; {reason}"


def _back(run: Run, record: Record, reason: str) -> str:
    if run.phase is Phase.NEEDS_HUMAN:
        return f"a human is needed, go on by the undo commands; {reason}"
    return f"bringing the old version back; {reason}"


def _failed(run: Run, record: Record, reason: str) -> str:
    if run.phase is Phase.NEEDS_HUMAN:
        return f"an undo failed, a human is needed, go on by the undo commands; {reason}"
    return f"{step_place(run, record.step)} failed, bringing the old version back; {reason}"


def _aborted(run: Run, record: Record, reason: str) -> str:
    if run.phase is Phase.ABORTED:
        return f"nothing was touched; aborted: {reason}"
    return f"aborted, bringing the old version back; {reason}"


def _expired(run: Run, record: Record, reason: str) -> str:
    if run.phase is Phase.PAUSED:
        return f"the brake stays on, old and new pods serve side by side, `upgrader resume` goes on; {reason}"
    return f"a human is needed, go on by the undo commands; {reason}"


def _resumed(run: Run, record: Record, reason: str) -> str:
    return f"{reason or 'resumed'}, at {step_place(run, run.step.id)}"


def _undone(run: Run, record: Record, reason: str) -> str:
    spent = seconds(run.seconds_in.get(Phase.ROLLING_BACK, 0.0))
    return f"{reason} after {spent}, now looking whether the old version is whole"


def _finished(run: Run, record: Record, reason: str) -> str:
    proven = "the new version is proven good" if run.phase is Phase.COMPLETED else "the old version is back"
    counted = failed_of(run)
    took = seconds(record.at - run.began)
    return f"{proven} after {took}" + (f"; {counted}" if counted else "") + (f"; {reason}" if reason else "")


_BY_KIND: dict[Kind, Callable[[Run, Record], str]] = {
    Kind.HEADER: _header,
    Kind.INTENT: _intent,
    Kind.DONE: _done,
    Kind.READING: _reading,
    Kind.VERDICT: _verdict,
    Kind.EVENT: _event,
}
_EVENTS: dict[Event, Callable[[Run, Record, str], str]] = {
    Event.STARTED: _started,
    Event.CLEARED: _cleared,
    Event.REFUSED: _refused,
    Event.APPLIED: _applied,
    Event.ADVANCED: _advanced,
    Event.HELD: _held,
    Event.BREACHED: _back,
    Event.FAILED: _failed,
    Event.ABORTED: _aborted,
    Event.EXPIRED: _expired,
    Event.RESUMED: _resumed,
    Event.UNDONE: _undone,
    Event.FINISHED: _finished,
}
