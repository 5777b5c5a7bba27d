"""How strongly the counters speak against the new version: the evidence meter.

The question: *do requests fail on new pods more often than ``ratio`` times the old pods' rate plus
``tolerate``, in the same seconds?* The answer is one number, the evidence ``E``. It starts at 1,
falls while all is well and grows when new is worse. "E = 1,000" reads: odds of 1,000 to 1 that the
new version is worse than the old one by more than is tolerated.

Twelve bettors stake on "new is worse": six sizes of harm, each with two stopwatches. If new is not
worse, one look multiplies each stake by at most 1 on average, so ``E`` is a non-negative
supermartingale and by Ville's inequality reaches ``1 / alpha`` in at most a share ``alpha`` of runs,
however often one looks, holds or resumes. That is why a meter is never reset between batches.

Everything here is pure: a meter is rebuilt by folding the looks of a journal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

# Chosen with the simulations behind the rule, not by an operator.
SIZES_OF_HARM: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""How much worse each bettor expects new to be: 0.1 is ten percent more failures, 30 is 31 times."""
STOPWATCHES: Final = ((20.0, 3.0), (2.0, 10.0))
"""(errors in one clump it forgives at noise 1, least seconds of proof): a fast and a slow bettor."""
FIRST_RESERVE: Final = 0.5
"""Share of the stakes kept back for faults that begin late."""
POOL_OLD_REQUESTS: Final = 20
"""Looks are pooled until the old side has this many requests, or `POOL_SECONDS` have passed."""
POOL_SECONDS: Final = 60.0
INCIDENT_WOBBLE: Final = 0.7
"""Least wobble assumed while the old version fails too."""
INCIDENT_ERRORS: Final = 5
HOLD_ERRORS: Final = 20
HOLD_SECONDS: Final = 10.0
"""An incident is worth a hold when `HOLD_ERRORS` recent old failures have stood this long."""
_BETTORS: Final = len(SIZES_OF_HARM) * len(STOPWATCHES)
_LARGEST_LOSS: Final = 0.9
_CAP_PER_LOOK: Final = 1 / 3


@dataclass(frozen=True, slots=True)
class Counts:
    """What one look saw on new and old pods in the same seconds.

    Floats are allowed, because expected counts are fed to plan ahead; measured counts are integers.

    Args:
        new_requests: requests that ended on new pods since the last look, at least 0.
        new_failures: failed ones of them (5xx, resets, no route; each request once).
        old_requests: the same on old pods, same source and seconds.
        old_failures: failed ones of them.
        seconds: time since the last *good* reading, above 0; after a gap the whole gap.

    Raises:
        ValueError: a count is negative, not finite or above its requests, or seconds is not above 0.
    """

    new_requests: float
    new_failures: float
    old_requests: float
    old_failures: float
    seconds: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what no reading can be."""
        if not 0 <= self.new_failures <= self.new_requests < math.inf:
            raise ValueError(f"new side: {self.new_failures} failures of {self.new_requests} requests")
        if not 0 <= self.old_failures <= self.old_requests < math.inf:
            raise ValueError(f"old side: {self.old_failures} failures of {self.old_requests} requests")
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"seconds must be above 0 and finite, not {self.seconds}")

    def __add__(self, other: Counts) -> Counts:
        """Pool two looks that follow each other."""
        return Counts(
            self.new_requests + other.new_requests,
            self.new_failures + other.new_failures,
            self.old_requests + other.old_requests,
            self.old_failures + other.old_failures,
            self.seconds + other.seconds,
        )


def _require(name: str, value: float, *, above: float, below: float = math.inf) -> None:
    if not above < value < below:
        raise ValueError(f"{name} must be above {above} and below {below}, not {value}")


def _require_ratio(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterParameters:
    """Everything that turns counts into evidence; recorded in the journal's header.

    Args:
        alpha: chance that a good release is rolled back, whole run, in 0-1. Where one of several
            meters is fed, its share of it: run's alpha x weight.
        tolerate: extra failures accepted, as a ratio of requests (0.001 is 0.1 %).
        old_ref: usual failure ratio of the old version, measured before the run.
        plan_seconds: planned length of the run including the bake, in seconds.
        ratio: new may fail this many times as often as old; 1.1 because 10 % worse is no news.
        noise: how bursty errors are; 1 forgives clumps of 20 (fast) and 2 (slow).
        wobble: how far two equal groups of pods differ from minute to minute; 0.2 is 20 %.

    Raises:
        ValueError: a value is outside its range.
    """

    alpha: float
    tolerate: float
    old_ref: float
    plan_seconds: float
    ratio: float = 1.1
    noise: float = 1.0
    wobble: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what would make the promise about false alarms void."""
        _require("alpha", self.alpha, above=0, below=1)
        _require_ratio("tolerate", self.tolerate)
        _require_ratio("old_ref", self.old_ref)
        _require("plan_seconds", self.plan_seconds, above=0)
        _require("ratio", self.ratio, above=0)
        _require("noise", self.noise, above=0)
        if not 0 <= self.wobble < math.inf:
            raise ValueError(f"wobble must be at least 0 and finite, not {self.wobble}")


