"""Findings in order, and waived with a reason."""

from __future__ import annotations

import pytest

from tests.checks.rows import all_checks, playbook, proxies
from tests.checks.rows_beside import canary
from upgrader.errors import PlaybookInvalid
from upgrader.model.findings import blocking, run_all
from upgrader.model.plugins import Severity
from upgrader.testing.surveys import SurveyBuilder


def one_pod() -> SurveyBuilder:
    builder = SurveyBuilder()
    proxies("spec.replicas", 1)(builder)
    proxies("spec.strategy.rollingUpdate.maxUnavailable", 1)(builder)
    return builder


def test_what_blocks_comes_first() -> None:
    found = run_all(one_pod().build(), all_checks().values())

    severities = [list(Severity).index(one.severity) for one in found]
    assert len(set(severities)) > 1
    assert severities == sorted(severities)


def test_a_waived_rule_no_longer_blocks_and_keeps_its_reason() -> None:
    builder = one_pod()
    playbook("checks.waive", [{"rule": "replicas-one", "reason": "CHG-1234"}])(builder)

    found = run_all(builder.build(), all_checks().values())

    assert [one.waived for one in found if one.rule == "replicas-one"] == ["CHG-1234"]
    assert "replicas-one" not in [one.rule for one in blocking(found)]


def test_without_a_waiver_it_blocks() -> None:
    found = run_all(one_pod().build(), all_checks().values())

    assert "replicas-one" in [one.rule for one in blocking(found)]


def test_a_waiver_of_an_unknown_rule_is_refused_with_the_nearest_one() -> None:
    builder = SurveyBuilder()
    playbook("checks.waive", [{"rule": "drain-bugdet", "reason": "x"}])(builder)

    with pytest.raises(PlaybookInvalid, match="drain-bugdet") as caught:
        run_all(builder.build(), all_checks().values())

    assert caught.value.key == "checks.waive[0].rule"
    assert "drain-budget" in caught.value.remedy


def test_a_rule_that_speaks_of_another_strategy_is_silent() -> None:
    """A second installation replaces nothing, so what matters where pods are replaced does not block it."""
    builder, in_place = SurveyBuilder(), SurveyBuilder()
    canary()(builder)
    for one in (builder, in_place):
        one.change("Deployment", "gateway", lambda found: found["spec"].update(replicas=99), where="new")

    rules = [
        {one.rule for one in run_all(made.build(), all_checks().values())} for made in (builder, in_place)
    ]

    assert "replicas-grown" not in rules[0]
    assert "replicas-grown" in rules[1]
