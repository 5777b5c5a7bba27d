"""Every strategy that ships with us passes the contract that third parties run."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

import upgrader.strategies
from tests.checks.rows_crds import V1, widgets
from upgrader.model.plugins import Survey
from upgrader.model.strategy import STRATEGIES
from upgrader.strategies import blue_green, canary, rolling
from upgrader.testing.contracts.strategies import Planner, StrategyContract
from upgrader.testing.surveys import SurveyBuilder
from upgrader.testing.two_places import two_places

DIRECT = {"blue": "http://blue", "green": "http://green"}


def in_place(replicas: int, **strategy: Any) -> Survey:
    builder = SurveyBuilder()
    builder.playbook["strategy"] = {"kind": "rolling", **strategy}

    def scale(one: dict[str, Any]) -> None:
        one["spec"]["replicas"] = replicas

    builder.change("Deployment", "gateway", scale, where="old new live")
    return builder.build()


class TestRolling(StrategyContract):
    def planner(self) -> Planner:
        return rolling.plan

    def surveys(self) -> Mapping[str, Survey]:
        return {
            "one pod": in_place(1),
            "three pods": in_place(3),
            "twenty pods": in_place(20, batches=[1, "50%", "100%"]),
        }


class TestCanary(StrategyContract):
    def planner(self) -> Planner:
        return canary.plan

    def surveys(self) -> Mapping[str, Survey]:
        return {
            "usual rungs": two_places({"kind": "canary"}).build(),
            "coarse balancer": two_places({"kind": "canary"}, finest_ratio=0.1).build(),
            "with definitions": self._with_definitions(),
            "asked directly": two_places({"kind": "canary", "direct": DIRECT}).build(),
        }

    def _with_definitions(self) -> Survey:
        builder = two_places({"kind": "canary"})
        builder.crds = [widgets(V1)]
        return builder.build()


class TestBlueGreen(StrategyContract):
    def planner(self) -> Planner:
        return blue_green.plan

    def surveys(self) -> Mapping[str, Survey]:
        return {"usual": two_places({"kind": "blue_green", "direct": DIRECT}).build()}


def test_every_strategy_that_ships_is_held_to_its_contract() -> None:
    """One without surveys fails here."""
    own = [one for one in globals().values() if getattr(one, "__module__", "") == __name__]
    contracts = [one for one in own if isinstance(one, type) and issubclass(one, StrategyContract)]
    tried = {survey.playbook.strategy.kind for one in contracts for survey in one().surveys().values()}

    assert tried == {one.name for one in pkgutil.iter_modules(upgrader.strategies.__path__)}
    assert tried == {*STRATEGIES}