@dataclass(frozen=True, slots=True)
class _Purse:
    """The bettors' stakes (by size of harm, then stopwatch) and what is kept back for later."""

    stakes: tuple[float, ...] = (FIRST_RESERVE / _BETTORS,) * _BETTORS
    reserve: float = FIRST_RESERVE

    @property
    def total(self) -> float:
        return self.reserve + sum(self.stakes)

    def release(self, spent_ratio: float) -> _Purse:
        """Move a share of the reserve into the stakes, for faults that begin now."""
        added = self.reserve * min(1.0, spent_ratio)
        each = added / _BETTORS
        return _Purse(tuple(stake + each for stake in self.stakes), self.reserve - added)

    def settle(self, log_growths: tuple[float, ...]) -> _Purse:
        """Pay out one look: each stake grows or shrinks by its bettor's nats."""
        paid = zip(self.stakes, log_growths, strict=True)
        return _Purse(tuple(stake * math.exp(nats) for stake, nats in paid), self.reserve)


def _capped(
    nats: tuple[float, ...], dampers: tuple[float, ...], alpha: float, seconds: float
) -> tuple[float, ...]:
    """Damp each size's nats by each stopwatch, and cap what one look may prove."""
    proof = math.log(2 / alpha)
    caps = tuple(proof * min(seconds / least, _CAP_PER_LOOK) for _, least in STOPWATCHES)
    return tuple(min(won / damper, cap) for won in nats for damper, cap in zip(dampers, caps, strict=True))


def _dampers(noise: float, drift: float) -> tuple[float, ...]:
    return tuple(max(1.0, clump * noise) + drift for clump, _ in STOPWATCHES)


@dataclass(frozen=True, slots=True)
class Meter:
    """The evidence that new pods fail more often than old ones; immutable.

    Start one with ``Meter(parameters)`` and keep what `look` returns. Once it has breached it stands
    still: feeding on would only overflow.
    """

    parameters: MeterParameters
    purse: _Purse = _Purse()
    pooled: Counts | None = None
    """Looks not judged yet, because the old side had too few requests to compare with."""
    errors_in_memory: float = 0.0
    """Errors of both sides in about the last minute (K)."""
    old_errors_lately: float = 0.0
    """Errors of the old side in about the last 10 seconds (KO)."""
    old_requests_lately: float = 0.0
    """Requests of the old side in about the last 10 seconds (NO)."""
    incident: bool = False
    """The old version is sick too; the meter trusts differences less."""
    incident_seconds: float = 0.0
    """For how long an incident with at least `HOLD_ERRORS` recent old failures has stood."""

    @property
    def evidence(self) -> float:
        """The odds against "new is no worse", from 1; see the module's text."""
        return self.purse.total

    @property
    def reserve(self) -> float:
        """Share of the first stakes still kept back for late faults, 0-0.5."""
        return self.purse.reserve

    @property
    def breached(self) -> bool:
        """Whether the evidence has reached 1 / alpha."""
        return self.evidence >= 1 / self.parameters.alpha

    @property
    def old_version_fails(self) -> bool:
        """Whether the old version's own failures are worth a hold (the bare flag is too twitchy)."""
        return self.incident_seconds >= HOLD_SECONDS

    def look(self, counts: Counts) -> Meter:
        """Judge one reading and return the meter after it.

        Args:
            counts: both sides since the last good reading. With no reading, do not call.
        """
        if self.breached:
            return self
        block = counts if self.pooled is None else self.pooled + counts
        if block.old_requests < POOL_OLD_REQUESTS and block.seconds < POOL_SECONDS:
            return replace(self, pooled=block)
        return self._remember(block)._bet(block)

    def _remember(self, block: Counts) -> Meter:
        fade_minute, fade_lately = math.exp(-block.seconds / 60), math.exp(-block.seconds / 10)
        errors = self.old_errors_lately * fade_lately + block.old_failures
        requests = self.old_requests_lately * fade_lately + block.old_requests
        usual = self.parameters.old_ref
        incident = errors >= INCIDENT_ERRORS and errors > max(5 * usual, usual + 0.01) * requests
        stands = incident and errors >= HOLD_ERRORS
        return replace(
            self,
            pooled=None,
            errors_in_memory=self.errors_in_memory * fade_minute + block.new_failures + block.old_failures,
            old_errors_lately=errors,
            old_requests_lately=requests,
            incident=incident,
            incident_seconds=self.incident_seconds + block.seconds if stands else 0.0,
        )

    def _bet(self, block: Counts) -> Meter:
        purse = self.purse.release(block.seconds / self.parameters.plan_seconds)
        if block.new_requests > 0 and block.old_requests > 0:
            purse = purse.settle(self._log_growths(block))
        return replace(self, purse=purse)

    def _log_growths(self, block: Counts) -> tuple[float, ...]:
        has = self.parameters
        share = block.new_requests / (block.new_requests + block.old_requests)
        wobble = max(has.wobble, INCIDENT_WOBBLE) if self.incident else has.wobble
        drift = wobble**2 * share * (1 - share) * self.errors_in_memory
        exchange = has.ratio * block.new_requests / block.old_requests
        nats = tuple(_nats(block, harm, exchange, has.tolerate) for harm in SIZES_OF_HARM)
        return _capped(nats, _dampers(has.noise, drift), has.alpha, block.seconds)


