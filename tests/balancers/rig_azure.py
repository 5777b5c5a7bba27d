"""Azure as the contract tries it: its answers come later, and a change of an origin takes its time."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from urllib.parse import urlsplit

from tests.balancers.azure_answers import (
    ENDPOINT,
    ScriptedAzure,
    accepted,
    gateway,
    group,
    origin,
    refused,
    rule,
    said,
    world,
)
from tests.signals.fakes import FakeClock
from upgrader.balancers.azure import build
from upgrader.model.backend_health import Health
from upgrader.model.plugins import Signal
from upgrader.model.ports import Answer, Request
from upgrader.testing.contracts.rigs import NEW_ADDRESS, OLD_ADDRESS, HealthRig, TrafficRig, Trouble

REFUSALS = {
    Trouble.THROTTLED: refused(429, "TooManyRequests", retry_after="10"),
    Trouble.QUOTA: refused(403, "QuotaExceeded"),
    Trouble.RIGHTS: refused(403, "AuthorizationFailed"),
    Trouble.DOWN: refused(503, "ServerBusy"),
}
TROUBLES = {
    Trouble.THROTTLED: "Azure throttles us",
    Trouble.QUOTA: "a quota is used up",
    Trouble.RIGHTS: "give this identity the right Microsoft.",
    Trouble.DOWN: "Azure failed: HTTP 503",
    Trouble.SILENT: "Azure did not answer",
    Trouble.LOST: "Azure did not answer",
}
PLACE = {"subscription": "s", "resource_group": "g", "endpoint": ENDPOINT}


class TroubledAzure(ScriptedAzure):
    """Azure with what a test puts there."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.health: Any = {}
        self.origins: dict[str, dict[str, Any]] = {}
        self.trouble: Trouble | None = None
        self.writes_only = self.lies = False
        self.writes = 0

    def send(self, request: Request, *, deadline_seconds: float) -> Answer:
        is_write = request.method == "PATCH"
        self.writes += is_write
        fails = self.trouble if is_write or not self.writes_only else None
        if fails in REFUSALS:
            return REFUSALS[fails]
        answer = Answer(0) if fails is Trouble.SILENT else self._answer(request)
        if fails:
            self.clock.sleep(deadline_seconds)
            return Answer(0, error=f"no answer within {deadline_seconds:g} s")
        return answer

    def _answer(self, request: Request) -> Answer:
        path = urlsplit(request.url).path
        if request.method == "POST":
            return accepted()
        if "operationResults" in path:
            return said(200, self.health)
        if request.method == "PATCH":
            return self._change(path.rpartition("/")[2], json.loads(request.body)["properties"])
        return group(*self.origins.values()) if path.endswith("/origins") else said(200, {"properties": {}})

    def _change(self, name: str, properties: dict[str, Any]) -> Answer:
        if not self.lies:
            self.origins[name]["properties"] |= properties | {"provisioningState": "Updating"}
        return said(202, {})


class _AzureHealthRig(HealthRig):
    troubles: ClassVar = TROUBLES
    settings: ClassVar[dict[str, str]]

    def __init__(self) -> None:
        self.clock: FakeClock = FakeClock()
        self.azure = TroubledAzure(self.clock)
        self.said: dict[str, str | None] = {}
        for address in (OLD_ADDRESS, NEW_ADDRESS):
            self.say(address, self.word_for(Health.HEALTHY))

    def make(self, *, settle_seconds: float = 0.0) -> Signal:
        return build(PLACE | self.settings | {"settle": settle_seconds}, world(self.azure, self.clock))

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.azure.trouble, self.azure.writes_only = trouble, writes_only


class ApplicationGatewayRig(_AzureHealthRig):
    """An Application Gateway."""

    settings: ClassVar = {"service": "application_gateway", "name": "agw"}
    words: ClassVar = {
        "Up": Health.HEALTHY,
        "Healthy": Health.HEALTHY,
        "Down": Health.FAILING,
        "Unhealthy": Health.FAILING,
        "Draining": Health.LEAVING,
        "Unknown": Health.UNKNOWN,
        "Partial": Health.UNKNOWN,
    }
    strange = "Splendid"

    def say(self, address: str, word: str | None) -> None:
        self.said[address] = word
        self.azure.health = gateway(*((ip, one) for ip, one in self.said.items() if one is not None))


class LoadBalancerRig(_AzureHealthRig):
    """A Load Balancer; its words are reasons."""

    settings: ClassVar = {"service": "load_balancer", "name": "lb", "rule": "http"}
    words: ClassVar = {
        "Up_Probe_Success": Health.HEALTHY,
        "Up_Probe_ApproachingUnhealthyThreshold": Health.HEALTHY,
        "Up_Probe_AllDownIsUp": Health.UNKNOWN,
        "Up_Admin": Health.UNKNOWN,
        "Down_Admin": Health.LEAVING,
        "Down_Probe_ApproachingHealthyThreshold": Health.UNPROVEN,
        "Down_Probe_HttpStatusCodeError": Health.FAILING,
    }
    strange = "Up_Splendidly"

    def say(self, address: str, word: str | None) -> None:
        self.said[address] = word
        told = ((ip, one.partition("_")[0], one) for ip, one in self.said.items() if one is not None)
        self.azure.health = rule(*told)


class FrontDoorRig(TrafficRig):
    """A Front Door."""

    troubles: ClassVar = TROUBLES

    def __init__(self) -> None:
        self.clock: FakeClock = FakeClock()
        self.azure = TroubledAzure(self.clock)
        green = origin("green", 1000, enabledState="Disabled")
        self.azure.origins = {"blue": origin("blue", 1000), "green": green}

    def make(self) -> Signal:
        door = {"service": "front_door", "name": "fd", "origin_group": "gateways"}
        return build(PLACE | door | {"origin": "blue", "green": "green"}, world(self.azure, self.clock))

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.azure.trouble, self.azure.writes_only = trouble, writes_only

    def front_share(self) -> float:
        weights = {name: self._weight(name) for name in ("blue", "green")}
        return weights["green"] / sum(weights.values())

    def _weight(self, name: str) -> int:
        properties = self.azure.origins[name]["properties"]
        return int(properties["weight"]) if properties["enabledState"] == "Enabled" else 0

    def meddle(self, green_ratio: float) -> None:
        green = round(1000 * green_ratio)
        self.azure.origins = {"blue": origin("blue", 1000 - green), "green": origin("green", green)}

    def lie(self) -> None:
        self.azure.lies = True

    @property
    def writes(self) -> int:
        return self.azure.writes

    def take_effect(self) -> None:
        for one in self.azure.origins.values():
            one["properties"]["provisioningState"] = "Succeeded"
