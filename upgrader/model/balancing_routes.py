"""The keys of the playbook's balancers whose traffic a Kubernetes object parts by weights."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, StrictInt, model_validator

from upgrader.model.route_weights import Destination
from upgrader.model.strict import Name, ReleaseName, Strict, Text, at_fault
from upgrader.model.units import Duration
from upgrader.model.watching import Port, Watching

ObjectName = ReleaseName
"""An object's name may hold dots, unlike a Service's."""


class WeightedService(Strict):
    """A Service that rules of the object send traffic to."""

    name: Name = Field(description="Its name. Required.")
    namespace: Name | None = Field(None, description="Its namespace. Default: the object's own.")
    port: Port | None = Field(None, description="Its port. Default: whichever the rules name.")

    def destination(self, namespace: str) -> Destination:
        """Return what it means in an object of this namespace."""
        return Destination(self.name, self.namespace or namespace, self.port or 0)


class SubsetService(WeightedService):
    """A Service, or one subset of it."""

    subset: Text | None = Field(None, description="A subset of its DestinationRule. Default: none is named.")

    def destination(self, namespace: str) -> Destination:
        """Return what it means in an object of this namespace."""
        return replace(super().destination(namespace), detail=self.subset or "")


class GlooDestination(Strict):
    """A destination of Gloo's routes."""

    type: Literal["Service", "Upstream"] = Field(
        "Service",
        description="Service where the routes name a kube destination, Upstream where they name an upstream. "
        "Default Service.",
    )
    name: Text = Field(description="Its name. Required.")
    namespace: Name | None = Field(None, description="Its namespace. Default: the object's own.")
    port: Port | None = Field(
        None, description="The Service's port; an Upstream has its own. Default: whichever the routes name."
    )

    def destination(self, namespace: str) -> Destination:
        """Return what it means in an object of this namespace."""
        return Destination(self.name, self.namespace or namespace, self.port or 0, self.type)

    @model_validator(mode="after")
    def _port_of_a_service(self) -> Self:
        if self.port and self.type == "Upstream":
            raise at_fault(("port",), "an Upstream has its own port; leave it out")
        return self


class _Weighted(Watching):
    namespace: Name = Field(description="Namespace of the object. Required.")
    name: ObjectName = Field(description="Name of the object. Required.")
    total: Annotated[StrictInt, Field(ge=100, le=1_000_000)] = Field(
        1000,
        description="The sum of both weights that are written: shares are parts of it. Default 1000: the "
        "finest share is then 0.1%. Istio before 1.15 takes 100 alone; AWS balancers take weights to 999.",
    )

    @model_validator(mode="after")
    def _two_places(self) -> Self:
        if getattr(self, "backend", None) == getattr(self, "green", None):
            raise at_fault(("green",), "is the same as backend: there is nothing to move between")
        return self


class GatewayApiBalancer(_Weighted):
    """A Gateway API route whose weights part the traffic. It tells no health of backends."""

    kind: Literal["gateway_api"]
    object: Literal["HTTPRoute", "GRPCRoute"] = Field("HTTPRoute", description="Its kind. Default HTTPRoute.")
    backend: WeightedService = Field(description="The gateway's Service in blue's place. Required.")
    green: WeightedService = Field(description="The Service in the other place. Required.")
    delay: Duration = Field(
        timedelta(seconds=5),
        description="How long traffic may go the old way after the route was accepted. Default 5s, for "
        "controllers in the cluster; those that set up a cloud's balancer need a minute or more.",
    )


class IstioBalancer(_Weighted):
    """An Istio VirtualService whose weights part the traffic. It tells no health of backends."""

    kind: Literal["istio"]
    api_version: Literal["networking.istio.io/v1", "networking.istio.io/v1beta1"] = Field(
        "networking.istio.io/v1",
        description="Which version of the API to speak. Default v1, which Istio has since 1.22.",
    )
    backend: SubsetService = Field(description="The gateway's Service in blue's place. Required.")
    green: SubsetService = Field(description="The Service in the other place. Required.")
    delay: Duration = Field(
        timedelta(seconds=10),
        description="How long traffic may go the old way after the change. Default 10s: Istio waits so long "
        "at most for more changes (PILOT_DEBOUNCE_MAX) before it tells its proxies.",
    )


class GlooBalancer(_Weighted):
    """A Gloo VirtualService or RouteTable whose weights part the traffic. It tells no health of backends."""

    kind: Literal["gloo"]
    object: Literal["VirtualService", "RouteTable"] = Field(
        "VirtualService", description="Its kind: what holds the routes. Default VirtualService."
    )
    backend: GlooDestination = Field(description="The gateway in blue's place: the release's. Required.")
    green: GlooDestination = Field(description="The gateway in the other place. Required.")
    delay: Duration = Field(
        timedelta(seconds=10),
        description="How long traffic may go the old way after the change. Default 10s: Gloo's status does "
        "not say of which change it speaks, so this covers its looking too.",
    )
