"""AWS Elastic Load Balancing as its contract tries it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from botocore.exceptions import ReadTimeoutError

from tests.balancers.elbv2 import BLUE, GREEN, RULE, FakeElbv2, refusal, target
from tests.signals.fakes import FakeClock, ports
from upgrader.adapters.aws import READ_SECONDS
from upgrader.balancers.aws_target_group import build
from upgrader.model.backend_health import Health
from upgrader.model.plugins import Signal
from upgrader.testing.contracts.balancers import BalancerRig
from upgrader.testing.contracts.rigs import NEW_ADDRESS, OLD_ADDRESS, Trouble

REFUSALS = {
    Trouble.THROTTLED: ("Throttling", "Rate exceeded", 400),
    Trouble.RIGHTS: ("AccessDenied", "not authorized", 403),
    Trouble.DOWN: ("ServiceUnavailable", "", 503),
}
PLACES = {OLD_ADDRESS: BLUE, NEW_ADDRESS: GREEN}


class TroubledElbv2(FakeElbv2):
    """The service, which can fail, and lie."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.trouble: Trouble | None = None
        self.writes_only = self.lies = False
        self.writes = 0

    def __getattr__(self, method: str) -> Any:
        real = super().__getattr__(method)
        is_write = method.startswith("modify")

        def call(**parameters: Any) -> Any:
            self.writes += is_write
            fails = self.trouble if is_write or not self.writes_only else None
            if fails in REFUSALS:
                code, message, status = REFUSALS[fails]
                raise refusal(code, message, status=status, method=method)
            before = self.actions
            answer = None if fails is Trouble.SILENT else real(**parameters)
            if is_write and self.lies:
                self.actions = before
            if fails:
                self.clock.sleep(READ_SECONDS)
                raise ReadTimeoutError(endpoint_url="https://aws")
            return answer

        return call


class AwsTargetGroupRig(BalancerRig):
    """See the module's text; a quota is nothing that these calls meet."""

    troubles: ClassVar = {
        Trouble.THROTTLED: "AWS throttled elasticloadbalancing:Describe",
        Trouble.RIGHTS: "allow the IAM action elasticloadbalancing:Describe",
        Trouble.DOWN: "AWS has trouble of its own",
        Trouble.SILENT: "AWS did not answer",
        Trouble.LOST: "AWS did not answer",
    }
    words: ClassVar = {
        "healthy": Health.HEALTHY,
        "initial": Health.UNPROVEN,
        "unhealthy": Health.FAILING,
        "unhealthy.draining": Health.FAILING,
        "draining": Health.LEAVING,
        "unavailable": Health.UNKNOWN,
        "unused Target.NotRegistered": Health.ABSENT,
        "unused Target.NotInUse": Health.UNKNOWN,
        "unused Target.InvalidState": Health.FAILING,
        "unused Target.IpUnusable": Health.FAILING,
    }
    strange = "resting"

    def __init__(self) -> None:
        self.clock: FakeClock = FakeClock()
        self.aws = TroubledElbv2(self.clock)
        for address in PLACES:
            self.say(address, "healthy")

    def make(self, *, settle_seconds: float = 0.0) -> Signal:
        settings = {"region": "eu-central-1", "target_group": BLUE, "green": GREEN, "listener_rule": RULE}
        world = replace(ports(clock=self.clock), aws=lambda service, region, endpoint: self.aws)
        return build(settings | {"settle": timedelta(seconds=settle_seconds)}, world)

    def say(self, address: str, word: str | None) -> None:
        state, _, reason = (word or "").partition(" ")
        self.aws.targets[PLACES[address]] = [] if word is None else [target(address, state, reason)]

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.aws.trouble, self.aws.writes_only = trouble, writes_only

    def front_share(self) -> float:
        groups = self.aws.actions[-1]["ForwardConfig"]["TargetGroups"]
        weights = {one["TargetGroupArn"]: one["Weight"] for one in groups}
        return float(weights[GREEN] / sum(weights.values()))

    def meddle(self, green_ratio: float) -> None:
        green = round(green_ratio * 800)
        groups = [
            {"TargetGroupArn": BLUE, "Weight": 800 - green},
            {"TargetGroupArn": GREEN, "Weight": green},
        ]
        self.aws.actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]

    def lie(self) -> None:
        self.aws.lies = True

    @property
    def writes(self) -> int:
        return self.aws.writes
