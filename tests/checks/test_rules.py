"""What each rule says, and what it is silent about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.checks import rows_beside, rows_cluster, rows_crds, rows_gateway, rows_release
from tests.checks.rows import Row, all_checks
from upgrader.model.findings import run_all
from upgrader.model.plugins import Severity
from upgrader.testing.surveys import SurveyBuilder

ROWS = (
    *rows_release.ROWS,
    *rows_gateway.ROWS,
    *rows_cluster.ROWS,
    *rows_beside.ROWS,
    *rows_crds.ROWS,
)


CHECKS = all_checks()
RULES = [rule for check in CHECKS.values() for rule in check.RULES]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
def test_a_rule_speaks_of_its_trouble_and_of_nothing_else(row: Row) -> None:
    builder = SurveyBuilder()
    row.change(builder)

    found = [one for one in run_all(builder.build(), CHECKS.values()) if one.rule == row.rule]

    if row.severity is None:
        assert not found
    else:
        assert {one.severity for one in found} == {row.severity}
        assert any(row.says in one.seen for one in found)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_row_that_speaks_and_one_that_is_silent(rule: str) -> None:
    of_rule = [row for row in ROWS if row.rule == rule]

    assert {row.severity is None for row in of_rule} == {True, False}


def test_every_row_is_of_a_rule_and_no_two_checks_share_one() -> None:
    assert {row.rule for row in ROWS} == set(RULES)
    assert len(set(RULES)) == len(RULES)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
def test_a_finding_is_of_its_own_check_and_says_what_to_do(row: Row) -> None:
    builder = SurveyBuilder()
    row.change(builder)
    survey = builder.build()

    for name, check in CHECKS.items():
        for finding in check.check(survey):
            assert finding.rule in check.RULES, name
            assert finding.seen
            assert finding.remedy or finding.severity is not Severity.BLOCK


@given(
    replicas=st.integers(2, 40),
    surge=st.sampled_from([1, 3, "25%", "100%"]),
    unavailable=st.sampled_from([0, 1, "25%"]),
    margin=st.integers(1, 60),
)
def test_a_good_gateway_of_any_size_is_not_refused(
    replicas: int, surge: int | str, unavailable: int | str, margin: int
) -> None:
    builder = SurveyBuilder()
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    for name in ("gateway", "control"):
        builder.change(
            "Deployment", name, lambda one: one["spec"].update(replicas=replicas, strategy=rolling)
        )
    seconds = 5.5 + 5 + margin
    builder.change(
        "Deployment",
        "gateway",
        lambda one: one["spec"]["template"]["spec"].update(terminationGracePeriodSeconds=seconds),
    )
    for one in builder.nodes:
        one["status"]["allocatable"] = {"cpu": "64", "memory": "256Gi", "pods": "500"}

    found = run_all(builder.build(), CHECKS.values())

    assert [one for one in found if one.severity is Severity.BLOCK] == []


def test_of_the_good_gateway_nothing_is_said_at_all() -> None:
    assert run_all(SurveyBuilder().build(), CHECKS.values()) == ()
