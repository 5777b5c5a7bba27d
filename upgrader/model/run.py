"""A run as its journal tells it: frozen, and changed only by folding one more record in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from upgrader.errors import JournalDamaged
from upgrader.model import following
from upgrader.model.drain_slack import Drained
from upgrader.model.evidence import CeilingMeter, Counts, Meter
from upgrader.model.phase import TERMINAL, Event, Phase, next_phase
from upgrader.model.plugins import Color, Gate, StepPlan
from upgrader.model.policy import BRAKE_EVIDENCE, LATE_READINGS, Policy
from upgrader.model.reading import UNASKED, Reading
from upgrader.model.record import RULE, SCHEMA, Kind, Record

WAY_BACK = "way back"
"""What stands in the place of a step's id for pods that the way back ended."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Requests counted by one signal during the run."""

    new_requests: float = 0
    new_failures: float = 0
    old_requests: float = 0
    old_failures: float = 0


@dataclass(frozen=True, slots=True)
class Run:
    """Everything known of a run.

    Args:
        header: The body of the first record.
        policy: The numbers it is judged by.
        steps: The plan.
        phase: Where it stands.
        came_from: Where the last hold came from.
        index: The step being done or just done.
        seq: Number of the last record.
        prev: Its hash.
        at: When it was written, UTC seconds.
        since: When the phase began.
        began: When the run began.
        intents: What has been begun: ``start ID``, ``undo ID``, ``brake ID``.
        ended: What has ended, in the same words.
        facts: What each step's records said, by step id.
        meters: The evidence meter of each counting signal, of the current tier.
        ceilings: The same without an old side, fed only while there is none.
        past: What each signal's meters had shown of the tiers that are over, added up.
        tiers_over: How many those are.
        latest: The last reading of each signal.
        good_at: When each signal last had usable data.
        gate_seconds: Seconds of good looks since the step was done, by counting signal.
        following: Log odds since then that traffic has the share that was set, by counting signal.
        gate_since: Since when the gate has waited, holds included; anew after a resume.
        resumed_at: When a pause last ended.
        gated_share: The largest share of new pods of the current group that passed a gate or a hold, 0-1.
        calm_since: Since when the evidence has been below the brake's mark.
        verdict: The body of the last verdict.
        reason: Why the phase was entered.
        seconds_in: Seconds spent in each phase.
        totals: Requests of each counting signal.
        drains: The pods that ended, by the step that ended them (`WAY_BACK` for what an undo ended) and by
            the balancer that saw it.
    """

    header: Mapping[str, Any]
    policy: Policy
    steps: tuple[StepPlan, ...]
    phase: Phase = Phase.PLANNED
    came_from: Phase = Phase.APPLYING
    index: int = 0
    seq: int = 0
    prev: str = ""
    at: float = 0.0
    since: float = 0.0
    began: float = 0.0
    intents: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    meters: Mapping[str, Meter] = field(default_factory=dict)
    ceilings: Mapping[str, CeilingMeter] = field(default_factory=dict)
    past: Mapping[str, float] = field(default_factory=dict)
    tiers_over: int = 0
    latest: Mapping[str, Reading] = field(default_factory=dict)
    good_at: Mapping[str, float] = field(default_factory=dict)
    gate_seconds: Mapping[str, float] = field(default_factory=dict)
    following: Mapping[str, float] = field(default_factory=dict)
    gate_since: float = 0.0
    resumed_at: float = 0.0
    gated_share: float = 0.0
    calm_since: float = 0.0
    verdict: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    seconds_in: Mapping[str, float] = field(default_factory=dict)
    totals: Mapping[str, Totals] = field(default_factory=dict)
    drains: Mapping[str, Mapping[str, Drained]] = field(default_factory=dict)

    @property
    def step(self) -> StepPlan:
        """Return the step being done or just done."""
        return self.steps[self.index]

    @property
    def is_last_step(self) -> bool:
        """Tell whether no step follows."""
        return self.index == len(self.steps) - 1

    @property
    def is_over(self) -> bool:
        """Tell whether nothing can follow."""
        return self.phase in TERMINAL

    @property
    def evidence(self) -> float:
        """Return the weighted mean of all meters: odds to 1 that the new version is worse than tolerated.

        Of all tiers, with equal weights: those to come stand at 1, those that are over at what they came to.
        """
        if not self.meters:
            return 1.0
        return sum(self.policy.signals[name].weight * self._shown(name) for name in self.meters)

    def _shown(self, signal: str) -> float:
        tiers = self.policy.tiers
        to_come = tiers - self.tiers_over - 1
        return (self.past.get(signal, 0.0) + self.meters[signal].evidence + to_come) / tiers

    def drained(self, step: str) -> Drained | None:
        """Return the pods that a step ended, or `WAY_BACK`: each once, with the least slack anywhere."""
        seen = [*self.drains.get(step, {}).values()]
        if not seen:
            return None
        least = sum(seen[1:], start=seen[0])
        return replace(least, pods=max(one.pods for one in seen))

    @property
    def measured(self) -> Mapping[str, Any]:
        """Return what was measured before the run."""
        return self.header["measured"]  # type: ignore[no-any-return]

    def begun(self) -> tuple[StepPlan, ...]:
        """Return the steps that were begun, newest first: what a way back must undo."""
        return tuple(step for step in reversed(self.steps) if f"start {step.id}" in self.intents)

    def touched(self) -> tuple[int, ...]:
        """Return the tiers of the steps that were begun, newest first; the current one where none was."""
        return tuple(dict.fromkeys(step.tier for step in self.begun())) or (self.step.tier,)

    def with_record(self, record: Record) -> Run:
        """Fold one record in.

        Raises:
            JournalDamaged: It does not follow the last one.
        """
        if record.seq != self.seq + 1 or record.prev != self.prev:
            raise JournalDamaged(
                f"record {record.seq} does not follow record {self.seq}: the journal was changed or cut",
                remedy="keep the file; see `upgrader status`, and go back by the undo commands",
            )
        folded = _FOLDS[record.kind](self, record)
        return replace(folded, seq=record.seq, prev=record.digest(), at=record.at)


