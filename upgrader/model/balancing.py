"""The playbook's balancers: their kinds, and the keys of those that ship with us.

Where a second installation stands beside the first (strategies ``canary`` and ``blue_green``), the key that
names the backend of the gateway is blue's, and ``green`` names the other place's in the same words.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, StrictInt, Tag, model_validator

from upgrader.model.azure_settings import AzureBalancer
from upgrader.model.balancing_routes import GatewayApiBalancer, GlooBalancer, IstioBalancer
from upgrader.model.strict import Strict, Text, at_fault, matching
from upgrader.model.units import Duration
from upgrader.model.watching import ForeignPlugin, Url, Watching, by_kind

BALANCERS: Final = (
    "envoy",
    "haproxy",
    "gateway_api",
    "istio",
    "gloo",
    "gcp_neg",
    "aws_target_group",
    "azure",
)

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
"""Hosts that are this machine."""


class HealthCheck(Strict):
    """How a balancer asks the pods by itself whether they are well."""

    interval: Duration = Field(description="Time between two checks of one pod. Required.")
    unhealthy: Annotated[StrictInt, Field(ge=1)] = Field(
        description="So many bad answers in a row take a pod out. Required."
    )


class EnvoyBalancer(Watching):
    """An Envoy in front of the gateway, asked by its admin page how it sees each backend."""

    kind: Literal["envoy"]
    admin: Url = Field(description="Its admin page, such as http://10.0.0.5:9901. Required.")
    cluster: Text = Field(description="The cluster that holds the gateway's pods. Required.")
    green: Text | None = Field(
        None,
        description="The cluster of the green place, to move traffic to. Default none: it tells health only.",
    )
    split: Text | None = Field(
        None,
        description="The runtime_key_prefix in the weighted_clusters of its routes to both clusters. "
        "Required with green.",
    )
    settle: Duration = Field(
        timedelta(seconds=30),
        description="How long after Ready a pod may take to be healthy there before that is a fact against "
        "it. Default 30s, for balancers that answer at once; clouds need minutes.",
    )
    health_check: HealthCheck | None = Field(
        None,
        description="Its own health checks: a pod that leaves must drain longer than they take to notice. "
        "Default none: only endpoints tell it.",
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if bool(self.green) != bool(self.split):
            missing, there = ("split", "green") if self.green else ("green", "split")
            raise at_fault((there,), f"needs {missing} beside it: both or neither")
        if self.green == self.cluster:
            raise at_fault(("green",), "must be another cluster than `cluster`")
        return self


class GcpNegBalancer(Watching):
    """Google's load balancer, asked by its API how it sees the endpoints of its network endpoint groups."""

    kind: Literal["gcp_neg"]
    project: Text = Field(description="The project's id. Required.")
    backend_service: Text = Field(description="The backend service of the gateway. Required.")
    region: Text | None = Field(None, description="Its region. Default none: it is global.")
    green: Text | None = Field(
        None,
        description="The backend service of the other place, of the same region. Default none: it only tells "
        "health, for rolling.",
    )
    url_map: Text | None = Field(
        None,
        description="The URL map whose weightedBackendServices name both; needed with green. Default none.",
    )
    settle: Duration = Field(
        timedelta(minutes=5),
        description="How long after Ready a pod may take to be healthy there before that is a fact against "
        "it. Default 5m: a new group is programmed first, then checked.",
    )
    delay: Duration = Field(
        timedelta(seconds=60),
        description="How long after a change is done traffic may still go the old way. Default 60s: from 8 s "
        "to over a minute were seen.",
    )
    endpoint: Url = Field(
        "https://compute.googleapis.com",
        description="URL of the API. Default Google's; http only on this machine, where no token is sent.",
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if bool(self.green) != bool(self.url_map):
            missing, there = ("url_map", "green") if self.green else ("green", "url_map")
            raise at_fault((there,), f"needs {missing} beside it: both or neither")
        if self.green == self.backend_service:
            raise at_fault(("green",), "must be another backend service than `backend_service`")
        parts = urlsplit(self.endpoint)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise at_fault(("endpoint",), "https, or this machine: a token is not sent in the clear")
        return self


def _listener(value: str) -> str:
    if not re.match(r"arn:[^:]+:elasticloadbalancing:[^:]+:[^:]*:listener(-rule)?/.", value):
        raise ValueError("must be the ARN of a rule (…:listener-rule/…) or of a listener (…:listener/…)")
    return value


ListenerArn = Annotated[str, AfterValidator(_listener)]


class AwsTargetGroupBalancer(Watching):
    """Target groups of AWS Elastic Load Balancing (ALB and NLB), asked through AWS's API."""

    kind: Literal["aws_target_group"]
    region: Text = Field(description="Its region, such as eu-central-1. Required.")
    target_group: Text = Field(
        description="ARN or name of the gateway's target group, of target-type ip. Required."
    )
    green: Text | None = Field(
        None,
        description="ARN or name of the other place's target group. Default none: no traffic is moved, only "
        "health is told.",
    )
    listener_rule: ListenerArn | None = Field(
        None,
        description="ARN of the rule that forwards to both target groups, or of a listener for its default "
        "action. Required with green. Default none.",
    )
    settle: Duration = Field(
        timedelta(minutes=5),
        description="How long after Ready a pod may take to be healthy there before that is a fact against "
        "it. Default 5m: a network balancer takes 3 to 5 minutes to register a target.",
    )
    delay: Duration = Field(
        timedelta(seconds=30),
        description="How long after an accepted weight traffic may still go the old way. Default 30s: AWS "
        "states no time. Behind a network balancer open connections stay: give it as long as they live.",
    )
    endpoint: Url | None = Field(
        None, description="Another URL of the service, such as that of a VPC endpoint. Default AWS's own."
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if bool(self.green) != bool(self.listener_rule):
            missing, there = ("listener_rule", "green") if self.green else ("green", "listener_rule")
            raise at_fault((there,), f"needs {missing} beside it: both or neither")
        if self.green == self.target_group:
            raise at_fault(("green",), "must be another target group than `target_group`")
        parts = urlsplit(self.endpoint or "")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise at_fault(
                ("endpoint",), "https, or this machine: a session's token is not sent in the clear"
            )
        return self


_PROXY = matching(r"[A-Za-z0-9_.:-]+", "letters, digits and any of _.:-")
_SOCKET = matching(r"unix:/[^\s;]+|(\[[0-9A-Fa-f:.]+\]|[^\s;:/]+):[1-9][0-9]{0,4}", "unix:/PATH or HOST:PORT")
_MAP = matching(r"[A-Za-z0-9_./@-]+", "a path or name without blanks, as HAProxy's configuration has it")
ProxyName = Annotated[str, _PROXY[0], _PROXY[1]]
"""A name in HAProxy's configuration. Source: HAProxy 2.6 configuration manual, chapter 4."""


class HaproxyBalancer(Watching):
    """A HAProxy in front of the gateway, asked and moved by its runtime API (one process of it)."""

    kind: Literal["haproxy"]
    socket: Annotated[str, _SOCKET[0], _SOCKET[1]] = Field(
        description="Its stats socket: unix:/run/haproxy/admin.sock or HOST:PORT. Required."
    )
    backend: ProxyName = Field(description="Its backend that holds the gateway's pods; blue's. Required.")
    green: ProxyName | None = Field(
        None,
        description="Its backend that holds the pods of the other place; with it, traffic is moved. "
        "Default none: only health is read.",
    )
    map: Annotated[str, _MAP[0], _MAP[1]] | None = Field(
        None,
        description="The map whose entry named like green's backend is green's share in ten-thousandths, "
        "written as HAProxy's configuration does. Required with green.",
    )
    settle: Duration = Field(
        timedelta(seconds=30),
        description="How long after Ready a pod may take to be healthy there before that is a fact against "
        "it. Default 30s: DNS or a controller has told HAProxy of it, and two checks have passed.",
    )
    delay: Duration = Field(
        timedelta(seconds=1),
        description="How long after a change traffic may still go the old way. Default 1s: the change acts "
        "on the next request; those under way end where they are.",
    )
    health_check: HealthCheck | None = Field(
        None,
        description="Its own health checks (inter and fall): a pod that leaves must drain longer than they "
        "take to notice. Default none: only endpoints tell it.",
    )

    @model_validator(mode="after")
    def _two_places(self) -> Self:
        if self.green and not self.map:
            raise at_fault(("green",), "needs map too: the map that holds green's share")
        if self.green == self.backend:
            raise at_fault(("green",), "must be another than backend")
        if self.map and not self.green:
            raise at_fault(("map",), "is the map of green's share: green is missing")
        return self


class PluginBalancer(ForeignPlugin):
    """A balancer that somebody else's package brings; it validates its own keys."""

    place = "balancers"
    ours = BALANCERS
    later = ()


BalancerSettings = Annotated[
    Annotated[EnvoyBalancer, Tag("envoy")]
    | Annotated[HaproxyBalancer, Tag("haproxy")]
    | Annotated[GatewayApiBalancer, Tag("gateway_api")]
    | Annotated[IstioBalancer, Tag("istio")]
    | Annotated[GlooBalancer, Tag("gloo")]
    | Annotated[AwsTargetGroupBalancer, Tag("aws_target_group")]
    | Annotated[GcpNegBalancer, Tag("gcp_neg")]
    | Annotated[AzureBalancer, Tag("azure")]
    | Annotated[PluginBalancer, Tag("plugin")],
    Discriminator(by_kind(BALANCERS)),
]
