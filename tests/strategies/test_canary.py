"""What a canary and a blue-green switch plan; golden."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from tests.checks.rows_beside import canary
from upgrader.errors import Refused
from upgrader.model.plugins import Gate, StepPlan, Survey
from upgrader.strategies import blue_green
from upgrader.strategies.canary import plan, usable
from upgrader.testing.surveys import SurveyBuilder


def surveyed(*, kind: str = "canary", **strategy: Any) -> Survey:
    builder = SurveyBuilder()
    canary(delay_seconds=7.0)(builder)
    builder.playbook["strategy"] |= {"kind": kind, **strategy}
    if kind == "blue_green":
        del builder.playbook["strategy"]["rungs"]
    return builder.build()


def ids(steps: tuple[StepPlan, ...]) -> list[tuple[str, Gate]]:
    return [(step.id, step.gate) for step in steps]


def test_a_canary_installs_asks_shifts_in_rungs_and_retires_last() -> None:
    steps = plan(surveyed(rungs=["1%", "50%", "100%"]), "run-1")

    assert ids(steps) == [
        ("install", Gate.SETTLE),
        ("probe", Gate.NONE),
        ("shift 1/3", Gate.STAND),
        ("shift 2/3", Gate.STAND),
        ("shift 3/3", Gate.BAKE),
        ("retire", Gate.SETTLE),
    ]
    assert [step.new_share for step in steps] == [0.0, 0.0, 0.01, 0.5, 1.0, 1.0]
    assert json.loads(json.dumps([asdict(step) for step in steps]))


def test_blue_green_is_a_canary_of_one_rung() -> None:
    steps = blue_green.plan(surveyed(kind="blue_green", direct={}), "run-1")

    assert ids(steps) == [("install", Gate.SETTLE), ("shift 1/1", Gate.BAKE), ("retire", Gate.SETTLE)]


def test_a_place_that_nobody_can_ask_is_not_said_to_be_asked() -> None:
    """The next upgrade goes the other way, and so does the question."""
    other_only = surveyed(direct={"blue": "http://blue"})
    no_requests = SurveyBuilder()
    canary()(no_requests)
    no_requests.playbook["signals"] = [{"kind": "rollout"}]

    for survey in (other_only, no_requests.build()):
        assert "probe" not in dict(ids(plan(survey, "run-1")))


def test_what_waits_for_the_balancer_is_patient_for_its_delay_and_the_hold() -> None:
    """Late is doubt there; the installation and the questions fail."""
    steps = {step.id: step for step in plan(surveyed(), "run-1")}

    assert {name for name, step in steps.items() if step.patient} == {"shift 1/2", "shift 2/2", "retire"}
    hold = surveyed().playbook.blind.hold.total_seconds()
    assert steps["shift 1/2"].deadline_seconds == 7.0 + hold


def test_a_revision_is_refused_with_the_way_to_go() -> None:
    with pytest.raises(Refused, match="not to a revision") as refused:
        plan(surveyed(), "run-1", revision=3)

    assert "swap chart.from and chart.to" in refused.value.remedy


@pytest.mark.parametrize(
    ("rungs", "finest", "given"),
    [
        pytest.param([0.001, 0.01, 0.5, 1.0], 0.001, (0.001, 0.01, 0.5, 1.0), id="all of them"),
        pytest.param([0.001, 0.01, 0.5, 1.0], 0.01, (0.01, 0.5, 1.0), id="too fine a one is left out"),
        pytest.param([0.013, 1.0], 0.01, (0.01, 1.0), id="rounded to what it gives"),
        pytest.param([0.01, 0.013, 1.0], 0.01, (0.01, 1.0), id="two that come to the same are one"),
        pytest.param([0.3, 1.0], 1.0, (1.0,), id="all or nothing"),
        pytest.param([0.99, 1.0], 1 / 256, (253 / 256, 1.0), id="a step that is no round number"),
    ],
)
def test_only_the_rungs_that_the_balancer_can_give_are_used(
    rungs: list[float], finest: float, given: tuple[float, ...]
) -> None:
    assert usable(rungs, finest) == pytest.approx(given)
