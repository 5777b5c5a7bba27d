"""The contract of every pre-flight check: rules with names, findings with a remedy, and no more."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from upgrader.model.plugins import Check, Severity, Survey
from upgrader.testing.surveys import SurveyBuilder


def empty_surveys() -> Mapping[str, Survey]:
    """Return surveys in which what a check may look for is missing; a history is always there."""
    bare = SurveyBuilder(old=[], new=[], nodes=[], trial={}, chart_version="")
    first = SurveyBuilder(old=[])
    return {
        "nothing but a history": bare.build(),
        "nothing before": first.build(),
        "good": SurveyBuilder().build(),
    }


class CheckContract:
    """Subclass it as ``Test…``; return your module from `check`, and what it must see from `surveys`."""

    @abstractmethod
    def check(self) -> Check:
        """Return the module: what the entry point names."""

    @abstractmethod
    def surveys(self) -> Mapping[str, Survey]:
        """Return at least one survey for each rule of which the rule must speak, by that rule's name."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Try each rule, and each survey."""
        if "rule" in metafunc.fixturenames:
            metafunc.parametrize("rule", [*self.check().RULES])
        if "survey" in metafunc.fixturenames:
            found = {**empty_surveys(), **self.surveys()}
            metafunc.parametrize("survey", [*found.values()], ids=[*found])

    def test_it_has_rules_that_can_be_waived_by_name(self) -> None:
        """Names such as ``drain-budget``, each with one line that says when it speaks."""
        rules = self.check().RULES

        assert rules
        for rule, line in rules.items():
            assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", rule), rule
            assert line.strip()
            assert "\n" not in line, rule

    def test_what_it_limits_to_strategies_is_a_rule_of_its_own(self) -> None:
        """`ONLY_FOR` names rules of the module."""
        limited: Mapping[str, Any] = getattr(self.check(), "ONLY_FOR", {})

        assert {*limited} <= {*self.check().RULES}

    def test_every_rule_speaks_of_something(self, rule: str) -> None:
        """One that never does would be no check."""
        assert rule in self.surveys(), "give a survey of which it must speak"

        assert rule in {finding.rule for finding in self.check().check(self.surveys()[rule])}

    def test_it_is_pure(self, survey: Survey) -> None:
        """The same again gives the same, and what was read is left as it was."""
        before = deepcopy(survey)

        first, second = ([*self.check().check(survey)] for _ in range(2))

        assert first == second
        assert survey == before

    def test_its_findings_can_be_acted_upon(self, survey: Survey) -> None:
        """Each is of its own rules and says what was seen; what blocks says what to do."""
        for finding in self.check().check(survey):
            assert finding.rule in self.check().RULES, f"{finding.rule} is none of its rules"
            assert isinstance(finding.severity, Severity)
            assert finding.seen.strip()
            assert finding.waived == "", "waivers are not its own business"
            if finding.severity is Severity.BLOCK:
                assert finding.remedy.strip(), f"{finding.rule} blocks, and says no remedy"