def _nats(block: Counts, harm: float, exchange: float, tolerate: float) -> float:
    """What a bettor on this size of harm wins, undamped; its stake can never be lost at once."""
    bet = min(harm, _LARGEST_LOSS / exchange)
    won = block.new_failures * math.log1p(bet)
    lost = block.old_failures * math.log1p(-bet * exchange)
    return won + lost - tolerate * block.new_requests * bet


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingParameters:
    """Parameters of a `CeilingMeter`; units and ranges as in `MeterParameters`.

    Args:
        alpha: the ceiling's own false-alarm budget, 0-1.
        ceiling: failure ratio of new pods that is too much, whoever is to blame; above 0, below 1.
        plan_seconds: planned length of the run including the bake, in seconds.
        noise: how bursty errors are.
        wobble: how far rates drift from minute to minute.
    """

    alpha: float
    ceiling: float
    plan_seconds: float
    noise: float = 1.0
    wobble: float = 0.2

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        _require("alpha", self.alpha, above=0, below=1)
        _require("ceiling", self.ceiling, above=0, below=1)
        _require("plan_seconds", self.plan_seconds, above=0)
        _require("noise", self.noise, above=0)
        if not 0 <= self.wobble < math.inf:
            raise ValueError(f"wobble must be at least 0 and finite, not {self.wobble}")


@dataclass(frozen=True, slots=True)
class CeilingMeter:
    """The evidence that new pods fail above a ceiling, for when no old pod is left to compare with.

    It fires in a shared outage too: where the old pods are above the ceiling as well, hold instead.
    """

    parameters: CeilingParameters
    purse: _Purse = _Purse()
    pooled: Counts | None = None
    errors_in_memory: float = 0.0
    """Errors of new pods in about the last minute."""

    @property
    def evidence(self) -> float:
        """The odds against "new fails at most at the ceiling", from 1."""
        return self.purse.total

    @property
    def breached(self) -> bool:
        """Whether the evidence has reached 1 / alpha."""
        return self.evidence >= 1 / self.parameters.alpha

    def look(self, counts: Counts) -> CeilingMeter:
        """Judge the new side of one reading and return the meter after it."""
        if self.breached:
            return self
        block = counts if self.pooled is None else self.pooled + counts
        if block.new_requests < POOL_OLD_REQUESTS and block.seconds < POOL_SECONDS:
            return replace(self, pooled=block)
        errors = self.errors_in_memory * math.exp(-block.seconds / 60) + block.new_failures
        purse = self.purse.release(block.seconds / self.parameters.plan_seconds)
        if block.new_requests > 0:
            purse = purse.settle(self._log_growths(block, errors))
        return replace(self, purse=purse, pooled=None, errors_in_memory=errors)

    def _log_growths(self, block: Counts, errors: float) -> tuple[float, ...]:
        has = self.parameters
        allowed = has.ceiling * block.new_requests
        nats = tuple(block.new_failures * math.log1p(harm) - allowed * harm for harm in SIZES_OF_HARM)
        return _capped(nats, _dampers(has.noise, has.wobble**2 * errors), has.alpha, block.seconds)


