"""Google's load balancer as its contract tries it: an operation runs until it is let come to its end."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tests.balancers.test_gcp_neg import FakeCompute
from tests.signals.fakes import FakeClock, ports
from upgrader.balancers.gcp_neg import build
from upgrader.model.backend_health import Health
from upgrader.model.plugins import Signal
from upgrader.model.ports import Answer, Request
from upgrader.testing.contracts.balancers import BalancerRig
from upgrader.testing.contracts.rigs import NEW_ADDRESS, OLD_ADDRESS, Trouble

ANSWERS = {
    Trouble.THROTTLED: Answer(403, b'{"error": {"errors": [{"reason": "rateLimitExceeded"}]}}'),
    Trouble.QUOTA: Answer(403, b'{"error": {"errors": [{"reason": "quotaExceeded"}]}}'),
    Trouble.RIGHTS: Answer(403, b'{"error": {"errors": [{"reason": "forbidden"}]}}'),
    Trouble.DOWN: Answer(503),
}
BYSTANDER = ("10.9.9.9", "HEALTHY")
"""An endpoint that is no pod of the gateway: it shows that the group is checked."""
PLACES = {OLD_ADDRESS: "blue-a", NEW_ADDRESS: "green-a"}


class TroubledCompute(FakeCompute):
    """The API, which can fail, and lie."""

    trouble: Trouble | None = None
    writes_only = lies = False
    writes = 0

    def send(self, request: Request, *, deadline_seconds: float) -> Answer:
        is_write = request.method == "PATCH"
        self.writes += is_write
        fails = self.trouble if is_write or not self.writes_only else None
        if fails in ANSWERS:
            return ANSWERS[fails]
        before = dict(self.weights)
        if fails is Trouble.SILENT:
            answer = Answer(0)
        else:
            answer = super().send(request, deadline_seconds=deadline_seconds)
        if is_write and self.lies:
            self.weights = before
        if fails:
            self.clock.sleep(deadline_seconds)
            return Answer(0, error=f"no answer within {deadline_seconds:g} s")
        return answer


class GcpNegRig(BalancerRig):
    """See the module's text."""

    troubles: ClassVar = {
        Trouble.THROTTLED: "is throttled",
        Trouble.QUOTA: "is over a quota",
        Trouble.RIGHTS: "grant compute.",
        Trouble.DOWN: "failed at Google's side",
        Trouble.SILENT: "no answer within",
        Trouble.LOST: "no answer within",
    }
    words: ClassVar = {
        "HEALTHY": Health.HEALTHY,
        "UNHEALTHY": Health.FAILING,
        "DRAINING": Health.LEAVING,
        "UNKNOWN": Health.UNKNOWN,
        "": Health.UNPROVEN,
    }
    strange = "REBALANCING"
    secrets = ("token-of-gcp",)

    def __init__(self) -> None:
        self.clock: FakeClock = FakeClock()
        self.api = TroubledCompute(self.clock)
        for address in PLACES:
            self.say(address, "HEALTHY")

    def make(self, *, settle_seconds: float = 0.0) -> Signal:
        settings = {"project": "acme", "backend_service": "blue", "settle": settle_seconds}
        settings |= {"green": "green", "url_map": "front", "delay": 60.0}
        world = ports(clock=self.clock, http=self.api)
        return build(settings, replace(world, token=lambda provider: f"token-of-{provider}"))

    def say(self, address: str, word: str | None) -> None:
        said = [] if word is None else [(address, word)]
        self.api.endpoints[PLACES[address]] = [BYSTANDER, *said]

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.api.trouble, self.api.writes_only = trouble, writes_only

    def front_share(self) -> float:
        return self.api.weights["green"] / sum(self.api.weights.values())

    def meddle(self, green_ratio: float) -> None:
        green = round(green_ratio * 1000)
        self.api.weights = {"blue": 1000 - green, "green": green}

    def lie(self) -> None:
        self.api.lies = True

    @property
    def writes(self) -> int:
        return self.api.writes

    def take_effect(self) -> None:
        if self.api.operation:
            self.api.operation["status"] = "DONE"
