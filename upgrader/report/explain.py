"""Derive every verdict of a run again from its journal, and say with which numbers. Pure.

A verdict is a function of the records before it. Deriving it again proves that nothing else went into it,
and that the file was not changed by someone who also mended its chain of hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from upgrader.flow.decide import decide
from upgrader.model.evidence import Counts
from upgrader.model.phase import WATCHED, Event, Phase
from upgrader.model.record import Kind, Record
from upgrader.model.run import Run, Totals
from upgrader.report.follow import Chapter, follow
from upgrader.report.standing import ceiling_odds
from upgrader.report.wording import (
    clock_time,
    count,
    drain_slack,
    odds,
    release_name,
    route,
    run_id,
    step_place,
    timestamp,
)

DERIVED_EVENTS = frozenset(
    {(phase, Event.BREACHED) for phase in WATCHED}
    | {(Phase.OBSERVING, Event.ADVANCED), (Phase.OBSERVING, Event.FINISHED), (Phase.HOLDING, Event.CLEARED)}
)
"""Events that only a verdict can bring: no operator and no step."""


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict as the journal has it, or as it was derived.

    Args:
        verdict: The verdict.
        event: What it did to the run; empty for nothing.
        reasons: Why.
        evidence: The run's evidence, to four digits behind the point.
    """

    verdict: str
    event: str
    reasons: tuple[str, ...]
    evidence: float