def new_pods(run: Run) -> tuple[float, float]:
    """Return how many pods of the current step's group shall be new, and how many there shall be in all.

    As the watch last saw the ReplicaSets; 0 of 0 before it did, and for steps that concern no one group.
    """
    group, values = run.step.settings.get("group", ""), run.latest.get("rollout")
    if not group or values is None:
        return 0.0, 0.0
    return values.values.get(f"{group} wanted_new", 0.0), values.values.get(f"{group} wanted", 0.0)


def new_ratio(run: Run) -> float | None:
    """Return the share of requests that a balancer says the new version gets, 0-1; ``None`` if none does."""
    live = run.measured.get("live")
    for reading in run.latest.values():
        if live and "green_ratio" in reading.values:
            green = reading.values["green_ratio"]
            return green if live == Color.BLUE.value else 1.0 - green
    return None


def open_run(record: Record) -> Run:
    """Begin a run from its header.

    Raises:
        JournalDamaged: The header is of a version this program does not know.
    """
    body = record.body
    if record.kind is not Kind.HEADER or body.get("schema") != SCHEMA or body.get("rule") != RULE:
        raise JournalDamaged(
            f"the journal begins with {record.kind} of schema {body.get('schema')}, rule {body.get('rule')}; "
            f"this program knows schema {SCHEMA}, rule {RULE}",
            remedy="use the version of upgrader that wrote it",
        )
    policy = Policy.from_body(body["policy"])
    steps = tuple(StepPlan(**{**one, "gate": Gate(one["gate"])}) for one in body["steps"])
    return Run(
        header=body,
        policy=policy,
        steps=steps,
        seq=record.seq,
        prev=record.digest(),
        at=record.at,
        since=record.at,
        began=record.at,
        calm_since=record.at,
        totals={name: Totals() for name in policy.counting},
        **_fresh_meters(policy),
    )


def fold(lines: Iterable[Mapping[str, Any]]) -> Run:
    """Rebuild a run from a journal's lines.

    Raises:
        JournalDamaged: It is empty, of an unknown version, or its chain is broken.
    """
    run: Run | None = None
    for line in lines:
        try:
            record = Record.from_line(line)
        except (KeyError, ValueError, TypeError) as error:
            raise JournalDamaged(f"a line of the journal is no record: {error}") from error
        run = open_run(record) if run is None else run.with_record(record)
    if run is None:
        raise JournalDamaged("the journal is empty", remedy="start a new run")
    return run


def _fold_mark(run: Run, record: Record) -> Run:
    act = f"{record.body['act']} {record.step}"
    known = {**run.facts.get(record.step, {}), **record.body.get("facts", {})}
    facts = {**run.facts, record.step: known} if known else run.facts
    if record.kind is Kind.INTENT:
        return replace(run, facts=facts, intents=run.intents | {act})
    return replace(run, facts=facts, ended=run.ended | {act} if record.body.get("ended") else run.ended)


def _fold_reading(run: Run, record: Record) -> Run:
    reading = Reading.from_body(record.body)
    run = replace(run, latest={**run.latest, reading.signal: reading})
    if reading.error:
        return run
    run = _drained(replace(run, good_at={**run.good_at, reading.signal: record.at}), reading)
    counts = reading.counts
    if counts is None or reading.signal not in run.meters:
        return run
    was = run.totals[reading.signal]
    total = Totals(
        was.new_requests + counts.new_requests,
        was.new_failures + counts.new_failures,
        was.old_requests + counts.old_requests,
        was.old_failures + counts.old_failures,
    )
    # What was not looked at during a gap was not seen to be good.
    looked = min(counts.seconds, LATE_READINGS * run.policy.signals[reading.signal].interval_seconds)
    stood = run.gate_seconds.get(reading.signal, 0.0) + looked
    fed = replace(
        _fed(run, reading.signal, counts),
        totals={**run.totals, reading.signal: total},
        gate_seconds={**run.gate_seconds, reading.signal: stood},
        following=_follows(run, reading, counts),
    )
    return fed if fed.evidence < BRAKE_EVIDENCE else replace(fed, calm_since=record.at)


