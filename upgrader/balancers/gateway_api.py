"""Part traffic by the weights of a Gateway API route: an ``HTTPRoute`` or a ``GRPCRoute``.

A split counts only once the status says so of the very generation that is written: each parent's controller
has accepted it and found all backends. That says nothing of the proxies behind it: `delay` is for them.

Source: gateway-api v1.7.0, ``apis/v1/shared_types.go`` (`BackendRef`, `RouteParentStatus`), checked 2026-11.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from upgrader.model.ports import Manifest, Ports, Ref
from upgrader.model.route_weights import Destination, Shape
from upgrader.model.routed_traffic import Route, RoutedTraffic, routed

API: Final = "gateway.networking.k8s.io/v1"
_GROUP: Final = "gateway.networking.k8s.io"
_OF_BACKENDS: Final = "ResolvedRefs"


def build(settings: Mapping[str, Any], ports: Ports) -> RoutedTraffic:
    """Make the balancer.

    Args:
        settings: The keys of `GatewayApiBalancer`.
        ports: The world.
    """
    ref = Ref(API, settings["object"], settings["namespace"], settings["name"])
    return routed(Route("gateway_api", ref, SHAPE, doubt, unresolved), settings, ports)


def _named(entry: Mapping[str, Any], namespace: str) -> Destination | None:
    if entry.get("group") or entry.get("kind", "Service") != "Service":
        return None
    return Destination(entry["name"], entry.get("namespace") or namespace, int(entry.get("port") or 0))


SHAPE: Final = Shape(
    lists=(("rules",),),
    entries=("backendRefs",),
    named=_named,
    absent=1,
    sticky=("sessionPersistence",),
)
"""A session stays where it is "even if the weight is set to 0". Source: gateway-api, geps/gep-1619, "Traffic
Splitting", 2026-11-24."""


def doubt(route: Manifest) -> str:
    """Say why a route may not be in force as it is written; empty when every parent has accepted it so.

    Whether its backends were found is asked by `unresolved`; only that it was looked at, here.
    """
    namespace = route["metadata"].get("namespace", "")
    wanted = {_parent(one, namespace): one for one in route["spec"].get("parentRefs") or ()}
    if not wanted:
        return "it has no parent, so no gateway serves it"
    said: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for status in (route.get("status") or {}).get("parents") or ():
        said.setdefault(_parent(status["parentRef"], namespace), []).append(status)
    return next(_doubts(route, wanted, said), "")


def _doubts(
    route: Manifest,
    wanted: Mapping[tuple[Any, ...], Mapping[str, Any]],
    said: Mapping[tuple[Any, ...], list[Mapping[str, Any]]],
) -> Iterator[str]:
    generation = int(route["metadata"].get("generation", 0))
    for key, parent in wanted.items():
        if key not in said:
            yield f"no controller has answered for its parent {parent['name']}"
        for status in said.get(key, ()):
            yield from _of_parent(status, generation)


def _of_parent(status: Mapping[str, Any], generation: int) -> Iterator[str]:
    who = f"{status.get('controllerName', 'its controller')} of {status['parentRef']['name']}"
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    if (partly := conditions.get("PartiallyInvalid")) and partly["status"] == "True":
        yield f"{who} takes only a part of it: {_words(partly)}"
    for name in ("Accepted", _OF_BACKENDS):
        one = conditions.get(name)
        seen = int(one.get("observedGeneration") or 0) if one else 0
        if one is None or seen < generation:
            yield f"{who} has not said {name} of generation {generation} yet (last of {seen})"
        elif one["status"] != "True" and name != _OF_BACKENDS:
            yield f"{who} says {name} is {one['status']}: {_words(one)}"
    for name, one in conditions.items():
        if name.rpartition("/")[2] == "Programmed" and one["status"] != "True":
            yield f"{who} says {name} is {one['status']}: {_words(one)}"


def unresolved(route: Manifest) -> str:
    """Say which backends a controller cannot find, or may not send to; empty when none."""
    for status in (route.get("status") or {}).get("parents") or ():
        for one in status.get("conditions") or ():
            if one["type"] == _OF_BACKENDS and one["status"] != "True":
                return f"{status.get('controllerName')} says {_OF_BACKENDS} is {one['status']}: {_words(one)}"
    return ""


def _words(condition: Mapping[str, Any]) -> str:
    return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")


def _parent(ref: Mapping[str, Any], namespace: str) -> tuple[Any, ...]:
    """Return what tells parents apart, with the API's own defaults filled in."""
    kind = (ref.get("group", _GROUP), ref.get("kind", "Gateway"))
    return (*kind, ref.get("namespace") or namespace, ref["name"], ref.get("sectionName"), ref.get("port"))
