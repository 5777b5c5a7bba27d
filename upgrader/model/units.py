"""How times, ratios, rates and batches are written in a playbook, and what they are inside.

A number without its unit is refused everywhere: ``tolerate: 0.1`` may mean 0.1 % or 10 %.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

DURATION_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
RATIO_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?%$"
RATE_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?/(s|m|h)$"
LONGEST: Final = timedelta(days=30)
"""No wait of a run is longer; a longer one is a slip of the unit."""

_MICROSECONDS: Final = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000}
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


def _text(value: object, pattern: str, instead: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        shown = "nothing" if value is None else repr(value)
        raise ValueError(f"{shown} is not understood; write {instead}")
    return value


def parse_duration(value: object) -> timedelta:
    """Read a duration such as ``2m``, ``1h30m`` or ``500ms``; a timedelta is passed through.

    Raises:
        ValueError: no unit, not above zero, or longer than `LONGEST`.
    """
    if not isinstance(value, timedelta):
        text = _text(value, DURATION_PATTERN, 'a time with its unit, such as "2m" or "500ms"')
        parts = re.findall(r"([0-9.]+)(ms|s|m|h|d)", text)
        microseconds = sum(Decimal(number) * _MICROSECONDS[unit] for number, unit in parts)
        if microseconds > LONGEST / timedelta(microseconds=1):
            raise ValueError(f"{text} is longer than {format_duration(LONGEST)}")
        value = timedelta(microseconds=int(microseconds))
    if not timedelta(0) < value <= LONGEST:
        raise ValueError(
            f"must be above zero and at most {format_duration(LONGEST)}; there is no endless wait"
        )
    return value


def format_duration(value: timedelta) -> str:
    """Write a duration the way a playbook does; what is finer than a millisecond is cut off."""
    left, written = value // timedelta(microseconds=1), ""
    for unit, microseconds in _MICROSECONDS.items():
        count, left = divmod(left, microseconds)
        written += f"{count}{unit}" if count else ""
    return written or "0s"


def parse_ratio(value: object) -> float:
    """Read a ratio such as ``0.1%`` as a number in 0-1.

    Raises:
        ValueError: no percent sign, or above 100 %.
    """
    percent = Decimal(_text(value, RATIO_PATTERN, 'a share in percent, such as "0.1%"')[:-1])
    if percent > 100:
        raise ValueError(f"{value} is above 100%")
    return float(percent / 100)


def format_ratio(value: float) -> str:
    """Write a ratio the way a playbook does: ``0.001`` is ``0.1%``."""
    percent = (Decimal(repr(value)) * 100).normalize()
    return f"{percent:f}%"


def parse_rate(value: object) -> float:
    """Read a rate such as ``10/s`` or ``30/m`` as a number a second.

    Raises:
        ValueError: no unit, or zero.
    """
    number, unit = _text(value, RATE_PATTERN, 'a rate with its unit, such as "10/s" or "30/m"').split("/")
    if not float(number) > 0:
        raise ValueError("must be above zero")
    return float(number) / _SECONDS[unit]


def format_rate(value: float) -> str:
    """Write a rate a second the way a playbook does."""
    for unit, seconds in _SECONDS.items():
        scaled = value * seconds
        if math.isclose(scaled, round(scaled, 3)):
            return f"{Decimal(repr(round(scaled, 3))).normalize():f}/{unit}"
    return f"{Decimal(repr(value)):f}/s"


@dataclass(frozen=True, slots=True)
class Share:
    """A batch as a share of all pods.

    Args:
        percent: Above 0, at most 100; exact, so that 7 % of 100 pods are 7.
    """

    percent: Decimal

    def of(self, total: int) -> int:
        """Return how many of so many pods that is, rounded up."""
        return math.ceil(Fraction(self.percent) * total / 100)

    def __str__(self) -> str:
        """Write it the way a playbook does."""
        return f"{self.percent.normalize():f}%"


Batch = int | Share
"""How many pods are new after a batch: a number, or a share of all."""


def parse_batch(value: object) -> Batch:
    """Read one batch: a whole number of pods, or a share such as ``10%``.

    Raises:
        ValueError: neither, or not above zero, or above 100 %.
    """
    if isinstance(value, Share):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError("a batch is at least 1 pod")
        return value
    percent = Decimal(_text(value, RATIO_PATTERN, 'a number of pods, or a share such as "10%"')[:-1])
    if not 0 < percent <= 100:
        raise ValueError(f"{value} must be above 0% and at most 100%")
    return Share(percent)


def _stalls(row: Sequence[Decimal]) -> bool:
    return any(later <= sooner for sooner, later in pairwise(row))


def require_growing(batches: Sequence[Batch]) -> None:
    """Refuse batches whose order would depend on the number of pods, or that stop short of all.

    Raises:
        ValueError: not numbers first and then shares, not growing, or the last is not 100 %.
    """
    counts = [Decimal(batch) for batch in batches if isinstance(batch, int)]
    shares = [batch.percent for batch in batches if isinstance(batch, Share)]
    if any(isinstance(batch, int) for batch in batches[len(counts) :]):
        raise ValueError("numbers of pods come before shares")
    if _stalls(counts) or _stalls(shares):
        raise ValueError(
            "each batch must be larger than the one before; they count from the start, not on top"
        )
    if not shares or shares[-1] != 100:
        raise ValueError("the last batch must be 100%")


def batch_targets(batches: Sequence[Batch], total: int) -> tuple[int, ...]:
    """Tell how many pods are new after each batch.

    Args:
        batches: As in the playbook; the last is 100 %.
        total: All pods of the workload, at least 0.

    Returns:
        Growing numbers, the last of them ``total``: ``1, 10%, 50%, 100%`` of 20 are 1, 2, 10, 20. Batches
        that come to the same number are one; empty when there are no pods.
    """
    wanted = (batch.of(total) if isinstance(batch, Share) else batch for batch in batches)
    return tuple(sorted({min(pods, total) for pods in wanted} - {0}))


def _schema(pattern: str, description: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, "description": description}


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        _schema(DURATION_PATTERN, 'A time above zero with its unit: "500ms", "30s", "2m", "1h30m".')
    ),
]
Ratio = Annotated[
    float,
    PlainValidator(parse_ratio),
    PlainSerializer(format_ratio, return_type=str, when_used="json"),
    WithJsonSchema(_schema(RATIO_PATTERN, 'A share of requests in percent: "0.1%".')),
]
Rate = Annotated[
    float,
    PlainValidator(parse_rate),
    PlainSerializer(format_rate, return_type=str, when_used="json"),
    WithJsonSchema(_schema(RATE_PATTERN, 'Requests in a time: "10/s", "30/m".')),
]
BatchSize = Annotated[
    Batch,
    PlainValidator(parse_batch),
    PlainSerializer(lambda batch: batch if isinstance(batch, int) else str(batch), when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": RATIO_PATTERN}],
            "description": 'How many pods are new after the batch: a number, or a share such as "10%".',
        }
    ),
]
