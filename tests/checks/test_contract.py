"""Every check that ships with us passes the contract that third parties run, rule by rule."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from tests.checks.rows import all_checks
from tests.checks.test_rules import ROWS
from upgrader.model.plugins import Check, Survey
from upgrader.testing.contracts.checks import CheckContract
from upgrader.testing.surveys import SurveyBuilder


@cache
def spoken_of() -> Mapping[str, Survey]:
    """Return a survey for every rule of which it must speak, by the rule."""
    found: dict[str, Survey] = {}
    for row in ROWS:
        if row.severity is not None and row.rule not in found:
            builder = SurveyBuilder()
            row.change(builder)
            found[row.rule] = builder.build()
    return found


def contract_of(module: Check) -> type[CheckContract]:
    """Return the contract of one check, with the rows of its rules."""

    class Contract(CheckContract):
        def check(self) -> Check:
            return module

        def surveys(self) -> Mapping[str, Survey]:
            return {rule: survey for rule, survey in spoken_of().items() if rule in module.RULES}

    return Contract


for _name, _module in all_checks().items():
    globals()[f"Test_{_name}"] = contract_of(_module)
