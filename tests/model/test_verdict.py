"""What one reading means; the statistics behind the meter are tested with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.scenario.stage import Stage
from upgrader.flow.decide import decide
from upgrader.model.evidence import Counts
from upgrader.model.phase import Event, Phase
from upgrader.model.plugins import Gate, StepPlan
from upgrader.model.reading import Fact, Reading, Weight
from upgrader.model.record import Kind, Record
from upgrader.model.run import Run, new_ratio, open_run
from upgrader.model.verdict import Verdict, judge, needed_seconds

BEGAN = 1000.0


def run_with(reading: Reading | None, **changes: Any) -> Run:
    header = Record(0, BEGAN, Kind.HEADER, Phase.PLANNED, "", Stage().header())
    run = open_run(header)
    latest = {"envoy_stats": reading} if reading else {}
    good = {"envoy_stats": BEGAN} if reading and not reading.error else {}
    return replace(run, latest=latest, good_at=good, **changes)


def reading(**changes: Any) -> Reading:
    fields: dict[str, Any] = {"counts": Counts(100, 0, 900, 0, 1.0)} | changes
    return Reading("envoy_stats", BEGAN, BEGAN, "test", **fields)


VERDICTS = {
    "a good look while a step is done": (reading(), 0.5, Verdict.PASS, False),
    "no look yet": (None, 1.0, Verdict.PASS, False),
    "no look for too long": (None, 5.0, Verdict.UNAVAILABLE, True),
    "one failed look": (reading(error="refused"), 1.0, Verdict.PASS, False),
    "the last good look is old": (reading(), 5.0, Verdict.STALE, True),
    "a new pod unread": (reading(unread_new=True), 0.5, Verdict.PARTIAL, False),
    "few old pods unread": (reading(unread_ratio=0.05), 0.5, Verdict.PASS, False),
    "silent though much was due": (reading(due_requests=2000.0), 0.5, Verdict.NO_TRAFFIC, True),
    "silent for less than a balancer needs to look": (reading(due_requests=201.0), 0.5, Verdict.PASS, False),
    "a fact that holds": (reading(facts=(Fact(Weight.HOLD, "x", "why"),)), 0.5, Verdict.TOO_LITTLE, True),
    "a fact that is proof": (reading(facts=(Fact(Weight.BREACH, "x", "why"),)), 0.5, Verdict.BREACH, True),
    "a note": (reading(facts=(Fact(Weight.NOTE, "x", "why"),)), 0.5, Verdict.PASS, False),
}


@pytest.mark.parametrize(("said", "later", "verdict", "holds"), VERDICTS.values(), ids=VERDICTS)
def test_a_reading_is_judged(said: Reading | None, later: float, verdict: Verdict, holds: bool) -> None:
    """Only pass advances; only breach rolls back; what is merely not known yet brakes nothing."""
    found = judge(run_with(said), "envoy_stats", BEGAN + later, Gate.NONE)

    assert (found.verdict, found.holds) == (verdict, holds)


def test_a_balancer_that_does_not_know_is_told_in_its_own_words() -> None:
    """The operator at 03:00 looks for the provider's word, not for ours."""
    doubt = Fact(Weight.HOLD, "backend-unknown", "gateways does not know the health of 2 of 4 pods")
    word = Fact(Weight.NOTE, "unknown-health-word", "gateways calls endpoints REBALANCING")
    other = Fact(Weight.NOTE, "session-affinity", "sessions stay")

    found = judge(run_with(reading(facts=(doubt, word, other))), "envoy_stats", BEGAN, Gate.NONE)

    assert found.reason == f"{doubt.text}; {word.text}"


def test_a_gate_needs_three_times_what_it_takes_to_see_the_fault_it_rules_out() -> None:
    """At 1,000 requests/s and a tenth on new pods a fault of 20 % shows within seconds."""
    needed = needed_seconds(run_with(reading()), "envoy_stats", Gate.STAND)

    assert 11.0 <= needed <= 30.0


