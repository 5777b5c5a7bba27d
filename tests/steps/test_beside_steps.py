"""What the steps of a second installation ask of the world; how they end together: `tests/scenario`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from tests.signals.fakes import FakeHttp, ports
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Gate, Scene, StepPlan
from upgrader.model.ports import Answer, ProbeSpec
from upgrader.steps import probe_directly
from upgrader.steps.probe_directly import ROUNDS

SPECS = (
    ProbeSpec("http://green/", 1.0, 200, {"x-api-key": "secret", "host": "api.example.com"}),
    ProbeSpec("http://green/orders", 1.0, 401, {"host": "api.example.com"}),
)


class Asking:
    """A step that asks; the answers are in the test's hands."""

    def __init__(self) -> None:
        self.http = FakeHttp({"http://green/orders": Answer(401), "http://green/": Answer(200)})
        self.step = probe_directly.build(StepPlan("probe", "probe_directly", Gate.NONE, {}, 60.0))
        self.facts: dict[str, Any] = {}

    def poll(self, *, act: str = "poll") -> bool:
        world = replace(ports(http=self.http), direct=SPECS)
        scene = Scene(world, Fleet((), ()), {}, self.facts)
        progress = getattr(self.step, act)(scene)
        self.facts |= progress.facts
        self.said = progress.detail
        return cast(bool, progress.done)


def test_so_many_rounds_in_a_row_must_be_answered_rightly() -> None:
    asking = Asking()

    ends = [asking.poll() for _ in range(ROUNDS)]

    assert ends == [False] * (ROUNDS - 1) + [True]
    assert {request.headers["host"] for request in asking.http.sent} == {"api.example.com"}


@pytest.mark.parametrize("wrong", [Answer(503), Answer(0, error="refused")])
def test_a_wrong_answer_begins_the_count_anew_and_is_said(wrong: Answer) -> None:
    asking = Asking()
    for _ in range(ROUNDS - 1):
        asking.poll()

    asking.http.pages["http://green/orders"] = wrong
    asking.poll()

    assert asking.facts["good"] == 0
    assert "http://green/orders answers" in asking.said
    assert "must answer 401" in asking.said


def test_what_is_asked_past_the_balancer_goes_on_while_the_brake_is_on() -> None:
    """Nobody else asks the new version: without it the evidence would stand still, and doubt never end."""
    asking = Asking()

    assert asking.poll(act="brake")
    assert len(asking.http.sent) == len(SPECS)
