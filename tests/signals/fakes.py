"""Pods, a clock and a sweep for the tests of signals: plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.ports import Answer, Endpoint, Kube, Ports, ProbeCounts, ProbeSpec, Request


def pod(name: str, side: Side = Side.OLD, **changes: Any) -> Pod:
    """Return a ready pod; ``changes`` are fields of `Pod`."""
    fields: dict[str, Any] = {
        "name": name,
        "namespace": "gw",
        "uid": f"uid-{name}",
        "address": f"10.0.0.{sum(map(ord, name)) % 250 + 1}",
        "workload": "gateway-proxy",
        "group": "proxies",
        "side": side,
        "ready": True,
        "terminating": False,
        "restarts": 0,
        "waiting": "",
        "images": ("envoy:1",),
        "ready_at": "2026-11-24T08:00:00Z",
        "created_at": "2026-11-24T07:59:50Z",
    }
    return Pod(**(fields | changes))


def fleet(*pods: Pod, **changes: Any) -> Fleet:
    """Return a fleet of these pods and no workload."""
    return Fleet(changes.pop("workloads", ()), pods, **changes)


@dataclass
class FakeClock:
    """A clock that stands until it is moved."""

    time: float = 1000.0
    utc_offset: float = 1_795_507_200.0 - 1000.0
    """At `time` 1000 it is 2026-11-24T08:00:00Z."""

    def now(self) -> float:
        """Return UTC seconds."""
        return self.time + self.utc_offset

    def monotonic(self) -> float:
        """Return seconds."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.time += seconds


@dataclass
class FakeSweep:
    """A sweep whose answers are set by the test, by pod name; other pods do not answer."""

    reach: str = "direct"
    says: dict[str, str | Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closed: bool = False

    def read(
        self, endpoints: Sequence[Endpoint], path: str, *, deadline_seconds: float
    ) -> Mapping[str, Answer]:
        """Answer from `says`."""
        self.asked = [one.pod for one in endpoints]
        return {one.key: self._answer(one.pod) for one in endpoints}

    def _answer(self, name: str) -> Answer:
        said = self.says.get(name, Answer(0, error="refused"))
        return said if isinstance(said, Answer) else Answer(200, said.encode())

    def close(self) -> None:
        """Remember it."""
        self.closed = True


@dataclass
class FakeProber:
    """A prober that returns what the test queued, and nothing afterwards."""

    spec: ProbeSpec
    queue: list[ProbeCounts] = field(default_factory=list)
    started: bool = False
    closed: bool = False

    def start(self) -> None:
        """Remember it."""
        self.started = True

    def take(self) -> ProbeCounts:
        """Return the next."""
        return self.queue.pop(0) if self.queue else ProbeCounts()

    def close(self) -> None:
        """Remember it."""
        self.closed = True


@dataclass
class FakeHttp:
    """HTTP that answers by how a URL begins; anything else is a mistake of the test."""

    pages: dict[str, Answer | bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: list[Request] = field(default_factory=list)

    def get(self, url: str, *, deadline_seconds: float) -> Answer:
        """Answer from `pages`."""
        return self.send(Request("GET", url), deadline_seconds=deadline_seconds)

    def send(self, request: Request, *, deadline_seconds: float) -> Answer:
        """Answer from `pages`, and keep what was sent."""
        self.asked.append(request.url)
        self.sent.append(request)
        page = next(page for start, page in self.pages.items() if request.url.startswith(start))
        return page if isinstance(page, Answer) else Answer(200, page)


def ports(
    *,
    clock: FakeClock | None = None,
    sweep: FakeSweep | None = None,
    http: FakeHttp | None = None,
    prober: Callable[[ProbeSpec], FakeProber] = FakeProber,
) -> Ports:
    """Return ports of which only the given ones may be used."""
    return Ports(
        clock=clock or FakeClock(),
        kube=cast("Kube", None),
        helm=cast("Any", None),
        http=http or FakeHttp(),
        sweep=lambda reach: sweep or FakeSweep(reach),
        prober=prober,
    )
