"""The meter equals the rule as it was simulated: golden vectors, first looks, planned times."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce

import pytest

from upgrader.model.evidence import (
    CeilingMeter,
    CeilingParameters,
    Counts,
    Meter,
    MeterParameters,
    gate_seconds,
    min_requests,
    smallest_fault_seen,
    smallest_visible_fault,
    time_to_see,
)

Look = tuple[float, ...]

DEFAULTS = MeterParameters(alpha=0.001, tolerate=0.0005, old_ref=0.0, plan_seconds=3600)
BASE = replace(DEFAULTS, old_ref=0.001)
RARE: Look = (200, 4, 800, 2)
BAD: Look = (200, 20, 800, 2)
STRICT = MeterParameters(
    alpha=0.01, tolerate=0.001, old_ref=0.0, plan_seconds=600, ratio=1.25, noise=2, wobble=0.4
)
TOTAL: Look = (100, 100, 900, 0)
CLEAN: Look = (100, 0, 900, 0)
QUIET_OLD: Look = (100, 0, 900, 1)

VECTORS: dict[str, tuple[MeterParameters, list[Look], list[float]]] = {
    "A-total-failure": (DEFAULTS, [TOTAL] * 4, [3.35271, 28.7493, 338.406, 4213.33]),
    "B-clean": (DEFAULTS, [CLEAN] * 5, [0.979551, 0.961728, 0.946120, 0.932382, 0.920225]),
    "C-five-percent": (
        DEFAULTS,
        [(100, 5, 900, 0)] * 6,
        [1.32243, 1.94239, 3.16265, 5.60761, 10.5729, 20.7613],
    ),
    "D-pooled": (
        DEFAULTS,
        [(1, 1, 9, 0)] * 9,
        [1, 1, 2.16919, 2.16919, 2.16919, 11.8820, 11.8820, 11.8820, 99.9482],
    ),
    "E-mixed": (
        DEFAULTS,
        [
            QUIET_OLD,
            (0, 0, 0, 0),
            (120, 3, 880, 2),
            (500, 4, 4500, 3, 5),
            (50, 0, 950, 20),
            (0, 0, 1000, 1),
            TOTAL,
            CLEAN,
        ],
        [0.910530, 0.910530, 1.09967, 1.83888, 1.05903, 1.05903, 2.91195, 2.88225],
    ),
    "F-incident": (
        BASE,
        [QUIET_OLD] * 2 + [(100, 30, 900, 270)] * 3 + [(100, 60, 900, 270)] * 2 + [CLEAN],
        [0.910530, 0.870791, 0.696979, 0.676007, 0.665069, 0.676197, 0.686026, 0.685989],
    ),
    "G-other-parameters": (
        STRICT,
        [RARE, BAD, BAD, (200, 0, 800, 4)],
        [1.04623, 1.35481, 1.85927, 1.38963],
    ),
    "H-most-are-new": (
        DEFAULTS,
        [(900, 45, 100, 0)] * 6,
        [1.33768, 2.01025, 3.38884, 6.26518, 12.3300, 25.1961],
    ),
}


def fed(meter: Meter, looks: list[Look]) -> Meter:
    return reduce(lambda state, look: state.look(Counts(*look)), looks, meter)


@pytest.mark.parametrize(("parameters", "looks", "expected"), VECTORS.values(), ids=VECTORS.keys())
def test_evidence_after_each_look_equals_the_golden_vector(
    parameters: MeterParameters, looks: list[Look], expected: list[float]
) -> None:
    """Six digits, after every look."""
    after_each = [fed(Meter(parameters), looks[: seen + 1]).evidence for seen in range(len(looks))]

    assert after_each == pytest.approx(expected, rel=5e-6)


def test_the_incident_flag_stands_while_the_old_version_fails_too() -> None:
    """Vector F: raised by the third look, not before."""
    parameters, looks, _ = VECTORS["F-incident"]

    flags = [fed(Meter(parameters), looks[: seen + 1]).incident for seen in range(len(looks))]

    assert flags == [False, False, True, True, True, True, True, True]


def test_a_fault_late_in_the_run_is_seen_as_the_vector_says() -> None:
    """Vector I: half an hour of calm does not bankrupt the bettors."""
    calm = fed(Meter(DEFAULTS), [CLEAN] * 1800)

    after_each = [fed(calm, [TOTAL] * seen).evidence for seen in range(6)]

    assert after_each == pytest.approx([0.372346, 0.514107, 1.51997, 12.0254, 137.815, 1701.84], rel=5e-6)


def test_without_old_pods_the_evidence_stands_still() -> None:
    """Vector J: no comparison, no evidence; only the reserve turns into stakes."""
    looks: list[Look] = [(100, 100, 0, 0)] * 61

    after_60 = fed(Meter(DEFAULTS), looks[:60])
    after_61 = fed(after_60, looks[60:])

    assert [after_60.evidence, after_61.evidence] == pytest.approx([1, 1], rel=1e-12)
    assert after_60.reserve == pytest.approx(0.491667, abs=5e-7)


@pytest.mark.parametrize(
    ("look", "first"),
    [
        pytest.param((100, 50, 900, 1), 4, id="half-of-new-fails"),
        pytest.param((100, 5, 900, 0), 12, id="five-percent"),
        pytest.param((100, 1, 900, 0), 13, id="one-percent"),
        pytest.param((1000, 20, 9000, 90), 38, id="two-percent-on-one-percent"),
        pytest.param((500, 500, 4500, 0, 5), 4, id="five-second-looks"),
    ],
)
def test_the_meter_breaches_at_the_look_the_simulation_saw(look: Look, first: int) -> None:
    """Neither a look earlier nor a look later."""
    before, at = fed(Meter(DEFAULTS), [look] * (first - 1)), fed(Meter(DEFAULTS), [look] * first)

    assert not before.breached
    assert at.breached
    assert at.evidence >= 1000


def test_an_hour_of_clean_looks_never_breaches() -> None:
    """And ends where the simulation ended."""
    assert fed(Meter(DEFAULTS), [CLEAN] * 3600).evidence == pytest.approx(0.232885, rel=5e-6)


@pytest.mark.parametrize(
    ("fault", "share", "requests"),
    [(1, 0.1, 23), (0.05, 0.1, 459), (0.01, 0.1, 2676), (0.05, 0.5, 1594), (0.05, 0.9, 10912)],
)
def test_min_requests_equals_the_table(fault: float, share: float, requests: int) -> None:
    """The published lower bounds."""
    assert min_requests(DEFAULTS, fault=fault, share=share) == requests


def test_a_tolerated_fault_needs_no_number_of_requests() -> None:
    """0.04 % more failures are inside +0.05 %: they never show."""
    assert min_requests(DEFAULTS, fault=0.0004, share=0.1) is None


@pytest.mark.parametrize(("fault", "share"), [(1, 0.1), (0.05, 0.1), (0.05, 0.9)])
def test_smallest_visible_fault_turns_min_requests_round(fault: float, share: float) -> None:
    """To one percent of the fault."""
    requests = min_requests(DEFAULTS, fault=fault, share=share)
    assert requests is not None

    visible = smallest_visible_fault(DEFAULTS, requests=requests, share=share)

    assert visible is not None
    assert visible <= fault * 1.01
    needed = min_requests(DEFAULTS, fault=visible, share=share)
    assert needed is not None
    assert needed <= requests


def test_too_few_requests_show_no_fault_at_all() -> None:
    """With 22 requests even a total failure is not sure to be seen."""
    assert smallest_visible_fault(DEFAULTS, requests=22, share=0.1) is None


FAULTS = (0.01, 0.05, 0.5, 1.0)


def warmed(rate: float, share: float) -> Meter:
    calm = (rate * share, rate * share * 0.001, rate * (1 - share), rate * (1 - share) * 0.001)
    return fed(Meter(BASE), [calm] * 600)


@pytest.mark.parametrize(
    ("meter", "share", "rate", "seconds"),
    [
        pytest.param(Meter(BASE), 0.1, 1000, [22, 12, 4, 4], id="cold-1000"),
        pytest.param(Meter(BASE), 0.1, 100, [213, 23, 12, 9], id="cold-100"),
        pytest.param(warmed(100, 0.1), 0.1, 100, [301, 38, 16, 13], id="warm-100"),
        pytest.param(warmed(1000, 0.1), 0.1, 1000, [39, 20, 6, 5], id="warm-1000"),
        pytest.param(warmed(100, 0.5), 0.5, 100, [160, 24, 16, 9], id="warm-half-100"),
    ],
)
def test_time_to_see_equals_the_table(meter: Meter, share: float, rate: float, seconds: list[int]) -> None:
    """T(f) for faults of 1, 5, 50 and 100 %."""
    assert [time_to_see(meter, fault=fault, share=share, rate=rate) for fault in FAULTS] == seconds


def test_time_to_see_in_the_lab_equals_the_table() -> None:
    """1,000 requests a second, a quarter of them on new pods."""
    lab = Meter(BASE)

    assert [time_to_see(lab, fault=f, share=0.25, rate=1000) for f in (0.02, 0.2, 1.0)] == [12, 4, 4]


def test_time_to_see_of_what_is_tolerated_is_for_ever() -> None:
    """And so it is with nothing to compare with, or no traffic."""
    meter = Meter(BASE)

    assert time_to_see(meter, fault=0.0004, share=0.1, rate=1000, at_most_seconds=900) == math.inf
    assert time_to_see(meter, fault=1, share=1, rate=1000) == math.inf
    assert time_to_see(meter, fault=1, share=0.1, rate=0) == math.inf


def test_a_breached_meter_has_seen_it_already() -> None:
    """No time is left to wait."""
    assert time_to_see(fed(Meter(DEFAULTS), [TOTAL] * 4), fault=0.05, share=0.1, rate=10) == 0


def test_the_smallest_fault_seen_is_seen_in_time_and_a_smaller_one_is_not() -> None:
    """Solved for the fault, T(f) is the batch's time."""
    meter = warmed(1000, 0.1)

    fault = smallest_fault_seen(meter, share=0.1, rate=1000, within_seconds=39)

    assert fault is not None
    assert fault == pytest.approx(0.01, rel=0.1)
    assert time_to_see(meter, fault=fault, share=0.1, rate=1000) <= 39
    assert time_to_see(meter, fault=fault / 1.02, share=0.1, rate=1000) > 39


