"""A HAProxy in front, as its contract tries it: its runtime API keeps green's share."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from tests.balancers.test_haproxy import server, stat
from tests.signals.fakes import FakeClock, ports
from upgrader.balancers.haproxy import build
from upgrader.model.backend_health import Health
from upgrader.model.plugins import Signal
from upgrader.model.ports import Answer
from upgrader.testing.contracts.balancers import BalancerRig
from upgrader.testing.contracts.rigs import NEW_ADDRESS, OLD_ADDRESS, Trouble

SOCKET = "unix:/run/haproxy.sock"
PLACES = {"blue": OLD_ADDRESS, "green": NEW_ADDRESS}


class TroubledRuntime:
    """The socket: ``share`` is what stands in the map, ``words`` what it says of each server."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.share = 0
        self.words: dict[str, str | None] = dict.fromkeys(PLACES.values(), "UP")
        self.trouble: Trouble | None = None
        self.writes_only = self.lies = False
        self.writes = 0

    def __call__(self, address: str, command: str, deadline_seconds: float) -> Answer:
        is_write = command.startswith("set ")
        self.writes += is_write
        fails = self.trouble if is_write or not self.writes_only else None
        if fails is Trouble.RIGHTS:
            return Answer(200, b"Permission denied\n\n")
        if fails is Trouble.DOWN:
            return Answer(0, error="connection refused")
        if is_write and not self.lies and fails is not Trouble.SILENT:
            self.share = int(command.rsplit(maxsplit=1)[-1])
        if fails:
            self.clock.sleep(deadline_seconds)
            return Answer(0, error=f"no answer within {deadline_seconds:g} s")
        return Answer(200, b"\n" if is_write else "".join(map(self._page, command.split(";"))).encode())

    def _page(self, command: str) -> str:
        if command.startswith("show map"):
            return f"0x55 green {self.share}\n\n"
        name = command.split()[2]
        word = self.words[PLACES[name]]
        return stat(name, *([] if word is None else [server(PLACES[name], word)]))


class HaproxyRig(BalancerRig):
    """See the module's text; a runtime API throttles nobody and has no quota."""

    troubles: ClassVar = {
        Trouble.RIGHTS: "Permission denied",
        Trouble.DOWN: "connection refused",
        Trouble.SILENT: "no answer within",
        Trouble.LOST: "no answer within",
    }
    words: ClassVar = {
        "UP": Health.HEALTHY,
        "UP 1/3": Health.UNPROVEN,
        "DOWN": Health.FAILING,
        "MAINT": Health.LEAVING,
        "DRAIN": Health.LEAVING,
        "NOLB": Health.LEAVING,
        "no check": Health.UNPROVEN,
    }
    strange = "RESTING"

    def __init__(self) -> None:
        self.clock: FakeClock = FakeClock()
        self.runtime = TroubledRuntime(self.clock)

    def make(self, *, settle_seconds: float = 0.0) -> Signal:
        settings = {"socket": SOCKET, "backend": "blue", "green": "green", "map": "/etc/haproxy/green.map"}
        times = {"settle": timedelta(seconds=settle_seconds), "delay": timedelta(seconds=1)}
        return build(settings | times, replace(ports(clock=self.clock), runtime=self.runtime))

    def say(self, address: str, word: str | None) -> None:
        self.runtime.words[address] = word

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.runtime.trouble, self.runtime.writes_only = trouble, writes_only

    def front_share(self) -> float:
        return self.runtime.share / 10_000

    def meddle(self, green_ratio: float) -> None:
        self.runtime.share = round(10_000 * green_ratio)

    def lie(self) -> None:
        self.runtime.lies = True

    @property
    def writes(self) -> int:
        return self.runtime.writes