def _follows(run: Run, reading: Reading, counts: Counts) -> Mapping[str, float]:
    """Weigh the share that a balancer was set to, where all pods of both sides were read."""
    name, parted = reading.signal, following.shares(run.steps[run.index - 1] if run.index else None, run.step)
    is_whole = reading.complete and not reading.values.get(UNASKED)
    if parted is None or not is_whole or not run.policy.signals[name].compares_pods:
        return run.following
    was, wanted = parted
    odds = following.weighed(run.following.get(name, 0.0), counts, was=was, wanted=wanted)
    return {**run.following, name: odds}


def _drained(run: Run, reading: Reading) -> Run:
    """Add the pods that a balancer saw end to the step during which they began to."""
    found = Drained.of_values(reading.values)
    if found is None:
        return run
    step = WAY_BACK if run.phase in _GOING_BACK else _step_at(run, reading.read_at - found.drain_seconds)
    known = run.drains.get(step, {})
    added = known[reading.signal] + found if reading.signal in known else found
    return replace(run, drains={**run.drains, step: {**known, reading.signal: added}})


def _step_at(run: Run, at: float) -> str:
    begun = (step.id for step in run.begun() if run.facts.get(step.id, {}).get("begun_at", at + 1) <= at)
    return next(begun, run.step.id)


def _fed(run: Run, signal: str, counts: Counts) -> Run:
    """Feed the meter of a signal, and its ceiling meter where there is nothing to compare with."""
    meters = {**run.meters, signal: run.meters[signal].look(counts)}
    if counts.old_requests or signal not in run.ceilings:
        return replace(run, meters=meters)
    return replace(run, meters=meters, ceilings={**run.ceilings, signal: run.ceilings[signal].look(counts)})


def _fold_verdict(run: Run, record: Record) -> Run:
    return replace(run, verdict=record.body)


def _fold_event(run: Run, record: Record) -> Run:
    event = Event(record.body["event"])
    phase = next_phase(run.phase, event, came_from=run.came_from)
    spent = {**run.seconds_in}
    spent[run.phase.value] = spent.get(run.phase.value, 0.0) + record.at - run.since
    moved = replace(
        run,
        phase=phase,
        since=record.at,
        seconds_in=spent,
        reason=str(record.body.get("reason", "")),
        came_from=run.phase if phase is Phase.HOLDING else run.came_from,
    )
    if event is Event.CLEARED and run.phase is Phase.HOLDING:
        new, wanted = new_pods(run)
        return replace(moved, gated_share=max(run.gated_share, new / wanted if wanted else 0.0))
    if event is Event.APPLIED:
        return replace(moved, gate_seconds={}, following={}, gate_since=record.at)
    if event is Event.RESUMED:
        return replace(moved, gate_since=record.at, resumed_at=record.at)
    if event is Event.ADVANCED:
        return _advanced(moved)
    return moved


def _advanced(run: Run) -> Run:
    """Go on to the next step; in another tier, other pods are the two sides."""
    done, following = run.step, run.steps[run.index + 1]
    is_same_tier = following.tier == done.tier
    is_same_group = is_same_tier and following.settings.get("group") == done.settings.get("group")
    gated = max(run.gated_share, done.new_share) if is_same_group else 0.0
    moved = replace(run, index=run.index + 1, gated_share=gated)
    if is_same_tier:
        return moved
    past = {name: run.past.get(name, 0.0) + meter.evidence for name, meter in run.meters.items()}
    return replace(moved, past=past, tiers_over=run.tiers_over + 1, **_fresh_meters(run.policy))


def _fresh_meters(policy: Policy) -> dict[str, Any]:
    """Return the meters a tier begins with."""
    compared = [name for name in policy.counting if policy.signals[name].compares_pods]
    return {
        "meters": {name: Meter(policy.meter(name)) for name in policy.counting},
        "ceilings": {name: CeilingMeter(policy.ceiling_meter(name)) for name in compared},
    }


_GOING_BACK = (Phase.ROLLING_BACK, Phase.VERIFYING)
_FOLDS = {
    Kind.INTENT: _fold_mark,
    Kind.DONE: _fold_mark,
    Kind.READING: _fold_reading,
    Kind.VERDICT: _fold_verdict,
    Kind.EVENT: _fold_event,
}
