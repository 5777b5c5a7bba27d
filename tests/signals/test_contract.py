"""Every signal that ships with us passes the contract that third parties run."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tests.signals.fakes import FakeClock, FakeProber, FakeSweep, ports
from tests.signals.test_envoy_stats import page
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Signal
from upgrader.model.ports import Answer, ProbeCounts, ProbeSpec
from upgrader.model.watching import SIGNALS
from upgrader.signals.envoy_stats import build as build_envoy_stats
from upgrader.signals.rollout import build as build_rollout
from upgrader.signals.synthetic import build as build_synthetic
from upgrader.testing.contracts.rigs import SignalRig, Trouble, two_pods
from upgrader.testing.contracts.signals import SignalContract

Counted = tuple[int, int]


class RolloutRig(SignalRig):
    """The watch, which ages while the API server does not answer."""

    troubles: ClassVar = {Trouble.SILENT: "no word from the API server for 60 s: no heartbeat"}

    def __init__(self) -> None:
        self.clock: FakeClock = FakeClock()
        self.silent = False

    def make(self) -> Signal:
        return build_rollout({}, ports(clock=self.clock))

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.silent = trouble is not None

    def fleet(self) -> Fleet:
        return replace(two_pods(), age_seconds=60.0, error="no heartbeat") if self.silent else two_pods()


class EnvoyStatsRig(SignalRig):
    """Two proxies, whose pages count."""

    troubles: ClassVar = {
        Trouble.RIGHTS: "HTTP 403",
        Trouble.DOWN: "HTTP 503",
        Trouble.SILENT: "no answer within",
    }

    def __init__(self) -> None:
        self.clock: FakeClock = FakeClock()
        self.sweep = FakeSweep()
        self.trouble: Trouble | None = None
        self.counted: dict[str, Counted] = {"old-1": (0, 0), "new-1": (0, 0)}
        self.began = self.clock.time - 500

    def make(self) -> Signal:
        return build_envoy_stats({"port": 19000}, ports(clock=self.clock, sweep=self.sweep))

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.trouble = trouble

    def pass_time(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.sweep.says = {name: self._answer(name) for name in self.counted}

    def _answer(self, name: str) -> Answer:
        if self.trouble is Trouble.SILENT:
            return Answer(0, error="no answer within 0.8 s")
        if self.trouble:
            return Answer({Trouble.RIGHTS: 403, Trouble.DOWN: 503}[self.trouble], b"no")
        return Answer(200, page(self.clock.time - self.began, *self.counted[name]).encode())

    def serve(self, *, old: Counted, new: Counted) -> None:
        for name, (requests, failed) in (("old-1", old), ("new-1", new)):
            before = self.counted[name]
            self.counted[name] = (before[0] + requests, before[1] + failed)

    def restart(self) -> None:
        self.counted = dict.fromkeys(self.counted, (0, 0))
        self.began = self.clock.time


class EndingProber(FakeProber):
    """A prober one of whose requests ends a second, beside what a test queued."""

    rig: SyntheticRig

    def take(self) -> ProbeCounts:
        if self.rig.silent:
            return ProbeCounts()
        return self.queue.pop(0) if self.queue else ProbeCounts(*self.rig.usual)


class SyntheticRig(SignalRig):
    """Probes through the front door, and past it where that is asked for."""

    troubles: ClassVar = {Trouble.SILENT: "no probe has ended for"}
    secrets = ("a-secret-key", "secret-in-the-query")

    def __init__(self, *, bypass: str = "") -> None:
        self.clock: FakeClock = FakeClock()
        self.bypass = bypass
        self.probers: list[EndingProber] = []
        self.silent = False
        self.usual = (1, 0)

    def make(self) -> Signal:
        self.probers.clear()
        settings = {
            "name": "synthetic 200 /orders",
            "url": "http://front.example/orders?key=secret-in-the-query",
            "headers": {"x-key": "a-secret-key"},
            "bypass": self.bypass,
        }
        return build_synthetic(settings, ports(clock=self.clock, prober=self._prober))

    def _prober(self, spec: ProbeSpec) -> FakeProber:
        prober = EndingProber(spec)
        prober.rig = self
        self.probers.append(prober)
        return prober

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.silent = trouble is not None

    def serve(self, *, old: Counted, new: Counted) -> None:
        self.usual = (0, 0)
        for prober, counted in zip(self.probers, (new, old), strict=True):
            prober.queue.append(ProbeCounts(*counted))

    def restart(self) -> None:
        """A prober never counts twice, so that there is nothing to begin anew."""


class TestRollout(SignalContract):
    def make_rig(self) -> RolloutRig:
        return RolloutRig()


class TestEnvoyStats(SignalContract):
    def make_rig(self) -> EnvoyStatsRig:
        return EnvoyStatsRig()


class TestSynthetic(SignalContract):
    def make_rig(self) -> SyntheticRig:
        return SyntheticRig()


class TestSyntheticWithBypass(SignalContract):
    def make_rig(self) -> SyntheticRig:
        return SyntheticRig(bypass="http://upstream.example/orders?key=secret-in-the-query")


def test_every_signal_that_ships_is_held_to_its_contract() -> None:
    """One without a rig fails here."""
    own = [one for one in globals().values() if getattr(one, "__module__", "") == __name__]
    contracts = [one for one in own if isinstance(one, type) and issubclass(one, SignalContract)]

    assert {one().make_rig().make().name.split()[0] for one in contracts} == {*SIGNALS}
