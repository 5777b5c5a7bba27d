"""What has changed since a plan was made: then it is not carried out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.rows_beside import OTHER, canary, held
from upgrader.model.measure import measured, moved, turned
from upgrader.model.plugins import Split, Survey
from upgrader.model.ports import ReleaseStatus
from upgrader.testing.surveys import SurveyBuilder


def surveyed(**changed: Any) -> Survey:
    builder = SurveyBuilder()
    canary(**changed)(builder)
    return replace(builder.build(), nearby=())


def test_what_nobody_has_touched_is_as_it_was_planned() -> None:
    survey = surveyed()

    assert not list(moved(measured(survey, ""), survey))


@pytest.mark.parametrize(
    ("planned", "now", "words"),
    [
        (False, {"exists": True}, "namespace edge-green is there now"),
        (True, {"exists": False}, "namespace edge-green is gone"),
        (True, {"history": held(ReleaseStatus.DEPLOYED)}, "was at revision 0, now 1"),
    ],
)
def test_what_came_to_the_other_place_since_is_said(planned: bool, now: dict[str, Any], words: str) -> None:
    """The way back deletes the namespace that the run made: not one that somebody else made meanwhile."""
    said = measured(surveyed(exists=planned), "")

    [finding] = moved(said, replace(surveyed(), beside=replace(OTHER, **{"exists": planned, **now})))

    assert (finding.rule, words in finding.seen) == ("plan-is-stale", True)


@pytest.mark.parametrize(
    ("live", "split", "words"),
    [
        ("blue", Split(0.0), ""),
        ("green", Split(1.0), ""),
        ("blue", Split(1.0), "100.00% of it goes to green"),
        ("green", Split(0.25), "25.00% of it goes to green"),
        ("blue", Split(None, "timed out"), "timed out"),
        ("blue", Split(None), "not known"),
    ],
)
def test_a_plan_is_for_the_place_that_was_live(live: str, split: Split, words: str) -> None:
    """Else the run would retire the version that serves."""
    findings = list(turned({"live": live}, split))

    assert [words in one.seen for one in findings] == ([True] if words else [])
