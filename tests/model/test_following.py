"""Does traffic follow what a balancer tells as set? By what the pods count."""

from __future__ import annotations

import pytest

from upgrader.model.evidence import Counts
from upgrader.model.following import BOUND, SURE, shares, weighed
from upgrader.model.plugins import Gate, StepPlan


def rung(ratio: float) -> StepPlan:
    return StepPlan(f"shift {ratio}", "shift_traffic", Gate.STAND, {"new_ratio": ratio}, 60.0, ratio)


def look(new: int, old: int) -> Counts:
    return Counts(new, 0, old, 0, 1.0)


@pytest.mark.parametrize(
    ("before", "step", "told"),
    [
        (rung(0.01), rung(0.05), (0.01, 0.05)),
        (rung(0.5), rung(1.0), None),
        (StepPlan("probe", "probe_directly", Gate.NONE, {}, 60.0), rung(0.1), None),
        (rung(1.0), StepPlan("retire", "retire", Gate.SETTLE, {}, 60.0, 1.0), None),
        (None, rung(0.1), None),
    ],
    ids=["between", "to all", "from none", "no rung", "the first step"],
)
def test_shares_are_told_apart_where_both_sides_get_some(
    before: StepPlan | None, step: StepPlan, told: tuple[float, float] | None
) -> None:
    assert shares(before, step) == told


@pytest.mark.parametrize(
    ("counts", "sure"),
    [
        (look(10, 990), True),
        (look(14, 986), True),
        (look(50, 950), False),
        (look(35, 965), False),
        (look(0, 0), False),
        (look(0, 10), False),
    ],
    ids=["as before", "as before, by chance more", "as set", "as set, by chance less", "nothing", "too few"],
)
def test_a_share_that_stayed_is_known_by_enough_requests(counts: Counts, sure: bool) -> None:
    """From 1 % to 5 %: a thousand requests tell, ten do not."""
    odds = weighed(0.0, counts, was=0.01, wanted=0.05)

    assert (odds <= -SURE) is sure


def test_what_comes_late_shows_at_once_however_long_it_stayed_away() -> None:
    odds = 0.0
    for _ in range(60):
        odds = weighed(odds, look(40, 360), was=0.1, wanted=0.5)
    stayed, odds = odds, weighed(odds, look(200, 200), was=0.1, wanted=0.5)

    assert stayed == -BOUND
    assert odds == BOUND
