"""What the rolling strategy plans; golden."""

from __future__ import annotations

from typing import Any

import pytest

from upgrader.model.plugins import Gate, StepPlan
from upgrader.strategies.rolling import plan
from upgrader.testing.surveys import SurveyBuilder


def planned(replicas: int = 3, **strategy: Any) -> tuple[StepPlan, ...]:
    builder = SurveyBuilder()
    builder.playbook["strategy"] = {"kind": "rolling", **strategy}

    def scale(one: dict[str, Any]) -> None:
        one["spec"]["replicas"] = replicas

    builder.change("Deployment", "gateway", scale, where="old new live")
    return plan(builder.build(), "run-1")


def test_the_control_plane_goes_first_and_the_last_old_pod_stays_for_the_bake() -> None:
    steps = planned(3)

    assert [(step.id, step.gate) for step in steps] == [
        ("freeze", Gate.NONE),
        ("helm", Gate.NONE),
        ("roll control_plane", Gate.SETTLE),
        ("roll proxies 1/2", Gate.STAND),
        ("roll proxies 2/2", Gate.BAKE),
        ("thaw", Gate.SETTLE),
    ]
    assert [step.settings.get("counts") for step in steps[3:5]] == [{"gateway": 1}, {"gateway": 2}]


@pytest.mark.parametrize(
    ("replicas", "counts"),
    [
        pytest.param(20, [1, 2, 10, 19], id="twenty"),
        pytest.param(2, [1], id="two: the first batch is the bake"),
        pytest.param(1, [1], id="one pod has no baseline"),
    ],
)
def test_batches_are_the_playbooks_less_the_pod_that_stays(replicas: int, counts: list[int]) -> None:
    steps = planned(replicas)

    batches = [
        step.settings["counts"]["gateway"] for step in steps if step.settings.get("group") == "proxies"
    ]
    assert batches == counts


def test_shares_are_of_the_serving_pods_only() -> None:
    shares = {step.id: step.new_share for step in planned(20)}

    assert shares["roll control_plane"] == 0.0
    assert shares["roll proxies 3/4"] == 0.5
    assert shares["thaw"] == 1.0


def test_every_step_is_json_so_that_the_journal_can_hold_it() -> None:
    import json

    for step in planned(20, ready_within="30s"):
        assert json.loads(json.dumps(dict(step.settings))) == dict(step.settings)
        assert step.deadline_seconds > 0
