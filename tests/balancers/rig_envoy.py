"""An Envoy in front, as its contract tries it: its admin page keeps what is set."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from tests.balancers.test_envoy_traffic import ADMIN, CLUSTERS, MODIFY, cluster, pages
from tests.signals.fakes import FakeClock, FakeHttp, ports
from upgrader.balancers.envoy import build
from upgrader.model.backend_health import Health
from upgrader.model.plugins import Signal
from upgrader.model.ports import Answer, Request
from upgrader.testing.contracts.balancers import BalancerRig
from upgrader.testing.contracts.rigs import NEW_ADDRESS, OLD_ADDRESS, Trouble

ANSWERS = {
    Trouble.THROTTLED: Answer(429, b"slow down"),
    Trouble.RIGHTS: Answer(403, b"request to path not allowed"),
    Trouble.DOWN: Answer(503, b"no healthy upstream"),
}


class AdminPage(FakeHttp):
    """The page: ``runtime`` is what was set, ``marks`` what it says of each backend."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.runtime: dict[str, int] = {}
        self.marks: dict[str, dict[str, Any] | None] = {OLD_ADDRESS: {}, NEW_ADDRESS: {}}
        self.trouble: Trouble | None = None
        self.writes_only = self.lies = False
        self.writes = 0

    def send(self, request: Request, *, deadline_seconds: float) -> Answer:
        is_write = request.method == "POST"
        self.writes += is_write
        fails = self.trouble if is_write or not self.writes_only else None
        if fails in ANSWERS:
            return ANSWERS[fails]
        if is_write and not self.lies and fails is not Trouble.SILENT:
            self._modify(request.url)
        if fails:
            self.clock.sleep(deadline_seconds)
            return Answer(0, error=f"no answer within {deadline_seconds:g} s")
        places = [("edge", OLD_ADDRESS), ("edge-green", NEW_ADDRESS)]
        statuses = [self._status(name, address) for name, address in places]
        self.pages = pages(**self.runtime) | {CLUSTERS: json.dumps({"cluster_statuses": statuses}).encode()}
        return super().send(request, deadline_seconds=deadline_seconds)

    def _status(self, name: str, address: str) -> dict[str, Any]:
        marks = self.marks[address]
        return {"name": name} if marks is None else cluster(name, address, **marks)

    def _modify(self, url: str) -> None:
        assert url.startswith(MODIFY)
        for key, value in parse_qsl(urlsplit(url).query):
            self.runtime[key.removeprefix("front.").replace("-", "_")] = int(value)


class EnvoyRig(BalancerRig):
    """See the module's text."""

    troubles: ClassVar = {
        Trouble.THROTTLED: "HTTP 429",
        Trouble.RIGHTS: "HTTP 403: request to path not allowed",
        Trouble.DOWN: "HTTP 503",
        Trouble.SILENT: "no answer within",
        Trouble.LOST: "no answer within",
    }
    words: ClassVar = {
        "": Health.HEALTHY,
        "eds_health_status=UNKNOWN": Health.HEALTHY,
        "failed_active_health_check": Health.FAILING,
        "failed_outlier_check": Health.FAILING,
        "active_hc_timeout": Health.FAILING,
        "excluded_via_immediate_hc_fail": Health.FAILING,
        "pending_active_hc": Health.UNPROVEN,
        "pending_dynamic_removal": Health.LEAVING,
        "failed_active_degraded_check": Health.UNKNOWN,
        "eds_health_status=UNHEALTHY": Health.FAILING,
        "eds_health_status=TIMEOUT": Health.FAILING,
        "eds_health_status=DRAINING": Health.LEAVING,
        "eds_health_status=DEGRADED": Health.UNKNOWN,
    }
    strange = "a_mark_of_a_later_envoy"

    def __init__(self) -> None:
        self.clock: FakeClock = FakeClock()
        self.page = AdminPage(self.clock)

    def make(self, *, settle_seconds: float = 0.0) -> Signal:
        settings = {"admin": ADMIN, "cluster": "edge", "green": "edge-green", "split": "front"}
        return build(settings | {"settle": settle_seconds}, ports(clock=self.clock, http=self.page))

    def say(self, address: str, word: str | None) -> None:
        name, _, value = (word or "").partition("=")
        self.page.marks[address] = None if word is None else {name: value or True} if name else {}

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.page.trouble, self.page.writes_only = trouble, writes_only

    def front_share(self) -> float:
        blue, green = self.page.runtime.get("edge", 100), self.page.runtime.get("edge_green", 0)
        return green / (blue + green)

    def meddle(self, green_ratio: float) -> None:
        green = round(green_ratio * 1000)
        self.page.runtime = {"edge": 1000 - green, "edge_green": green}

    def lie(self) -> None:
        self.page.lies = True

    @property
    def writes(self) -> int:
        return self.page.writes