def test_a_gate_without_both_sides_can_rule_nothing_out() -> None:
    """No old pod, no comparison: such a gate is named, never passed by waiting."""
    alone = reading(counts=Counts(1000, 0, 0, 0, 1.0))

    assert needed_seconds(run_with(alone), "envoy_stats", Gate.STAND) == float("inf")


def test_a_batch_that_went_on_to_the_last_pod_leaves_no_baseline() -> None:
    """Killed in mid-batch, we find all pods new: the gate stands its time, under the ceiling meter."""
    alone = reading(counts=Counts(1000, 0, 0, 0, 1.0))
    rollout = Reading("rollout", BEGAN, BEGAN, "watch", values={"g wanted_new": 3.0, "g wanted": 3.0})
    run = run_with(alone)
    step = replace(run.step, settings={"group": "g"})
    all_new = replace(run, steps=(step,), latest={**run.latest, "rollout": rollout})

    assert needed_seconds(all_new, "envoy_stats", Gate.STAND) == 4.0


def test_a_gate_that_settles_stands_its_time_only() -> None:
    """After the last old pod there is no baseline: probes, facts and the ceiling remain."""
    alone = reading(counts=Counts(1000, 0, 0, 0, 1.0))

    assert needed_seconds(run_with(alone), "envoy_stats", Gate.SETTLE) == 4.0


WAITING = reading(facts=(Fact(Weight.WAIT, "no-traffic-yet", "no traffic yet on 1 of 1 new pods: a"),))


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [
        (Gate.NONE, Verdict.PASS),
        (Gate.SETTLE, Verdict.NO_TRAFFIC),
        (Gate.STAND, Verdict.NO_TRAFFIC),
        (Gate.BAKE, Verdict.NO_TRAFFIC),
    ],
)
def test_what_a_gate_waits_for_keeps_it_open_and_brakes_nothing(gate: Gate, verdict: Verdict) -> None:
    """However long it has stood; while a step is still being done there is no gate to keep open."""
    found = judge(run_with(WAITING, gate_seconds={"envoy_stats": 1e6}), "envoy_stats", BEGAN, gate)

    assert (found.verdict, found.holds) == (verdict, False)
    assert ("no traffic yet" in found.reason) is (gate is not Gate.NONE)


PATIENT = StepPlan("shift 1/2", "shift_traffic", Gate.STAND, {}, 30.0, 0.1, patient=True)


@pytest.mark.parametrize(
    ("waited", "resumed", "holds"),
    [
        pytest.param(29.0, 0.0, False, id="in time"),
        pytest.param(31.0, 0.0, True, id="late"),
        pytest.param(31.0, BEGAN + 10, False, id="a resume gives it another deadline"),
    ],
)
def test_a_step_that_waits_for_somebody_elses_api_is_held_and_never_failed(
    waited: float, resumed: float, holds: bool
) -> None:
    facts = {PATIENT.id: {"begun_at": BEGAN, "waits_for": "the API said: throttled"}}
    run = run_with(None)
    policy = replace(run.policy, signals={})
    run = replace(run, phase=Phase.APPLYING, steps=(PATIENT,), facts=facts, resumed_at=resumed)
    run = replace(run, policy=policy, meters={}, ceilings={})

    decision = decide(run, BEGAN + waited)

    assert decision.event is (Event.HELD if holds else None)
    assert ("throttled" in decision.reason) is holds


@pytest.mark.parametrize(("live", "green", "new"), [("blue", 0.1, 0.1), ("green", 0.1, 0.9)])
def test_the_share_of_the_new_version_is_read_off_the_balancer(live: str, green: float, new: float) -> None:
    told = Reading("front", BEGAN, BEGAN, "test", values={"green_ratio": green})
    run = run_with(None)
    run = replace(run, header={**run.header, "measured": {"live": live}}, latest={"front": told})

    assert new_ratio(run) == pytest.approx(new)
    assert new_ratio(replace(run, latest={})) is None
