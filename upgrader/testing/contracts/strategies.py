"""The contract of every strategy: from what was read to steps, by nothing but what was read."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import pairwise

import pytest

from upgrader import plugins
from upgrader.errors import Refused
from upgrader.model.plugins import Gate, StepPlan, Survey

Planner = Callable[..., tuple[StepPlan, ...]]
"""A strategy's ``plan(survey, run, *, revision)``."""
RUN = "gateway-20261124-080000-ab12"


class StrategyContract:
    """Subclass it as ``Test…``; return your planner from `planner`, and what it may meet from `surveys`."""

    @abstractmethod
    def planner(self) -> Planner:
        """Return the strategy's ``plan``."""

    @abstractmethod
    def surveys(self) -> Mapping[str, Survey]:
        """Return surveys of gateways it can upgrade, by a name; see `upgrader.testing.surveys`."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Try each survey."""
        if "survey" in metafunc.fixturenames:
            found = self.surveys()
            metafunc.parametrize("survey", [*found.values()], ids=[*found])

    def planned(self, survey: Survey) -> tuple[StepPlan, ...]:
        """Return the steps for a survey."""
        return tuple(self.planner()(survey, RUN))

    def test_it_has_something_to_upgrade(self) -> None:
        """Without a survey nothing below is tried."""
        assert self.surveys()

    def test_it_is_pure(self, survey: Survey) -> None:
        """The same again gives the same, and what was read is left as it was."""
        before = deepcopy(survey)

        first, second = self.planned(survey), self.planned(survey)

        assert first == second
        assert survey == before

    def test_it_plans_steps_with_names_of_their_own(self, survey: Survey) -> None:
        """The journal files by them."""
        ids = [step.id for step in self.planned(survey)]

        assert ids
        assert all(one.strip() for one in ids)
        assert len({*ids}) == len(ids)

    def test_the_journal_can_hold_every_step(self, survey: Survey) -> None:
        """Settings are JSON and nothing else; another process builds the step from them."""
        for step in self.planned(survey):
            assert json.loads(json.dumps(dict(step.settings))) == dict(step.settings), step.id
            assert isinstance(step.gate, Gate)

    def test_every_step_is_of_a_kind_that_there_is(self, survey: Survey) -> None:
        """Built as the engine builds it, it says what it will do."""
        for step in self.planned(survey):
            assert step.kind in plugins.names("steps"), f"{step.id}: no step {step.kind} is installed"
            assert plugins.find("steps", step.kind).build(step).describe().strip()

    def test_every_step_has_a_deadline(self, survey: Survey) -> None:
        """Nothing is waited for without an end."""
        assert all(0 < step.deadline_seconds < 86_400 for step in self.planned(survey))

    def test_the_new_share_grows_to_all(self, survey: Survey) -> None:
        """Group by group, never down; in the end everything is new."""
        steps = self.planned(survey)
        groups: dict[str, list[float]] = {}
        for step in steps:
            groups.setdefault(str(step.settings.get("group", "")), []).append(step.new_share)

        assert all(0 <= share <= 1 for shares in groups.values() for share in shares)
        assert all(
            before <= after for shares in groups.values() for before, after in pairwise(shares) if after
        )
        assert steps[-1].new_share == 1

    def test_what_gives_the_new_version_more_is_gated(self, survey: Survey) -> None:
        """So that it is looked at before it gets more again."""
        largest = 0.0
        for step in self.planned(survey):
            assert step.new_share <= largest or step.gate is not Gate.NONE, f"{step.id} is not gated"
            largest = max(largest, step.new_share)

    def test_it_bakes_once_and_nothing_is_left_unwatched(self, survey: Survey) -> None:
        """The last gate is one, too."""
        gates = [step.gate for step in self.planned(survey)]

        assert gates.count(Gate.BAKE) == 1
        assert gates[-1] is not Gate.NONE

    def test_a_revision_of_the_history_is_planned_or_refused_with_a_remedy(self, survey: Survey) -> None:
        """`upgrader rollback` asks for it."""
        try:
            said = "".join(step.id for step in self.planner()(survey, RUN, revision=1))
        except Refused as refused:
            said = refused.remedy

        assert said.strip()
