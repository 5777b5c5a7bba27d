"""Latencies as a histogram: any number of them in little room, each quantile right to one per cent."""

from __future__ import annotations

import math
from collections import Counter

_GROWTH = math.log(1.01)
"""Each bucket is one per cent wider than the one before: our choice, finer than any run-to-run noise."""

_SMALLEST_SECONDS = 1e-6


class Latencies:
    """A growing set of durations in seconds."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one duration; below a microsecond counts as a microsecond."""
        self._buckets[math.ceil(math.log(max(seconds, _SMALLEST_SECONDS)) / _GROWTH)] += 1

    def quantile_seconds(self, share: float) -> float | None:
        """Return the duration that this share (0-1) of the set does not exceed; ``None`` for an empty set."""
        wanted = share * self._buckets.total()
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return math.exp(bucket * _GROWTH)
        return None
