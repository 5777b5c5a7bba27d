"""Decide: from the readings to the one thing to do next. Pure; re-derived from the journal by `explain`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from upgrader.model.phase import WATCHED, Event, Phase
from upgrader.model.plugins import Gate
from upgrader.model.policy import BRAKE_EVIDENCE, CALM_SECONDS
from upgrader.model.run import Run, new_pods
from upgrader.model.verdict import Judgement, Verdict, backends_missing, judge, lacking

SETTLED_SECONDS = 3.0
"""How long a doubt that is no evidence must be gone before a brake is let go."""
GATE_PATIENCE = 10.0
"""A gate that has not passed after this many times its least length is held, and then paused."""
LEAST_PATIENCE_SECONDS = 300.0
HALF_A_POD = 0.5
"""Rounding of a share to whole pods is no growth."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do next.

    Args:
        verdict: On the run as a whole.
        event: What it does to the run, or ``None``: go on as now.
        reasons: Sentences with the numbers and their source.
    """

    verdict: Verdict
    event: Event | None
    reasons: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Return the reasons as one text."""
        return "; ".join(self.reasons)


def decide(run: Run, now: float) -> Decision:
    """Judge all signals and choose the event that follows.

    Args:
        run: The run, in a phase in which verdicts act.
        now: UTC seconds.
    """
    judged = [judge(run, name, now, _gate(run)) for name in run.policy.signals]
    judged += [*_evidence(run, now), *_outgrown(run, now), *_overdue(run, now), *_unanswered(run, now)]
    breaches = tuple(one.reason for one in judged if one.verdict is Verdict.BREACH)
    if breaches:
        return Decision(Verdict.BREACH, Event.BREACHED if run.phase in WATCHED else None, breaches)
    holds = [one for one in judged if one.holds]
    doubts = [one for one in judged if one.verdict is not Verdict.PASS]
    worst = (holds or doubts or [Judgement("", Verdict.PASS)])[0]
    reasons = tuple(one.reason for one in (holds or doubts))
    return Decision(worst.verdict, *_act(run, now, bool(holds), reasons))


def _gate(run: Run) -> Gate:
    return run.step.gate if run.phase is Phase.OBSERVING else Gate.NONE


def _evidence(run: Run, now: float) -> list[Judgement]:
    """Judge the run's one evidence."""
    proof, odds = 1 / run.policy.false_alarm, run.evidence
    if odds >= proof:
        text = f"odds of {odds:,.0f} to 1 that new fails more than old ({proof:,.0f} needed){_failed(run)}"
        return [Judgement("evidence", Verdict.BREACH, text, holds=True)]
    if odds >= BRAKE_EVIDENCE:
        text = f"odds of {odds:,.0f} to 1 that new fails more than old, {proof:,.0f} needed{_failed(run)}"
        return [Judgement("evidence", Verdict.TOO_LITTLE, text, holds=True)]
    calm = now - run.calm_since
    if run.phase is Phase.HOLDING and calm < CALM_SECONDS and run.calm_since > run.began:
        text = f"the evidence fell to {odds:.1f}; calm for {calm:.0f} of {CALM_SECONDS:.0f} s"
        return [Judgement("evidence", Verdict.TOO_LITTLE, text, holds=True)]
    return []


def _failed(run: Run) -> str:
    for name, total in run.totals.items():
        if run.policy.signals[name].compares_pods and total.new_requests:
            return f": {total.new_failures:.0f} of {total.new_requests:.0f} requests failed on new pods"
    return ""


def _outgrown(run: Run, now: float) -> list[Judgement]:
    """Hold when more pods are new than has been gated: an autoscaler grows the new version in proportion."""
    (new, wanted), gated = new_pods(run), max(run.gated_share, run.step.new_share)
    stood_at_it = run.phase is Phase.HOLDING and now - run.since >= run.policy.stand_seconds
    if gated == 0 or new <= math.floor(gated * wanted + HALF_A_POD) or stood_at_it:
        return []
    text = (
        f"{new:.0f} of {wanted:.0f} pods are new and {gated:.0%} have been gated: was it scaled in mid-run?"
    )
    return [Judgement("rollout", Verdict.TOO_LITTLE, text, holds=True)]


def _overdue(run: Run, now: float) -> list[Judgement]:
    """Hold a gate that never gets what it needs: doubt ends in a pause, never in a rollback."""
    gating = run.phase is Phase.OBSERVING or (run.phase is Phase.HOLDING and run.came_from is Phase.OBSERVING)
    waited = now - run.gate_since
    if not gating or waited <= max(LEAST_PATIENCE_SECONDS, GATE_PATIENCE * _least(run)):
        return []
    why = "; ".join(lacking(run))
    text = f"the gate after {run.step.id} has not passed in {waited:.0f} s{why and ': '}{why}"
    return [Judgement("gate", Verdict.TOO_LITTLE, text, holds=True)]


def _unanswered(run: Run, now: float) -> list[Judgement]:
    """Hold a step that waits for somebody else's API beyond its deadline; a resume gives it another."""
    applying = run.phase is Phase.APPLYING or (run.phase is Phase.HOLDING and run.came_from is Phase.APPLYING)
    facts = run.facts.get(run.step.id, {})
    waited = now - max(float(facts.get("begun_at", now)), run.resumed_at)
    if not (applying and run.step.patient) or waited <= run.step.deadline_seconds:
        return []
    why = facts.get("waits_for") or "it is not there yet"
    text = f"{run.step.id} is not done after {waited:.0f} s: {why}"
    return [Judgement(run.step.id, Verdict.UNAVAILABLE, text, holds=True)]


def _least(run: Run) -> float:
    return {Gate.BAKE: run.policy.bake_seconds, Gate.NONE: 0.0}.get(run.step.gate, run.policy.stand_seconds)


def _act(run: Run, now: float, holds: bool, reasons: tuple[str, ...]) -> tuple[Event | None, tuple[str, ...]]:
    """Choose the event of a run that is not breached."""
    stood = now - run.since
    if run.phase is Phase.HOLDING:
        if not holds:
            settled = stood >= SETTLED_SECONDS
            return (Event.CLEARED if settled else None), ("nothing speaks against it any more",)
        return (Event.EXPIRED if stood >= run.policy.hold_seconds else None), reasons
    if holds:
        return Event.HELD, reasons
    if run.phase is not Phase.OBSERVING:
        return None, reasons
    return _pass_gate(run, stood, reasons)


def _pass_gate(run: Run, stood: float, reasons: tuple[str, ...]) -> tuple[Event | None, tuple[str, ...]]:
    least = _least(run)
    missing = backends_missing(run) if run.step.gate is not Gate.NONE else ""
    reasons = (*reasons, missing) if missing else reasons
    if reasons or stood < least:
        return None, (*reasons, f"the gate has stood {stood:.0f} of {least:.0f} s")
    passed = f"gate passed after {stood:.0f} s, odds {run.evidence:.2f} to 1"
    return (Event.FINISHED if run.is_last_step else Event.ADVANCED), (passed,)
