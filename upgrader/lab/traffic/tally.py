"""The account of a load: every request sent is in exactly one class, and the sum is proven."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from upgrader.lab.traffic import outcome
from upgrader.lab.traffic.latencies import Latencies


class AccountError(Exception):
    """Requests sent and requests counted differ: the numbers of this load are worthless."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a load, or one second of it, came to.

    Args:
        sent: Requests that were due and taken up.
        in_flight: Of these, without an end yet.
        counts: Requests that ended, by class (`upgrader.lab.traffic.outcome`).
        p50_seconds: Half of the good answers came within this, counted from when the request was due.
        p99_seconds: The same for 99 of 100; both ``None`` without a good answer.
        streams: What became of long-lived streams (`Streams.as_record`); ``None`` where there are none.
    """

    sent: int
    in_flight: int
    counts: dict[str, int]
    p50_seconds: float | None
    p99_seconds: float | None
    streams: Mapping[str, Any] | None = None

    @property
    def ok(self) -> int:
        """Requests answered well."""
        return self.counts.get(outcome.OK, 0)

    @property
    def failures(self) -> dict[str, int]:
        """Requests that ended otherwise, by class."""
        return {name: count for name, count in self.counts.items() if name != outcome.OK}

    @property
    def failed(self) -> int:
        """Requests that ended otherwise, in all."""
        return sum(self.failures.values())

    def as_record(self) -> dict[str, Any]:
        """Return it as JSON data; latencies in milliseconds."""
        streams = {} if self.streams is None else {"streams": self.streams}
        return {
            "sent": self.sent,
            "in_flight": self.in_flight,
            "ok": self.ok,
            "failed": self.failed,
            "failures": dict(sorted(self.failures.items())),
            "p50_ms": _milliseconds(self.p50_seconds),
            "p99_ms": _milliseconds(self.p99_seconds),
            **streams,
        }


@dataclass
class Streams:
    """Count long-lived streams: each that was opened is in one class, and the sum is proven.

    Args:
        opened: Streams that the server accepted.
        open: Of these, still open.
        moved: Ended by the server in order, nothing lost on them, and another one was opened at once.
        moving: Ended so, the other one not yet open.
        closed: Ended by us, at the end of the load.
        lost: All others, by class (`upgrader.lab.traffic.outcome`).
    """

    opened: int = 0
    open: int = 0
    moved: int = 0
    moving: int = 0
    closed: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """A stream was opened."""
        self.opened += 1
        self.open += 1

    def leave(self) -> None:
        """It was ended by the server in order."""
        self.open -= 1
        self.moving += 1

    def arrive(self) -> None:
        """Another one was opened in the place of one that left."""
        self.moving -= 1
        self.moved += 1

    def strand(self, name: str) -> None:
        """None could be opened in its place."""
        self.moving -= 1
        self.lost[name] += 1

    def close(self) -> None:
        """We closed it."""
        self.open -= 1
        self.closed += 1

    def lose(self, name: str) -> None:
        """It was cut, or something on it was lost."""
        self.open -= 1
        self.lost[name] += 1

    def as_record(self) -> dict[str, Any]:
        """Return it as JSON data, proven.

        Raises:
            AccountError: Opened is not the sum of the others.
        """
        parts = {"open": self.open, "moved": self.moved, "moving": self.moving, "closed": self.closed}
        if self.opened != sum(parts.values()) + self.lost.total():
            raise AccountError(f"{self.opened} streams opened, but {parts} and lost {dict(self.lost)}")
        return {"opened": self.opened, **parts, "lost": dict(sorted(self.lost.items()))}


@dataclass
class _Page:
    sent: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)

    def count(self, name: str, latency_seconds: float) -> None:
        self.counts[name] += 1
        if name == outcome.OK:
            self.latencies.add(latency_seconds)

    def summary(self, *, in_flight: int, streams: Streams | None) -> Summary:
        return Summary(
            sent=self.sent,
            in_flight=in_flight,
            counts=dict(self.counts),
            p50_seconds=self.latencies.quantile_seconds(0.50),
            p99_seconds=self.latencies.quantile_seconds(0.99),
            streams=None if streams is None else streams.as_record(),
        )


class Tally:
    """Count requests as they start and end, for the whole load and for the page (second) that is open.

    ``streams`` is set where the load keeps streams open; a request is a message then.
    """

    def __init__(self) -> None:
        self._all = _Page()
        self._page = _Page()
        self.in_flight = 0
        self.streams: Streams | None = None

    def start(self) -> None:
        """Count a request that is due now."""
        self._all.sent += 1
        self._page.sent += 1
        self.in_flight += 1

    def end(self, name: str, *, latency_seconds: float) -> None:
        """Count the end of a request.

        Raises:
            AccountError: More requests ended than were sent.
        """
        self.in_flight -= 1
        if self.in_flight < 0:
            raise AccountError("a request ended that was never sent")
        self._all.count(name, latency_seconds)
        self._page.count(name, latency_seconds)

    def turn_page(self) -> Summary:
        """Return what happened since the last call and begin a new page."""
        page, self._page = self._page, _Page()
        return page.summary(in_flight=self.in_flight, streams=self.streams)

    def total(self) -> Summary:
        """Return the account so far, proven.

        Raises:
            AccountError: Sent is not the sum of the classes and of what is in flight.
        """
        ended = self._all.counts.total()
        if self._all.sent != ended + self.in_flight:
            raise AccountError(f"{self._all.sent} sent, but {ended} ended and {self.in_flight} in flight")
        return self._all.summary(in_flight=self.in_flight, streams=self.streams)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