def combined_evidence(evidence: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Weigh several meters into the run's one evidence; it breaches at 1 / alpha of the run.

    A weighted mean with weights fixed before the run is fair however the meters depend on each other.

    Args:
        evidence: each meter's evidence, by name.
        weights: each meter's weight, by name, above 0; together 1.

    Raises:
        ValueError: names differ, a weight is not above 0, or the weights do not add up to 1.
    """
    if evidence.keys() != weights.keys():
        raise ValueError(f"meters {sorted(evidence)} but weights for {sorted(weights)}")
    if any(weight <= 0 for weight in weights.values()) or not math.isclose(sum(weights.values()), 1):
        raise ValueError(f"weights must be above 0 and add up to 1: {dict(weights)}")
    return sum(weights[name] * value for name, value in evidence.items())


def time_to_see(
    meter: Meter,
    *,
    fault: float,
    share: float,
    rate: float,
    at_most_seconds: float = 7200.0,
) -> float:
    """Tell how long the meter as it stands would take to breach on a fault that begins now.

    The expected counts of the fault (new ``p + fault * (1 - p)``, old ``p``, p the old version's usual
    failure ratio) are fed each second. Half of such faults take longer, so a gate waits for a multiple.

    Args:
        meter: the live meter; it is not changed.
        fault: extra share of new pods' requests that fail, 0-1.
        share: share of all requests that new pods get, 0-1.
        rate: requests a second, old and new together.
        at_most_seconds: give up looking ahead after this long.

    Returns:
        Seconds; ``math.inf`` where it would take longer than ``at_most_seconds``, or for ever (no traffic,
        or no old pod to compare with).
    """
    if meter.breached:
        return 0.0
    if not (0 < share < 1 and rate > 0):
        return math.inf
    usual = meter.parameters.old_ref
    new, old = rate * share, rate * (1 - share)
    second = Counts(new, new * min(1.0, usual + fault * (1 - usual)), old, old * usual)
    for seconds in range(1, math.floor(at_most_seconds) + 1):
        meter = meter.look(second)
        if meter.breached:
            return float(seconds)
    return math.inf


def gate_seconds(seen_after_seconds: float, stand_seconds: float) -> float:
    """Tell how many seconds of good looks a batch must stand: three times T and 5 s, or more.

    Args:
        seen_after_seconds: `time_to_see` of a fault of the size the batch must rule out.
        stand_seconds: least time any batch stands (the playbook's ``gate.stand``).

    Returns:
        Seconds; ``math.inf`` where such a fault would never be seen.
    """
    return max(stand_seconds, 3 * seen_after_seconds + 5)


def smallest_fault_seen(meter: Meter, *, share: float, rate: float, within_seconds: float) -> float | None:
    """Tell the smallest fault `time_to_see` sees within a time, to 1 % of itself.

    Args:
        meter: the live meter; it is not changed.
        share: share of all requests that new pods get, 0-1.
        rate: requests a second, old and new together.
        within_seconds: how long the batch is watched.

    Returns:
        The fault as a ratio, 0-1, or None where even a total fault is not seen.
    """

    def is_seen(fault: float) -> bool:
        seconds = time_to_see(meter, fault=fault, share=share, rate=rate, at_most_seconds=within_seconds)
        return math.isfinite(seconds)

    return _smallest(is_seen)


def min_requests(parameters: MeterParameters, *, fault: float, share: float) -> int | None:
    """Tell how many requests to new pods a cold meter needs at least to see a fault.

    A lower bound for plans (95 % sure in clean traffic): the caps on time and the wobble are not in it.

    Args:
        parameters: the meter's; ``old_ref`` is the base failure ratio.
        fault: extra failure ratio of new pods, 0-1.
        share: share of all requests that new pods get, above 0 and below 1.

    Returns:
        Requests, or None where the fault is within what is tolerated.

    Raises:
        ValueError: fault or share is outside its range.
    """
    _require("share", share, above=0, below=1)
    if not 0 <= fault <= 1:
        raise ValueError(f"fault must be in 0-1, not {fault}")
    usual = parameters.old_ref
    old_for_one_new = (1 - share) / share
    expected = Counts(1, min(1.0, usual + fault), old_for_one_new, usual * old_for_one_new)
    exchange = parameters.ratio / old_for_one_new
    won = max(_nats(expected, harm, exchange, parameters.tolerate) for harm in SIZES_OF_HARM) / 2
    proof = math.log(1 / parameters.alpha) + math.log(len(SIZES_OF_HARM))
    return math.ceil(2.7 * proof / won) if won > 0 else None


def smallest_visible_fault(parameters: MeterParameters, *, requests: float, share: float) -> float | None:
    """Tell the smallest fault that so many requests to new pods can show: `min_requests` turned round.

    Args:
        parameters: the meter's.
        requests: requests to new pods.
        share: share of all requests that new pods get, above 0 and below 1.

    Returns:
        The fault as a ratio, 0-1, to 1 % of itself; None where not even a total fault shows.
    """

    def is_visible(fault: float) -> bool:
        needed = min_requests(parameters, fault=fault, share=share)
        return needed is not None and needed <= requests

    return _smallest(is_visible)


def _smallest(is_enough: Callable[[float], bool]) -> float | None:
    """Halve geometrically between 0.001 % and 100 %."""
    low, high = 1e-5, 1.0
    if not is_enough(high):
        return None
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
