"""What one reading means, alone and beside what a balancer says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from upgrader.model.evidence import Counts
from upgrader.model.plugins import Gate, StepPlan
from upgrader.model.policy import DUE_REQUESTS, Policy, SignalPolicy
from upgrader.model.reading import Reading
from upgrader.model.run import Run
from upgrader.model.verdict import Verdict, judge

NOW = 1_000.0
SILENT = Reading(
    signal="envoy_stats",
    read_at=NOW,
    data_time=NOW,
    source="a test",
    counts=Counts(0, 0, 900, 0, 1.0),
    due_requests=DUE_REQUESTS,
)


def balancer(*, new_healthy: int) -> Reading:
    values = {"new_healthy": float(new_healthy), "new_total": 1.0}
    return Reading("envoy gateways", NOW, NOW, "a test", values=values)


def run_with(*readings: Reading) -> Run:
    policy = Policy(
        false_alarm=0.001,
        tolerate=0.001,
        exclude=0.2,
        ceiling=0.05,
        old_ref=0.001,
        stand_seconds=4.0,
        bake_seconds=5.0,
        hold_seconds=10.0,
        plan_seconds=300.0,
        signals={
            "envoy_stats": SignalPolicy(1.0, weight=1.0, compares_pods=True),
            "envoy gateways": SignalPolicy(1.0, speaks_of_backends=True),
        },
    )
    latest = {one.signal: one for one in readings}
    return Run(
        header={},
        policy=policy,
        steps=(StepPlan("roll proxies 1/2", "roll_batch", Gate.STAND, {}, 60.0, 0.3),),
        latest=latest,
        good_at=dict.fromkeys(latest, NOW),
    )


@pytest.mark.parametrize(
    ("readings", "holds"),
    [
        pytest.param((SILENT,), True, id="nobody says why"),
        pytest.param((SILENT, balancer(new_healthy=1)), True, id="the balancer sends nothing to them"),
        pytest.param((SILENT, balancer(new_healthy=0)), False, id="the balancer has not taken them in"),
        pytest.param(
            (SILENT, replace(balancer(new_healthy=0), error="HTTP 503")), True, id="the balancer is mute"
        ),
    ],
)
def test_silence_holds_unless_a_balancer_has_not_taken_the_new_pods_in(
    readings: tuple[Reading, ...], holds: bool
) -> None:
    """A cloud's balancer takes minutes; a hold that expires before its settle time would pause each batch."""
    judged = judge(run_with(*readings), "envoy_stats", NOW, Gate.STAND)

    assert judged.verdict is Verdict.NO_TRAFFIC
    assert judged.holds is holds


def test_a_few_requests_due_are_no_silence() -> None:
    few = replace(SILENT, due_requests=DUE_REQUESTS - 1)

    assert judge(run_with(few), "envoy_stats", NOW, Gate.NONE).verdict is Verdict.PASS
