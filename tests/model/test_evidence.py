"""What the meter promises whatever it is fed."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import pytest

from upgrader.model.evidence import (
    CeilingMeter,
    CeilingParameters,
    Counts,
    Meter,
    MeterParameters,
    combined_evidence,
    min_requests,
)

DEFAULTS = MeterParameters(alpha=0.001, tolerate=0.0005, old_ref=0.0, plan_seconds=3600)


def fed(meter: Meter, looks: list[Counts]) -> Meter:
    return reduce(Meter.look, looks, meter)


def some_looks(seed: int, length: int = 40) -> list[Counts]:
    """Looks of every sort: quiet, busy, healthy, failing, with gaps."""
    chance = random.Random(seed)
    looks = []
    for _ in range(length):
        new, old = chance.choice([0, 1, 30, 4000]), chance.choice([0, 3, 25, 9000])
        worst = chance.choice([0, 0, 0.02, 1])
        failures = [int(side * worst * chance.random()) for side in (new, old)]
        looks.append(Counts(new, failures[0], old, failures[1], chance.choice([0.2, 1, 1, 15, 70])))
    return looks


SEEDS = range(30)


@pytest.mark.parametrize("seed", SEEDS)
def test_evidence_stays_above_zero_and_finite(seed: int) -> None:
    """Whatever happened, the bettors are neither ruined nor infinitely rich."""
    steps = itertools.accumulate(some_looks(seed), Meter.look, initial=Meter(DEFAULTS))

    assert all(0 < meter.evidence < math.inf for meter in steps)


def test_all_failing_for_a_day_does_not_overflow() -> None:
    """A breached meter stands still."""
    look = Counts(10**9, 10**9, 10**9, 0)

    breached = fed(Meter(DEFAULTS), [look] * 5)
    later = fed(breached, [look] * 1000)

    assert breached.breached
    assert later == breached


def test_huge_old_failures_do_not_take_the_whole_stake() -> None:
    """The reserve and the limit on a bet leave something to go on with."""
    meter = Meter(DEFAULTS).look(Counts(10**9, 0, 10**9, 10**9))

    assert meter.evidence > 0.49


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "blind",
    [Counts(0, 0, 5000, 40), Counts(5000, 5000, 0, 0, 60), Counts(0, 0, 0, 0, 60)],
    ids=["no-new", "no-old", "nothing"],
)
def test_with_one_side_silent_the_evidence_stands_and_reserve_becomes_stakes(
    seed: int, blind: Counts
) -> None:
    """No comparison, no evidence."""
    before = replace(fed(Meter(DEFAULTS), some_looks(seed, 5)), pooled=None)

    after = before.look(blind)

    if not before.breached:
        assert after.evidence == pytest.approx(before.evidence, rel=1e-12)
        assert after.reserve < before.reserve


@pytest.mark.parametrize("seed", SEEDS)
def test_within_a_pool_only_the_sums_matter(seed: int) -> None:
    """Low traffic split into many looks is judged like the same traffic in one."""
    chance = random.Random(seed)
    failures = [chance.randint(0, 1) for _ in range(4)]
    parts = [Counts(2, failed, 4, 0) for failed in failures]

    in_parts = fed(Meter(DEFAULTS), [*parts, Counts(10, 0, 30, 0)])
    at_once = Meter(DEFAULTS).look(Counts(18, sum(failures), 46, 0, 5))

    assert in_parts == at_once


def test_pooling_is_decided_by_requests_and_time_never_by_errors() -> None:
    """A stop rule that looks at errors would break the promise."""
    healthy, failing = Meter(DEFAULTS).look(Counts(9, 0, 19, 0)), Meter(DEFAULTS).look(Counts(9, 9, 19, 19))

    assert healthy.pooled is not None
    assert failing.pooled is not None
    assert failing.look(Counts(0, 0, 0, 0, 59)).pooled is None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_look_without_errors_never_raises_the_evidence(seed: int) -> None:
    """And leaves it where nothing extra is tolerated."""
    before = replace(fed(Meter(DEFAULTS), some_looks(seed, 3)), pooled=None)
    exact = replace(before, parameters=replace(DEFAULTS, tolerate=0.0))
    clean = Counts(300, 0, 2000, 0)

    assert before.look(clean).evidence <= before.evidence
    assert exact.look(clean).evidence == pytest.approx(exact.evidence, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_more_new_failures_in_the_last_look_never_lower_the_evidence(seed: int) -> None:
    """Only in the last look: across looks the memory of errors may dampen them."""
    before = fed(Meter(DEFAULTS), some_looks(seed, 8))

    ladder = [before.look(Counts(500, failures, 4000, 12)).evidence for failures in range(0, 501, 25)]

    assert ladder == sorted(ladder)


Bettors = list[tuple[float, float, float]]


def literal_rule(looks: list[Counts], has: MeterParameters, bettors: Bettors) -> float:
    """The rule as it is published, line by line, with the bettors in any order."""
    wealth, reserve, memory, old_errors, old_requests = [0.5 / 12] * 12, 0.5, 0.0, 0.0, 0.0
    block = [0.0] * 5
    for look in looks:
        seen = (look.new_requests, look.new_failures, look.old_requests, look.old_failures, look.seconds)
        block = [kept + more for kept, more in zip(block, seen, strict=True)]
        if block[2] < 20 and block[4] < 60:
            continue
        (n, k, m, j, a), block = block, [0.0] * 5
        added = reserve * min(1, a / has.plan_seconds)
        reserve -= added
        memory = memory * math.exp(-a / 60) + k + j
        old_errors = old_errors * math.exp(-a / 10) + j
        old_requests = old_requests * math.exp(-a / 10) + m
        sick = old_errors >= 5 and old_errors > max(5 * has.old_ref, has.old_ref + 0.01) * old_requests
        v = max(has.wobble, 0.7) if sick else has.wobble
        for at, (g, c, t) in enumerate(bettors):
            nats = 0.0
            if n and m:
                x, s = has.ratio * n / m, n / (n + m)
                h = min(g, 0.9 / x)
                damper = max(1, c * has.noise) + v**2 * s * (1 - s) * memory
                nats = (k * math.log(1 + h) + j * math.log(1 - h * x) - has.tolerate * n * h) / damper
                nats = min(nats, math.log(2 / has.alpha) * min(a / t, 1 / 3))
            wealth[at] = (wealth[at] + added / 12) * math.exp(nats)
        if reserve + sum(wealth) >= 1 / has.alpha:
            break
    return reserve + sum(wealth)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_meter_equals_the_published_rule_whatever_the_order_of_the_bets(seed: int) -> None:
    """Thirty random runs, bettors shuffled."""
    bettors: Bettors = [(g, c, t) for g in (0.1, 0.3, 1, 3, 10, 30) for c, t in ((20, 3), (2, 10))]
    random.Random(seed).shuffle(bettors)
    looks = some_looks(seed)

    assert fed(Meter(DEFAULTS), looks).evidence == pytest.approx(
        literal_rule(looks, DEFAULTS, bettors), rel=1e-11
    )


def test_a_replay_gives_the_same_meter_and_looking_changes_nothing_before() -> None:
    """Folding a journal twice is folding it once; a meter is a value."""
    looks, start = some_looks(3), Meter(DEFAULTS)

    assert fed(start, looks) == fed(start, looks)
    assert start == Meter(DEFAULTS)


def poisson(chance: random.Random, mean: float) -> int:
    """Draw by counting exponential gaps (Knuth); fine for small means."""
    limit, product, drawn = math.exp(-mean), chance.random(), 0
    while product > limit:
        product, drawn = product * chance.random(), drawn + 1
    return drawn


def clumped(size: int) -> Callable[[random.Random, float, int], int]:
    return lambda chance, mean, second: size * poisson(chance, mean / size)


def wobbling(chance: random.Random, mean: float, second: int) -> int:
    """20 % up or down, drawn anew every look for this side alone."""
    return poisson(chance, mean * chance.choice([0.8, 1.2]))


@pytest.mark.parametrize(
    ("draw", "parameters"),
    [
        pytest.param(clumped(1), replace(DEFAULTS, noise=0.05, wobble=0.0), id="poisson"),
        pytest.param(clumped(2), DEFAULTS, id="clumps-of-2"),
        pytest.param(wobbling, DEFAULTS, id="wobble"),
        pytest.param(clumped(20), replace(DEFAULTS, noise=10), id="clumps-of-20"),
    ],
)
def test_a_release_just_inside_what_is_tolerated_rarely_breaches(
    draw: Callable[[random.Random, float, int], int], parameters: MeterParameters
) -> None:
    """400 runs of 300 looks at the very edge, alpha 5 %: at most 20 false alarms."""
    at_edge = replace(parameters, alpha=0.05, old_ref=0.01, plan_seconds=300)
    new_mean, old_mean = 100 * (1.1 * 0.01 + 0.0005), 900 * 0.01
    chance, alarms = random.Random(20), 0

    for _ in range(400):
        meter = Meter(at_edge)
        for second in range(300):
            failures = draw(chance, new_mean, second), draw(chance, old_mean, second)
            meter = meter.look(Counts(100, min(100, failures[0]), 900, failures[1]))
            if meter.breached:
                break
        alarms += meter.breached

    assert alarms <= 20


def test_the_old_version_failing_is_worth_a_hold_only_when_it_lasts() -> None:
    """The bare flag is twitchy: 20 recent failures must stand for 10 s."""
    usual = replace(DEFAULTS, old_ref=0.001)
    burst, outage = Counts(10, 0, 90, 8), Counts(10, 3, 90, 27)

    twitch = fed(Meter(usual), [burst] + [Counts(10, 0, 90, 1)] * 60)
    nine, ten = (fed(Meter(usual), [outage] * seconds) for seconds in (9, 10))
    over = fed(ten, [Counts(10, 0, 90, 0)] * 60)

    assert (twitch.incident, twitch.old_version_fails) == (True, False)
    assert (nine.old_version_fails, ten.old_version_fails, over.old_version_fails) == (False, True, False)


def test_a_shared_outage_does_not_blame_the_upgrade() -> None:
    """30 % failing on both sides for five minutes."""
    outage = fed(Meter(replace(DEFAULTS, old_ref=0.001)), [Counts(100, 30, 900, 270)] * 300)

    assert outage.evidence < 1


@pytest.mark.parametrize(
    "counts",
    [
        (10, 11, 0, 0),
        (10, -1, 0, 0),
        (0, 0, 10, 11),
        (0, 0, -1, 0),
        (math.inf, 0, 0, 0),
        (0, 0, math.nan, 0),
        (10, 0, 90, 0, 0),
        (10, 0, 90, 0, -1),
        (10, 0, 90, 0, math.inf),
    ],
)
def test_counts_that_cannot_be_are_refused(counts: tuple[float, ...]) -> None:
    """More failures than requests, negative, not finite, or no time."""
    with pytest.raises(ValueError, match=r"side|seconds"):
        Counts(*counts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", 0),
        ("alpha", 1),
        ("alpha", math.nan),
        ("tolerate", -0.1),
        ("tolerate", 1),
        ("old_ref", 1.5),
        ("plan_seconds", 0),
        ("ratio", 0),
        ("noise", 0),
        ("wobble", -0.1),
        ("wobble", math.inf),
    ],
)
def test_parameters_outside_their_range_are_refused_by_name(name: str, value: float) -> None:
    """A meter must not run on numbers that make its promise void."""
    with pytest.raises(ValueError, match=name):
        replace(DEFAULTS, **{name: value})


@pytest.mark.parametrize(("name", "value"), [("alpha", 2), ("ceiling", 0), ("ceiling", 1), ("wobble", -1)])
def test_ceiling_parameters_outside_their_range_are_refused_by_name(name: str, value: float) -> None:
    """The same for the ceiling."""
    good = CeilingParameters(alpha=0.001, ceiling=0.05, plan_seconds=3600)

    with pytest.raises(ValueError, match=name):
        replace(good, **{name: value})


@pytest.mark.parametrize(("fault", "share"), [(1.1, 0.5), (-0.1, 0.5), (0.5, 0), (0.5, 1)])
def test_min_requests_refuses_what_is_no_share_or_fault(fault: float, share: float) -> None:
    """With all traffic on one side there is nothing to compare."""
    with pytest.raises(ValueError, match=r"fault|share"):
        min_requests(DEFAULTS, fault=fault, share=share)


def test_the_ceiling_meter_pools_and_stands_still_after_its_breach() -> None:
    """Nineteen requests are not judged; a thousand total failures do not overflow."""
    start = CeilingMeter(CeilingParameters(alpha=0.001, ceiling=0.05, plan_seconds=3600))
    failing = Counts(10**6, 10**6, 0, 0)

    pooled = start.look(Counts(19, 19, 0, 0))
    breached = reduce(CeilingMeter.look, [failing] * 6, start)

    assert (pooled.evidence, pooled.pooled is None) == (1.0, False)
    assert breached.breached
    assert breached.look(failing) is breached


def test_the_ceiling_meter_keeps_its_evidence_when_new_pods_get_no_traffic() -> None:
    """A silent minute proves nothing."""
    start = CeilingMeter(CeilingParameters(alpha=0.001, ceiling=0.05, plan_seconds=3600))

    assert start.look(Counts(0, 0, 100, 0, 60)).evidence == pytest.approx(1, rel=1e-12)


def test_combined_evidence_is_the_weighted_mean() -> None:
    """One budget for the run, split by weights fixed before it."""
    weights = {"errors": 0.6, "slow": 0.2, "share": 0.2}

    assert combined_evidence({"errors": 1000, "slow": 1, "share": 4}, weights) == pytest.approx(601)
    assert combined_evidence({"errors": 1, "slow": 1, "share": 1}, weights) == pytest.approx(1)


def test_a_meter_on_its_share_of_alpha_breaches_the_run_with_it() -> None:
    """Its breach at 1 / (alpha w) is the run's at 1 / alpha, even with all others ruined."""
    meter = fed(Meter(replace(DEFAULTS, alpha=0.001 * 0.6)), [Counts(100, 100, 900, 0)] * 6)

    run = combined_evidence({"errors": meter.evidence, "slow": 0.0}, {"errors": 0.6, "slow": 0.4})

    assert meter.breached
    assert run >= 1000


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        ({"errors": 1.0}, {"slow": 1.0}),
        ({"errors": 1.0}, {"errors": 0.9}),
        ({"errors": 1.0, "slow": 1.0}, {"errors": 1.5, "slow": -0.5}),
    ],
    ids=["other-meters", "not-one", "negative"],
)
def test_weights_that_would_spend_more_than_the_budget_are_refused(
    values: dict[str, float], weights: dict[str, float]
) -> None:
    """Every meter has a weight above 0, and together they are 1."""
    with pytest.raises(ValueError, match="weight"):
        combined_evidence(values, weights)
