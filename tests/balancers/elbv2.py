"""AWS Elastic Load Balancing as a test scripts it; what is asked and answered fits botocore's own model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.model import OperationModel
from botocore.validate import ParamValidator

PREFIX = "arn:aws:elasticloadbalancing:eu-central-1:123456789012"
BLUE, GREEN = f"{PREFIX}:targetgroup/gw-blue/aaaa", f"{PREFIX}:targetgroup/gw-green/bbbb"
RULE = f"{PREFIX}:listener-rule/app/edge/1111/2222/3333"
LISTENER = f"{PREFIX}:listener/app/edge/1111/2222"
NETWORK = f"{PREFIX}:listener/net/edge/1111/2222"
READ, WRITTEN = "read", "written"


@cache
def operation(method: str) -> OperationModel:
    """Return botocore's model of a call; `describe_rules` is DescribeRules there."""
    model = botocore.session.get_session().get_service_model("elbv2")
    return model.operation_model(method.title().replace("_", ""))


def target(address: str, state: str = "healthy", reason: str = "", **more: Any) -> dict[str, Any]:
    """Return one description of a target's health."""
    health = {"State": state} | ({"Reason": reason} if reason else {})
    health |= {"Description": more.pop("description")} if "description" in more else {}
    zone = more.pop("zone", "eu-central-1a")
    return {
        "Target": {"Id": address, "Port": more.pop("port", 8080), "AvailabilityZone": zone},
        "TargetHealth": health,
        **more,
    }


def forward(blue: int | None = 999, green: int | None = 0, **more: Any) -> dict[str, Any]:
    """Return a forward action with a weight for each group; ``None`` leaves the group out."""
    weights = {BLUE: blue, GREEN: green}
    groups = [
        {"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items() if weight is not None
    ]
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": groups, **more}}


class FakeElbv2:
    """boto3's client ``elbv2``: keeps what is written, and raises what it is told to."""

    def __init__(self) -> None:
        self.targets: dict[str, list[dict[str, Any]]] = {BLUE: [], GREEN: []}
        self.kind = "ip"
        self.attributes: dict[str, str] = {}
        self.actions: list[dict[str, Any]] = [forward()]
        self.is_default = False
        self.others: list[dict[str, Any]] = []
        self.listeners: list[dict[str, Any]] = []
        self.page = 400
        self.fails: dict[str, Exception] = {}
        self.calls: list[str] = []
        self.sent: list[Mapping[str, Any]] = []

    def __getattr__(self, method: str) -> Any:
        def call(**parameters: Any) -> Any:
            self.calls.append(method)
            _fits(parameters, operation(method).input_shape)
            if method in self.fails:
                raise self.fails[method]
            answer = getattr(self, f"_{method}")(parameters)
            _fits(answer, operation(method).output_shape)
            return answer

        if method.startswith("_"):
            raise AttributeError(method)
        return call

    def _describe_target_groups(self, asked: Mapping[str, Any]) -> Any:
        names = {"gw-blue": BLUE, "gw-green": GREEN}
        arns = asked.get("TargetGroupArns") or [names[name] for name in asked["Names"]]
        return {
            "TargetGroups": [
                {"TargetGroupArn": arn, "TargetGroupName": arn.split("/")[1], "TargetType": self.kind}
                for arn in arns
            ]
        }

    def _describe_target_group_attributes(self, asked: Mapping[str, Any]) -> Any:
        return {"Attributes": [{"Key": key, "Value": value} for key, value in self.attributes.items()]}

    def _describe_target_health(self, asked: Mapping[str, Any]) -> Any:
        return {"TargetHealthDescriptions": self.targets[asked["TargetGroupArn"]]}

    def _describe_rules(self, asked: Mapping[str, Any]) -> Any:
        rule = {"RuleArn": RULE, "Priority": "1", "Actions": self.actions, "IsDefault": self.is_default}
        if asked.get("RuleArns"):
            return {"Rules": [rule]}
        start = int(asked.get("Marker") or 0)
        rules = [rule, *self.others][start : start + self.page]
        more = start + self.page <= len(self.others)
        return {"Rules": rules, **({"NextMarker": str(start + self.page)} if more else {})}

    def _describe_listeners(self, asked: Mapping[str, Any]) -> Any:
        if "LoadBalancerArn" in asked:
            assert asked["LoadBalancerArn"].startswith(f"{PREFIX}:loadbalancer/")
            return {"Listeners": [{"ListenerArn": LISTENER, "DefaultActions": []}, *self.listeners]}
        return {"Listeners": [{"ListenerArn": asked["ListenerArns"][0], "DefaultActions": self.actions}]}

    def _modify_rule(self, asked: Mapping[str, Any]) -> Any:
        self.sent.append(asked)
        self.actions = asked["Actions"]
        return {"Rules": []}

    def _modify_listener(self, asked: Mapping[str, Any]) -> Any:
        self.sent.append(asked)
        self.actions = asked["DefaultActions"]
        return {"Listeners": []}


def refusal(
    code: str, message: str = "", *, status: int = 400, method: str = "describe_rules"
) -> ClientError:
    """Return the error that botocore makes of an answer with this code."""
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, operation(method).name)


def _fits(value: Any, shape: Any) -> None:
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), report.generate_report()