NOTHING = Said("none", "", (), 0.0)
"""What stands where the journal lacks a verdict."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """One verdict, derived again.

    Args:
        at: UTC seconds.
        seq: Number of its record.
        phase: The phase it was judged in.
        step: The step it concerns.
        said: What the journal has.
        again: What the records before it give.
        run: The run before it.
    """

    at: float
    seq: int
    phase: Phase
    step: str
    said: Said
    again: Said
    run: Run

    @property
    def equal(self) -> bool:
        """Tell whether both are the same, reasons and numbers included."""
        return self.said == self.again


def derive(lines: Iterable[Mapping[str, Any]]) -> tuple[Run, tuple[Derivation, ...]]:
    """Return the run, and each verdict derived again; also those that ought to be there and are not.

    Raises:
        JournalDamaged: The journal cannot be trusted.
    """
    found: list[Derivation] = []
    verdict: Record | None = None
    for chapter in follow(lines):
        found += _of(chapter, verdict)
        verdict, run = chapter.record if chapter.record.kind is Kind.VERDICT else None, chapter.after
    return run, tuple(found)


def _of(chapter: Chapter, verdict: Record | None) -> Iterator[Derivation]:
    """Derive a verdict, or what an event that has none ought to have had."""
    run, record = chapter.before, chapter.record
    if run is None:
        return
    if record.kind is Kind.VERDICT:
        yield _derived(run, record, _said(record.body))
    elif record.kind is Kind.EVENT and (record.phase, Event(record.body["event"])) in DERIVED_EVENTS:
        yield from () if _brought(verdict, record) else (_derived(run, record, NOTHING),)


def _brought(verdict: Record | None, event: Record) -> bool:
    """Tell whether an event stands right behind the verdict that brought it."""
    return verdict is not None and verdict.body.get("event") == event.body["event"]


def _derived(run: Run, record: Record, said: Said) -> Derivation:
    again = decide(run, record.at)
    event = again.event.value if again.event else ""
    derived = Said(again.verdict.value, event, again.reasons, round(run.evidence, 4))
    return Derivation(record.at, record.seq, run.phase, record.step or run.step.id, said, derived, run)


def _said(body: Mapping[str, Any]) -> Said:
    reasons = tuple(str(reason) for reason in body.get("reasons", ()))
    return Said(
        str(body["verdict"]), str(body.get("event", "")), reasons, float(body.get("evidence", float("nan")))
    )


def explain_text(lines: Iterable[Mapping[str, Any]]) -> tuple[str, bool]:
    """Return the explanation as text, and whether every verdict was derived equal.

    Raises:
        JournalDamaged: The journal cannot be trusted.
    """
    run, found = derive(lines)
    head = f"{run_id(run)}  {release_name(run)}  {route(run)}"
    blocks = ["\n".join(_block(one)) for one in found]
    different = sum(not one.equal for one in found)
    rule = f"rule {run.header['rule']}, odds of {count(1 / run.policy.false_alarm)} to 1 roll back"
    end = f"{len(found)} verdicts, each derived again from the readings before it: all equal ({rule})"
    if different:
        end = f"{different} of {len(found)} verdicts: DIFFERENT from what the readings before give ({rule})"
    return "\n\n".join([head, *blocks, end]), not different


def _block(one: Derivation) -> Iterator[str]:
    yield f"{clock_time(one.at)}Z  {one.phase.value}  {step_place(one.run, one.step)}  (record {one.seq})"
    yield from (f"  {line}" for line in _signals(one.run))
    yield from (f"  {line}" for line in [drain_slack(one.run, one.step)] if line)
    yield from _spoken("verdict", one.said)
    if one.equal:
        yield "  derived again: equal"
    else:
        yield from _spoken("derived again: DIFFERENT", one.again)


def _spoken(word: str, said: Said) -> Iterator[str]:
    event = f" → {said.event}" if said.event else ""
    evidence = f", E {odds(said.evidence)}" if said is not NOTHING else ""
    yield f"  {word}: {said.verdict}{event}{evidence}"
    yield from (f"    because {reason}" for reason in said.reasons)


def _signals(run: Run) -> Iterator[str]:
    for name, total in run.totals.items():
        weight = run.policy.signals[name].weight
        evidence, over = odds(run.meters[name].evidence), ceiling_odds(run, name)
        ceiling = f", ceiling E {odds(over)}" if over != 1.0 else ""
        yield f"{name}: {_nkmj(total)}, E {evidence} at weight {weight:.2f}{ceiling}{_last(run, name)}"


def _nkmj(seen: Totals | Counts) -> str:
    return (
        f"new {count(seen.new_failures)} of {count(seen.new_requests)} failed, "
        f"old {count(seen.old_failures)} of {count(seen.old_requests)}"
    )


def _last(run: Run, name: str) -> str:
    reading = run.latest.get(name)
    if reading is None:
        return ", no reading yet"
    if reading.error:
        return f", last reading: {reading.error}"
    return f"; last {reading.counts.seconds:.1f} s: {_nkmj(reading.counts)}" if reading.counts else ""


def explain_body(lines: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], bool]:
    """Return the explanation as JSON values, and whether every verdict was derived equal.

    Per signal ``n`` and ``k`` are requests and failures of new pods so far, ``m`` and ``j`` of old ones.

    Raises:
        JournalDamaged: The journal cannot be trusted.
    """
    run, found = derive(lines)
    equal = all(one.equal for one in found)
    body = {
        "run": run_id(run),
        "release": release_name(run),
        "rule": run.header["rule"],
        "odds_needed": 1 / run.policy.false_alarm,
        "all_equal": equal,
        "verdicts": [_body(one) for one in found],
    }
    return body, equal


def _body(one: Derivation) -> dict[str, Any]:
    return {
        "at": timestamp(one.at),
        "seq": one.seq,
        "phase": one.phase.value,
        "step": one.step,
        "signals": {name: _numbers(one.run, name) for name in one.run.totals},
        "drains": {name: asdict(drained) for name, drained in one.run.drains.get(one.step, {}).items()},
        "said": _said_body(one.said),
        "derived": _said_body(one.again),
        "equal": one.equal,
    }


def _said_body(said: Said) -> dict[str, Any] | None:
    if said is NOTHING:
        return None
    return {
        "verdict": said.verdict,
        "event": said.event,
        "reasons": list(said.reasons),
        "evidence_odds": said.evidence,
    }


def _numbers(run: Run, name: str) -> dict[str, Any]:
    total = run.totals[name]
    return {
        "n": total.new_requests,
        "k": total.new_failures,
        "m": total.old_requests,
        "j": total.old_failures,
        "evidence_odds": run.meters[name].evidence,
        "ceiling_evidence_odds": ceiling_odds(run, name),
        "weight_ratio": run.policy.signals[name].weight,
        "good_seconds_in_gate": run.gate_seconds.get(name, 0.0),
    }
