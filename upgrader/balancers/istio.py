"""Part traffic by the weights of an Istio ``VirtualService``: of its ``http``, ``tls`` and ``tcp`` routes.

A destination gets ``weight / sum of all weights``; Istio before 1.15 refused sums but 100. Istio writes
a status only where that is switched on, and an absent one is no doubt.

Source: istio.io/api v1.31.4, ``networking/v1alpha3/virtual_service.proto``; https://github.com/istio/istio/pull/39544;
checked 2026-11.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    return routed(Route("istio", ref, SHAPE, doubt, unresolved), settings, ports)


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


_NOT_FOUND: Final = "IST0101"
"""``ReferencedResourceNotFound``. Source: https://istio.io/latest/docs/reference/config/analysis/ist0101/"""


def doubt(route: Manifest) -> str:
    """Say what Istio has against the object as it is written; empty without a status of it."""
    status = _status(route)
    for code, words in _errors(status):
        if code != _NOT_FOUND:
            return words
    for one in status.get("conditions") or ():
        if one.get("type") == "Reconciled" and one.get("status") == "False":
            return f"Istio says that not all proxies have it: {one.get('message', '')}"
    return ""


def unresolved(route: Manifest) -> str:
    """Say which host Istio cannot find; empty when none."""
    return next((words for code, words in _errors(_status(route)) if code == _NOT_FOUND), "")


def _status(route: Manifest) -> Mapping[str, Any]:
    """Return the status if it is of the object as it is written, else an empty one."""
    status = route.get("status") or {}
    is_of_it = int(status.get("observedGeneration") or 0) >= int(route["metadata"].get("generation", 0))
    return status if is_of_it else {}


def _errors(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield code and words of each error that Istio's analysis found."""
    for message in status.get("validationMessages") or ():
        if message.get("level") == "ERROR":
            said = message.get("type") or {}
            where = f" ({message['documentationUrl']})" if message.get("documentationUrl") else ""
            words = f"Istio finds an error in it: {said.get('code', '')} {said.get('name', '')}{where}"
            yield str(said.get("code", "")), words
