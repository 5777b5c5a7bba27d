"""What a run came to: a few lines for the terminal, and the same as JSON. Pure; read off the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from upgrader.errors import JournalDamaged
from upgrader.model.measure import tiers_of
from upgrader.model.phase import EXIT_CODES, TERMINAL, Event, Phase
from upgrader.model.plugins import Gate, StepPlan
from upgrader.model.record import Kind, Record
from upgrader.model.run import WAY_BACK, Run, Totals, open_run
from upgrader.report.wording import drain_slack

SCHEMA = 1
"""Version of the JSON form."""
MOST_TURNS = 6
"""A run that held very often is told by its last turns."""
_TURNS = TERMINAL | {Phase.HOLDING, Phase.PAUSED, Phase.ROLLING_BACK}


@dataclass(frozen=True, slots=True)
class ClientCount:
    """What the clients saw, as the load that was sent counted it.

    Args:
        sent: Requests sent.
        failed: Those that did not end well.
        reasons: How many failed for which reason.
    """

    sent: int
    failed: int
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepSpan:
    """One step that was begun.

    Args:
        plan: The step as it was planned.
        says: What it was to do.
        began_at: UTC seconds.
        done_at: When it was done; ``None`` if it never was.
        passed_at: When its gate passed; ``None`` if it never did.
    """

    plan: StepPlan
    says: str
    began_at: float
    done_at: float | None = None
    passed_at: float | None = None

    @property
    def work_seconds(self) -> float | None:
        """Return how long it took, holds included."""
        return None if self.done_at is None else self.done_at - self.began_at

    @property
    def gate_seconds(self) -> float | None:
        """Return how long its gate took to pass, holds included; ``None`` too for a step without a gate."""
        if self.plan.gate is Gate.NONE or self.done_at is None or self.passed_at is None:
            return None
        return self.passed_at - self.done_at


@dataclass(frozen=True, slots=True)
class Turn:
    """A moment at which the run left the straight way, or ended.

    Args:
        at: UTC seconds.
        phase: The phase it entered.
        reason: Why.
    """

    at: float
    phase: Phase
    reason: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A run told at its end.

    Args:
        run: The run as it stands.
        steps: The steps that were begun, in order.
        peak_evidence: The highest odds against the new version, to 1; ``None`` when only the end is known.
        turns: Holds, pauses, the way back and the end, each with its reason, in order.
        client: What the clients saw, if anybody counted.
        undo: The commands that bring the old version back from here without the tool.
    """

    run: Run
    steps: tuple[StepSpan, ...] = ()
    peak_evidence: float | None = None
    turns: tuple[Turn, ...] = ()
    client: ClientCount | None = None
    undo: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """Return it as lines for a terminal."""
        return tuple(_lines(self))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; units are in the names."""
        run, client = self.run, self.client
        code = EXIT_CODES.get(run.phase)
        return {
            "schema": SCHEMA,
            **{key: run.header["measured"].get(key, "") for key in ("release", "namespace", "from", "to")},
            "phase": run.phase.value,
            "exit_code": None if code is None else code.value,
            "reason": run.reason,
            "began_at": run.began,
            "seconds": run.at - run.began,
            "seconds_in_phase": dict(run.seconds_in),
            "turns": [{"at": one.at, "phase": one.phase.value, "reason": one.reason} for one in self.turns],
            "evidence": {
                "peak": self.peak_evidence,
                "last": run.evidence,
                "rolls_back_at": 1 / run.policy.false_alarm,
            },
            "client": client
            and {"sent": client.sent, "failed": client.failed, "reasons": {**client.reasons}},
            "requests": {name: _counted(total) for name, total in run.totals.items()},
            "steps": [{**_span(step), **_drained(run, step.plan.id)} for step in self.steps],
            "way_back": _drained(run, WAY_BACK),
            "undo": list(self.undo),
        }


def summary_text(run: Run, *, client: ClientCount | None = None, undo: Sequence[str] = ()) -> tuple[str, ...]:
    """Tell a run by how it stands alone; `summarize` knows its steps and turns too."""
    turns = (Turn(run.at, run.phase, run.reason),) if run.reason else ()
    return Summary(run, turns=turns, client=client, undo=tuple(undo)).lines()


def summarize(
    lines: Iterable[Mapping[str, Any]], *, client: ClientCount | None = None, undo: Sequence[str] = ()
) -> Summary:
    """Tell a run from its journal.

    Args:
        lines: The journal's lines, oldest first.
        client: What the clients saw, if anybody counted.
        undo: The undo commands for where the run stands.

    Raises:
        JournalDamaged: It is empty, of an unknown version, or its chain is broken.
    """
    told: Summary | None = None
    for line in lines:
        record = Record.from_line(line)
        told = Summary(open_run(record)) if told is None else _told(told, record)
    if told is None:
        raise JournalDamaged("the journal is empty", remedy="start a new run")
    return replace(told, client=client, undo=tuple(undo))


def _told(so_far: Summary, record: Record) -> Summary:
    """Fold one more record in."""
    run = so_far.run.with_record(record)
    told = replace(so_far, run=run, peak_evidence=max(so_far.peak_evidence or 1.0, run.evidence))
    if record.kind is Kind.INTENT and record.body["act"] == "start":
        plan = next(one for one in run.steps if one.id == record.step)
        return replace(told, steps=(*told.steps, StepSpan(plan, str(record.body.get("says", "")), record.at)))
    if record.kind is not Kind.EVENT:
        return told
    if run.phase in _TURNS:
        told = replace(told, turns=(*told.turns, Turn(record.at, run.phase, run.reason)))
    return replace(told, steps=_stepped(told.steps, record))


def _stepped(steps: tuple[StepSpan, ...], record: Record) -> tuple[StepSpan, ...]:
    """Note what an event says of the newest step."""
    if not steps:
        return steps
    *before, last = steps
    event = Event(record.body["event"])
    if event is Event.APPLIED:
        last = replace(last, done_at=record.at)
    elif event is Event.ADVANCED or (event is Event.FINISHED and record.phase is Phase.OBSERVING):
        last = replace(last, passed_at=record.at)
    return (*before, last)


def _counted(total: Totals) -> dict[str, float]:
    return {
        "new_requests": total.new_requests,
        "new_failures": total.new_failures,
        "old_requests": total.old_requests,
        "old_failures": total.old_failures,
    }


def _span(step: StepSpan) -> dict[str, Any]:
    return {
        "id": step.plan.id,
        "says": step.says,
        "new_share_ratio": step.plan.new_share,
        "work_seconds": step.work_seconds,
        "gate_seconds": step.gate_seconds,
    }


def _drained(run: Run, step: str) -> dict[str, Any]:
    """Return the pods that ended, and the least slack that one of them had at least; ``None`` where none."""
    drained = run.drained(step)
    if drained is None:
        return {"drained_pods": 0, "drain_slack_seconds": None}
    return {"drained_pods": int(drained.pods), "drain_slack_seconds": drained.slack_seconds}


def _lines(told: Summary) -> Iterator[str]:
    run = told.run
    yield _title(run)
    yield from _row("why", [_turn(run, turn) for turn in told.turns[-MOST_TURNS:]])
    yield from _row("clients", _client(told.client))
    yield from _row("requests", [_requests(run, name, total) for name, total in run.totals.items()])
    yield from _row("evidence", [_evidence(told)] if run.meters else [])
    yield from _row("phases", [_phases(run)] if run.seconds_in else [])
    yield from _row("steps", [_step(run, step) for step in told.steps])
    yield from _row("way back", [said] if (said := drain_slack(run, WAY_BACK)) else [])
    yield from _row("undo", list(told.undo))


def _row(name: str, texts: Sequence[str]) -> Iterator[str]:
    """Yield lines with one name at the left of the first."""
    for number, text in enumerate(texts):
        yield f"  {name if not number else '':<10}{text}"


def _title(run: Run) -> str:
    said = run.header["measured"]
    code = EXIT_CODES.get(run.phase)
    end = run.phase.value.replace("_", " ").upper() + ("" if code is None else f" (exit {code.value})")
    named = ([one[key] for key in ("namespace", "release") if one.get(key)] for one in tiers_of(said))
    place = ", ".join("/".join(names) for names in named)
    way = " → ".join(said[key] for key in ("from", "to") if said.get(key))
    what = ", ".join(part for part in (place, way) if part)
    return f"{end} after {duration(run.at - run.began)}" + (f": {what}" if what else "")


def _turn(run: Run, turn: Turn) -> str:
    return f"{turn.phase.value.replace('_', ' ')} after {duration(turn.at - run.began)}: {turn.reason}"


def _client(client: ClientCount | None) -> list[str]:
    if client is None:
        return []
    reasons = ", ".join(f"{count:,} {name}" for name, count in sorted(client.reasons.items()) if count)
    return [f"{client.sent:,} requests sent, {client.failed:,} failed" + (f" ({reasons})" if reasons else "")]


def _requests(run: Run, name: str, total: Totals) -> str:
    pods = run.policy.signals[name].compares_pods
    new, old = ("new pods", "old pods") if pods else ("through the gateway", "past it")
    first = f"{total.new_requests:,.0f} {new}, {total.new_failures:,.0f} failed"
    return f"{name}: {first} · {total.old_requests:,.0f} {old}, {total.old_failures:,.0f} failed"


def _evidence(told: Summary) -> str:
    proof, peak = 1 / told.run.policy.false_alarm, told.peak_evidence
    odds = f"{told.run.evidence:,.1f}" if peak is None else f"at most {peak:,.1f}"
    return f"{odds} to 1 against the new version; {proof:,.0f} to 1 rolls back"


def _phases(run: Run) -> str:
    return " · ".join(f"{name.replace('_', ' ')} {duration(took)}" for name, took in run.seconds_in.items())


def _step(run: Run, step: StepSpan) -> str:
    work = "not finished" if step.work_seconds is None else duration(step.work_seconds)
    gate = "" if step.plan.gate is Gate.NONE or step.done_at is None else ", its gate did not pass"
    if step.gate_seconds is not None:
        gate = f", gate {duration(step.gate_seconds)}"
    share = f", then {step.plan.new_share:.0%} new" if step.plan.new_share else ""
    drain = f"; {said}" if (said := drain_slack(run, step.plan.id)) else ""
    return f"{step.plan.id}: {work}{gate}{share}{drain}"


def duration(seconds: float) -> str:
    """Return a time as people say it: ``0.4 s``, ``12 s``, ``2 min 3 s``, ``1 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
