"""Part traffic by the weights of a Gloo ``VirtualService`` or ``RouteTable`` (``gateway.solo.io/v1``).

Only routes with ``routeAction.multi`` have weights. Gloo's status tells no generation: *Accepted* may be of
the object before the change, so `delay` is what covers the time until Gloo has looked.

Source: solo-io/solo-kit ``api/v1/status.proto``; solo-io/gloo ``install/helm/gloo/crds``;
https://github.com/solo-io/gloo/pull/6685 (a weight of 0 is allowed beside another); checked 2026-11.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from upgrader.model.ports import Manifest, Ports, Ref
from upgrader.model.route_weights import Destination, Shape, below
from upgrader.model.routed_traffic import Route, RoutedTraffic, routed

API: Final = "gateway.solo.io/v1"
_STATES: Final = ("Pending", "Accepted", "Rejected", "Warning")
"""In the order of their numbers, by which older versions write them."""


def build(settings: Mapping[str, Any], ports: Ports) -> RoutedTraffic:
    """Make the balancer.

    Args:
        settings: The keys of `GlooBalancer`.
        ports: The world.
    """
    kind = settings["object"]
    ref = Ref(API, kind, settings["namespace"], settings["name"])
    return routed(Route("gloo", ref, SHAPES[kind], doubt, unresolved), settings, ports)


def _named(entry: Mapping[str, Any], namespace: str) -> Destination | None:
    said = entry.get("destination") or entry  # a single destination is not wrapped
    if ref := below(said, ("kube", "ref")):
        port = int(below(said, ("kube", "port")) or 0)
        return Destination(ref["name"], ref.get("namespace") or namespace, port, "Service")
    if upstream := said.get("upstream"):
        return Destination(upstream["name"], upstream.get("namespace") or namespace, 0, "Upstream")
    return None


def _shape(*keys: str) -> Shape:
    return Shape(
        lists=(keys,),
        entries=("routeAction", "multi", "destinations"),
        named=_named,
        absent=0,
        single=("routeAction", "single"),
    )


SHAPES: Final = {"VirtualService": _shape("virtualHost", "routes"), "RouteTable": _shape("routes")}


def doubt(route: Manifest) -> str:
    """Say why Gloo may not serve the object as it is written; empty when all that speak of it accept it."""
    reports = _reports(route)
    if not reports:
        return "Gloo has not said anything of it yet"
    generation = int(route["metadata"].get("generation", 0))
    return next((why for report in reports for why in _doubts(report, generation)), "")


def unresolved(route: Manifest) -> str:
    """Say what Gloo warns of: a destination that is not there is a warning; empty when of nothing."""
    warnings = (report for report in _reports(route) if _state(report) == "Warning")
    return next((_said(report) for report in warnings), "")


def _reports(route: Manifest) -> tuple[Mapping[str, Any], ...]:
    """Return what each control plane says: one a namespace, or in older versions one in all."""
    status = route.get("status") or {}
    return tuple((status.get("statuses") or ({"": status} if status else {})).values())


def _doubts(report: Mapping[str, Any], generation: int) -> Iterator[str]:
    if _state(report) not in ("Accepted", "Warning"):
        yield _said(report)
    seen = int(report.get("observedGeneration", generation))
    if seen < generation:
        yield f"{_who(report)} has not looked at generation {generation} yet (last {seen})"
    parts = report.get("subresourceStatuses") or report.get("subresource_statuses") or {}
    for name, part in parts.items():
        if _state(part) not in ("Accepted", "Warning", "Pending"):
            yield f"of {name}: {_said(part)}"


def _said(report: Mapping[str, Any]) -> str:
    reason = " ".join(str(report.get("reason", "")).split())
    return f"{_who(report)} says {_state(report)}{f': {reason}' if reason else ''}"


def _who(report: Mapping[str, Any]) -> str:
    return str(report.get("reportedBy") or report.get("reported_by") or "Gloo")


def _state(report: Mapping[str, Any]) -> str:
    """Return the state by name; an absent one is the first, as everywhere in protobuf."""
    said = report.get("state", 0)
    if isinstance(said, int):
        return _STATES[said] if said < len(_STATES) else f"state {said}"
    return str(said)