def test_a_batch_too_short_for_any_fault_sees_none() -> None:
    """Three looks are below the floor of the proof."""
    assert smallest_fault_seen(Meter(BASE), share=0.1, rate=1e6, within_seconds=3) is None


@pytest.mark.parametrize(
    ("seen", "stand", "gate"), [(38, 120, 120), (39, 120, 122), (4, 10, 17), (math.inf, 120, math.inf)]
)
def test_a_gate_stands_three_times_the_time_to_see(seen: float, stand: float, gate: float) -> None:
    """Or the playbook's least time, if that is longer."""
    assert gate_seconds(seen, stand) == gate


CEILING = CeilingParameters(alpha=0.001, ceiling=0.05, plan_seconds=3600)


@pytest.mark.parametrize(
    ("rate", "fault", "seconds"),
    [(10, 0.5, 12), (1000, 0.5, 4), (300_000, 0.5, 4), (1000, 0.1, 19), (300_000, 0.1, 7)],
)
def test_the_ceiling_meter_takes_as_long_as_was_checked(rate: float, fault: float, seconds: int) -> None:
    """A 50 % fault 4-13 s at any traffic, 10 % 7-19 s from 1,000 requests a second."""
    look = Counts(rate, rate * fault, 0, 0)

    meter, looks = CeilingMeter(CEILING), 0
    while not meter.breached and looks < 60:
        meter, looks = meter.look(look), looks + 1

    assert looks == seconds


def test_the_ceiling_meter_is_silent_at_the_ceiling() -> None:
    """5 % of new requests failing is what the ceiling allows."""
    meter = CeilingMeter(CEILING)

    for _ in range(600):
        meter = meter.look(Counts(1000, 50, 0, 0))

    assert meter.evidence < 1
