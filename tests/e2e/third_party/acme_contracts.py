"""The suite of Acme's author: the contracts that `upgrader` ships, and an Acme in the test's hands.

What is tried is what `upgrader` finds by entry point; nothing here imports the package.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, cast

from upgrader import plugins
from upgrader.model.backend_health import Health
from upgrader.model.plugins import Check, Gate, Scene, Signal, StepPlan, Survey
from upgrader.model.ports import Answer, Ports, Request
from upgrader.testing.contracts.balancers import BalancerContract, BalancerRig
from upgrader.testing.contracts.checks import CheckContract
from upgrader.testing.contracts.rigs import NEW_ADDRESS, OLD_ADDRESS, SignalRig, Trouble
from upgrader.testing.contracts.signals import SignalContract
from upgrader.testing.contracts.steps import StepContract, StepRig
from upgrader.testing.contracts.strategies import Planner, StrategyContract
from upgrader.testing.fakes import FakeClock
from upgrader.testing.surveys import SurveyBuilder
from upgrader.testing.two_places import two_places

URL = "https://acme.example"
REFUSALS = {Trouble.THROTTLED: 429, Trouble.QUOTA: 402, Trouble.RIGHTS: 403, Trouble.DOWN: 503}
TROUBLES = {
    Trouble.THROTTLED: "Acme throttles us",
    Trouble.QUOTA: "quota of calls is used up",
    Trouble.RIGHTS: "give the role edge-operator",
    Trouble.DOWN: "Acme failed: HTTP 503",
    Trouble.SILENT: "Acme did not answer",
    Trouble.LOST: "Acme did not answer",
}
Build = Callable[[Mapping[str, Any], Ports], Signal]


class Acme:
    """The provider: what it holds, and how it fails."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.holds: dict[str, Any] = {
            "/backends": {OLD_ADDRESS: "up", NEW_ADDRESS: "up"},
            "/split": {"green_permille": 0},
            "/errors/edge": dict.fromkeys(
                ("new_requests", "new_failures", "old_requests", "old_failures"), 0
            ),
            "/notice": {"text": ""},
        }
        self.trouble: Trouble | None = None
        self.writes_only = self.lies = False
        self.writes = 0

    def get(self, url: str, *, deadline_seconds: float) -> Answer:
        return self.send(Request("GET", url), deadline_seconds=deadline_seconds)

    def send(self, request: Request, *, deadline_seconds: float) -> Answer:
        is_write = request.method == "PUT"
        self.writes += is_write
        fails = self.trouble if is_write or not self.writes_only else None
        if fails in REFUSALS:
            return Answer(REFUSALS[fails])
        path = request.url.removeprefix(URL).partition("?")[0]
        if is_write and fails is not Trouble.SILENT and not self.lies:
            self.holds[path] = json.loads(request.body)
        if fails:
            self.clock.sleep(deadline_seconds)
            return Answer(0, error=f"nothing within {deadline_seconds:g} s")
        return Answer(200, json.dumps(self.holds[path]).encode())

    def ports(self) -> Ports:
        """Return ports of which only the clock and HTTP may be used."""
        nothing = cast(Any, None)
        return Ports(self.clock, nothing, nothing, self, nothing, nothing)


class _AcmeRig(SignalRig):
    troubles: ClassVar = TROUBLES

    def __init__(self, build: Build | None = None) -> None:
        self.clock: FakeClock = FakeClock()
        self.acme = Acme(self.clock)
        self.build = build

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.acme.trouble, self.acme.writes_only = trouble, writes_only


class FrontRig(_AcmeRig, BalancerRig):
    """Acme as a balancer."""

    words: ClassVar = {
        "up": Health.HEALTHY,
        "down": Health.FAILING,
        "warming": Health.UNPROVEN,
        "leaving": Health.LEAVING,
        "all-open": Health.UNKNOWN,
    }
    strange = "pondering"

    def make(self, *, settle_seconds: float = 0.0) -> Signal:
        build = self.build or plugins.find("balancers", "acme").build
        settings = {"url": URL, "pool": "a", "green": "b", "settle": timedelta(seconds=settle_seconds)}
        return build(settings, self.acme.ports())

    def say(self, address: str, word: str | None) -> None:
        self.acme.holds["/backends"].pop(address, None)
        if word is not None:
            self.acme.holds["/backends"][address] = word

    def front_share(self) -> float:
        return float(self.acme.holds["/split"]["green_permille"]) / 1000

    def meddle(self, green_ratio: float) -> None:
        self.acme.holds["/split"] = {"green_permille": round(1000 * green_ratio)}

    def lie(self) -> None:
        self.acme.lies = True

    @property
    def writes(self) -> int:
        return self.acme.writes


class ErrorsRig(_AcmeRig):
    """Acme as what counts."""

    def make(self) -> Signal:
        build = self.build or plugins.find("signals", "acme_errors").build
        return build({"url": URL, "tenant": "edge"}, self.acme.ports())

    def serve(self, *, old: tuple[int, int], new: tuple[int, int]) -> None:
        counted = self.acme.holds["/errors/edge"]
        for side, (requests, failed) in (("old", old), ("new", new)):
            counted[f"{side}_requests"] += requests
            counted[f"{side}_failures"] += failed

    def restart(self) -> None:
        self.acme.holds["/errors/edge"] = dict.fromkeys(self.acme.holds["/errors/edge"], 0)


class TestAcme(BalancerContract):
    def make_rig(self) -> FrontRig:
        return FrontRig()


class TestAcmeErrors(SignalContract):
    def make_rig(self) -> ErrorsRig:
        return ErrorsRig()


class TestAcmeSwitch(StrategyContract):
    def planner(self) -> Planner:
        return plugins.find("strategies", "acme_switch").plan  # type: ignore[no-any-return]

    def surveys(self) -> Mapping[str, Survey]:
        keys = {"kind": "acme_switch", "notices": URL}
        return {"usual": self._survey(keys), "half first": self._survey(keys | {"taste": "50%"})}

    def _survey(self, keys: dict[str, Any]) -> Survey:
        builder = two_places(keys)
        builder.plugins = {"balancers": ["front"], "strategies": plugins.names("strategies")}
        builder.keys_of = lambda kind, name: None if name == "front" else plugins.keys_of(kind, name)
        return builder.build()


class TestAcmeWindow(CheckContract):
    def check(self) -> Check:
        return cast(Check, plugins.find("checks", "acme_window"))

    def surveys(self) -> Mapping[str, Survey]:
        return {"acme-unowned": SurveyBuilder().build()}


class NoticeRig(StepRig):
    """Acme's status page."""

    def __init__(self) -> None:
        self.clock: FakeClock = FakeClock()
        self.acme = Acme(self.clock)
        self.plan = StepPlan("notice", "acme_notice", Gate.NONE, {"url": URL, "text": "r begins"}, 60.0)

    def build(self, plan: StepPlan) -> Any:
        return plugins.find("steps", "acme_notice").build(plan)

    def scene(self, facts: Mapping[str, Any]) -> Scene:
        return Scene(self.acme.ports(), self.fleet(), {}, facts)

    def state(self) -> Any:
        return self.acme.holds["/notice"]["text"]


class TestAcmeNotice(StepContract):
    def make_rig(self) -> NoticeRig:
        return NoticeRig()
