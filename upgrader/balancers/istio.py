"""Part traffic by the weights of an Istio ``VirtualService``: of its ``http``, ``tls`` and ``tcp`` routes.

A destination gets ``weight / sum of all weights``; Istio before 1.15 refused sums but 100. Istio writes
a status only where that is switched on, and an absent one is no doubt.

Source: istio.io/api v1.31.4, ``networking/v1alpha3/virtual_service.proto``; https://github.com/istio/istio/pull/39544;
checked 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from upgrader.model.ports import Manifest, Ports, Ref
from upgrader.model.route_weights import Destination, Shape, below
from upgrader.model.routed_traffic import Route, RoutedTraffic, routed


def build(settings: Mapping[str, Any], ports: Ports) -> RoutedTraffic:
    """Make the balancer.

    Args:
        settings: The keys of `IstioBalancer`.
        ports: The world.
    """
    ref = Ref(settings["api_version"], "VirtualService", settings["namespace"], settings["name"])
    return routed(Route("istio", ref, SHAPE, doubt), settings, ports)


def _named(entry: Mapping[str, Any], namespace: str) -> Destination | None:
    """Read a destination; Istio completes only a host without a dot (``ResolveShortnameToFQDN``)."""
    said = entry.get("destination") or {}
    name, *rest = str(said.get("host", "")).split(".")
    if rest and (len(rest) < 2 or rest[1] != "svc"):
        return None
    where = rest[0] if rest else namespace
    return Destination(name, where, int(below(said, ("port", "number")) or 0), str(said.get("subset") or ""))


SHAPE: Final = Shape(
    lists=(("http",), ("tls",), ("tcp",)),
    entries=("route",),
    named=_named,
    absent=0,
)


def doubt(route: Manifest) -> str:
    """Say what Istio has against the object as it is written; empty without a status of it."""
    status = route.get("status") or {}
    generation = int(route["metadata"].get("generation", 0))
    if int(status.get("observedGeneration") or 0) < generation:
        return ""
    for message in status.get("validationMessages") or ():
        if message.get("level") == "ERROR":
            said = message.get("type") or {}
            where = f" ({message['documentationUrl']})" if message.get("documentationUrl") else ""
            return f"Istio finds an error in it: {said.get('code', '')} {said.get('name', '')}{where}"
    for one in status.get("conditions") or ():
        if one.get("type") == "Reconciled" and one.get("status") == "False":
            return f"Istio says that not all proxies have it: {one.get('message', '')}"
    return ""
