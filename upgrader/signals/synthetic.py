"""Probe the front door, and with ``bypass`` the upstream itself: what a client of the gateway gets.

With ``bypass`` the way through the gateway is the new side of the comparison and the way past it the old one;
so an upstream that fails does not blame the gateway, and it works while a control plane changes, when old
proxies are no baseline. Without, there is nothing to compare with: then only facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from pydantic import SecretStr

from upgrader.model.evidence import Counts
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Signal
from upgrader.model.ports import Clock, Ports, ProbeCounts, Prober, ProbeSpec
from upgrader.model.reading import Fact, Reading, Weight

OPEN_DOOR_PROBES: Final = 2
"""So many probes in a row let in that should have been kept out are a breach."""
DEAD_DOOR_PROBES: Final = 3
"""So many probes in a row that failed are a reason to hold, where nothing can be compared."""
FIRST_WAIT_SECONDS: Final = 0.8
"""How long the first look waits for the first probe to end: a look must be over within a second."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What is probed.

    Args:
        name: What it is called in this run; no other signal is.
        spec: The probe through the front door.
        bypass: Where the same goes past it, for the eye; empty where there is no way.
    """

    name: str
    spec: ProbeSpec
    bypass: str


class Synthetic:
    """The signal; see the module's text."""

    interval_seconds = 1.0
    compares_pods = False
    speaks_of_backends = False

    def __init__(self, probe: Probe, *, front: Prober, upstream: Prober | None, clock: Clock) -> None:
        """Remember what is probed; nothing is sent before the first look.

        Args:
            probe: What is sent, and what it is called.
            front: Sends it.
            upstream: Sends the same straight to the upstream; ``None`` where there is no way.
            clock: Time.
        """
        spec = probe.spec
        self.name = probe.name
        self.counts_requests = upstream is not None
        self._spec = spec
        self._front = front
        self._upstream = upstream
        self._source = f"{_shown(spec.url)} at {spec.rate_per_second:g}/s, {spec.expect} is right"
        if upstream is not None:
            self._source += f", beside {_shown(probe.bypass)}"
        self._clock = clock
        self._taken_at: float | None = None
        self._ended_at = clock.monotonic()
        self._let_in = 0
        self._failing = 0

    def read(self, fleet: Fleet) -> Reading:
        """Take what ended since the last look; the first look begins to probe."""
        began = self._taken_at if self._taken_at is not None else self._begin()
        front = self._front.take()
        upstream = self._upstream.take() if self._upstream is not None else None
        now = self._taken_at = self._clock.monotonic()
        self._remember(front, now)
        silent = now - self._ended_at
        error = self._why_silent(silent)
        return Reading(
            signal=self.name,
            read_at=self._clock.now(),
            data_time=self._clock.now() - silent,
            source=self._source,
            window_seconds=now - began,
            counts=None if error else _counts(front, upstream, now - began),
            facts=self._facts(front),
            values=_values(front, upstream),
            error=error,
        )

    def close(self) -> None:
        """Stop probing."""
        self._front.close()
        if self._upstream is not None:
            self._upstream.close()

    def _begin(self) -> float:
        """Begin to probe, and wait a moment so that even a single look has something to say."""
        self._front.start()
        if self._upstream is not None:
            self._upstream.start()
        began = self._ended_at = self._clock.monotonic()
        self._clock.sleep(FIRST_WAIT_SECONDS)
        return began

    def _remember(self, front: ProbeCounts, now: float) -> None:
        if not front.sent:
            return
        self._ended_at = now
        let_in = _let_in(front)
        self._let_in = self._let_in + let_in if let_in else 0
        self._failing = self._failing + front.failed if front.failed == front.sent else 0

    def _facts(self, front: ProbeCounts) -> tuple[Fact, ...]:
        expect = self._spec.expect
        if expect >= 400 and self._let_in:
            weight = Weight.BREACH if self._let_in >= OPEN_DOOR_PROBES else Weight.HOLD
            text = f"{self._let_in} probes in a row were let in where {expect} is right: {self._source}"
            return (Fact(weight, "door-open", text),)
        if self._upstream is None and self._failing >= DEAD_DOOR_PROBES:
            text = f"the last {self._failing} probes failed ({_reasons(front)}): {self._source}"
            return (Fact(Weight.HOLD, "probes-fail", text),)
        return ()

    def _why_silent(self, seconds: float) -> str:
        allowed = self._spec.timeout_seconds + 2 / self._spec.rate_per_second + 1
        return f"no probe has ended for {seconds:.0f} s" if seconds > allowed else ""


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the signal.

    Args:
        settings: ``name``, ``url``; ``rate`` (a second, 1), ``expect`` (200), ``bypass``, ``headers``,
            ``timeout`` (2 s). Those headers that were in the environment are `SecretStr`.
        ports: The world; one or two probers are made.
    """
    given = dict(settings.get("headers") or {})
    headers = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in given.items()
    }
    timeout = settings.get("timeout") or timedelta(seconds=2)
    spec = ProbeSpec(
        url=str(settings["url"]),
        rate_per_second=float(settings.get("rate") or 1.0),
        expect=int(settings.get("expect") or 200),
        headers=headers,
        timeout_seconds=timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout),
    )
    bypass = str(settings.get("bypass") or "")
    return Synthetic(
        Probe(str(settings["name"]), spec, bypass),
        front=ports.prober(spec),
        upstream=ports.prober(replace(spec, url=bypass)) if bypass else None,
        clock=ports.clock,
    )


def _shown(url: str) -> str:
    """Return a URL without its query, which may hold a secret."""
    return url.partition("?")[0]


def _let_in(counts: ProbeCounts) -> int:
    return sum(times for reason, times in counts.reasons.items() if reason.startswith("http_2"))


def _reasons(counts: ProbeCounts) -> str:
    return ", ".join(f"{reason} {times}" for reason, times in sorted(counts.reasons.items()))


def _counts(front: ProbeCounts, upstream: ProbeCounts | None, seconds: float) -> Counts | None:
    if upstream is None or seconds <= 0:
        return None
    return Counts(front.sent, front.failed, upstream.sent, upstream.failed, seconds)


def _values(front: ProbeCounts, upstream: ProbeCounts | None) -> dict[str, float]:
    values = {"sent": float(front.sent), "failed": float(front.failed)}
    if upstream is not None:
        values |= {"bypass_sent": float(upstream.sent), "bypass_failed": float(upstream.failed)}
    return values | {f"failed_{reason}": float(times) for reason, times in front.reasons.items()}
