"""The playbook's keys of the balancer ``azure``."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from upgrader.model.strict import Text, at_fault
from upgrader.model.units import Duration
from upgrader.model.watching import Url, Watching


def _azure_or_loopback(value: str) -> str:
    """Refuse other addresses: a token for Azure must reach nobody else."""
    try:
        is_ours = ip_address(urlsplit(value).hostname or "").is_loopback
    except ValueError:
        is_ours = False
    if not is_ours:
        raise ValueError("must be a loopback IP, for an imitation of Azure; left out, it is Azure's own")
    return value


_AZURE_KEYS: Final = {
    "application_gateway": (set(), {"pools"}),
    "load_balancer": ({"rule"}, set()),
    "front_door": ({"origin_group", "origin", "green"}, set()),
}
"""Service → the keys of its own: those it needs, and those it may have."""


class AzureBalancer(Watching):
    """A balancer of Azure: health by Application Gateway or Load Balancer, traffic by Front Door."""

    kind: Literal["azure"]
    service: Literal["application_gateway", "load_balancer", "front_door"] = Field(
        description="What it is. application_gateway and load_balancer tell health and move nothing; "
        "front_door (Standard or Premium) moves traffic and tells no health. Required."
    )
    subscription: Text = Field(description="The subscription's id. Required.")
    resource_group: Text = Field(description="The resource group. Required.")
    name: Text = Field(description="The gateway, load balancer or Front Door profile. Required.")
    pools: tuple[Text, ...] = Field(
        (), description="application_gateway: the backend pools that count. Default all."
    )
    rule: Text | None = Field(None, description="load_balancer: its load balancing rule. Required there.")
    origin_group: Text | None = Field(None, description="front_door: the origin group. Required there.")
    origin: Text | None = Field(None, description="front_door: the gateway's origin. Required there.")
    green: Text | None = Field(
        None, description="front_door: the other place's origin, in the same group. Required there."
    )
    settle: Duration = Field(
        timedelta(minutes=5),
        description="How long after Ready a pod may take to be healthy there before that is a fact against "
        "it. Default 5m: the ingress controller changes the gateway, which takes minutes, then it probes.",
    )
    delay: Duration = Field(
        timedelta(minutes=20),
        description="front_door: how long after an accepted change traffic may still go the old way. Default "
        "20m, as Microsoft says for one change; two at once may take 40m.",
    )
    endpoint: Annotated[Url, AfterValidator(_azure_or_loopback)] | None = Field(
        None, description="An imitation of Azure on loopback, for rehearsals; gets no token. Default Azure."
    )

    @model_validator(mode="after")
    def _keys_of_the_service(self) -> Self:
        needed, allowed = _AZURE_KEYS[self.service]
        for service, (needs, may) in _AZURE_KEYS.items():
            for key in sorted(needs | may):
                is_given = bool(getattr(self, key))
                if service == self.service and key in needed and not is_given:
                    raise at_fault(("service",), f"{service} needs {key}")
                if service != self.service and is_given and key not in needed | allowed:
                    raise at_fault((key,), f"only {service} has {key}; this is {self.service}")
        if self.green and self.origin and self.green.lower() == self.origin.lower():
            raise at_fault(("green",), "must be another origin than `origin`")
        return self
