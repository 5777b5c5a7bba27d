"""How a URL map of Google's load balancer parts requests between two backend services. Pure.

Only load balancers of the schemes in `SCHEMES` know weights; the classic one (``EXTERNAL``) has none.
Source: fields of google-cloud-compute 1.57.0 (``UrlMap``, ``WeightedBackendService``: weight 0 to 1000), and
https://cloud.google.com/load-balancing/docs/url-map-concepts, 2026-11-24.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from upgrader.model.gcp_health import tail

SCHEMES: Final = ("EXTERNAL_MANAGED", "INTERNAL_MANAGED")
HEAVIEST: Final = 1000
"""Both weights together, which makes 0.001 the finest share."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The two backend services, each as its `tail`."""

    blue: str
    green: str


@dataclass(frozen=True, slots=True)
class Routes:
    """What a URL map does with the two.

    Args:
        ratios: Green's share in each place that names both, 0-1; ``None`` where both weights are 0.
        strays: Places that send requests to one of them past the weights; these would not move.
    """

    ratios: tuple[float | None, ...]
    strays: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    service: str
    weighted: list[dict[str, Any]]


def read_routes(url_map: Mapping[str, Any], pair: Pair) -> Routes:
    """Find every place of a URL map that has to do with the two."""
    both, ratios, strays = {pair.blue, pair.green}, [], []
    for place in _places(url_map):
        named = {_service(one) for one in place.weighted}
        if _is_parted(place, pair):
            ratios.append(_ratio(place.weighted, pair))
        elif named & both or place.service in both:
            strays.append(place.name)
    return Routes(tuple(ratios), tuple(strays))


def weights(green_ratio: float) -> tuple[int, int]:
    """Return blue's and green's weight; a share that is not 0 or 1 never becomes 0 or 1."""
    green = round(green_ratio * HEAVIEST)
    if 0 < green_ratio < 1:
        green = min(max(green, 1), HEAVIEST - 1)
    return HEAVIEST - green, green


def patch(url_map: Mapping[str, Any], pair: Pair, green_ratio: float) -> dict[str, Any]:
    """Return the body of ``urlMaps.patch`` that parts traffic so: a JSON merge patch, where lists go whole.

    It carries the fingerprint that was read, so that a change by somebody else meanwhile is not lost.
    """
    changed = deepcopy(dict(url_map))
    blue, green = weights(green_ratio)
    for place in _places(changed):
        if _is_parted(place, pair):
            for one in place.weighted:
                one["weight"] = green if _service(one) == pair.green else blue
    kept = {"fingerprint": url_map.get("fingerprint", "")}
    parts = ("defaultRouteAction", "pathMatchers")
    return kept | {key: changed[key] for key in parts if changed.get(key) != url_map.get(key)}


def _is_parted(place: _Place, pair: Pair) -> bool:
    """Tell whether a place names both, each once, and no other."""
    return sorted(_service(one) for one in place.weighted) == sorted((pair.blue, pair.green))


def _places(url_map: Mapping[str, Any]) -> Iterator[_Place]:
    yield _place("no host rule", url_map, "default")
    for matcher in url_map.get("pathMatchers") or ():
        name = f"path matcher {matcher.get('name', '')}"
        yield _place(name, matcher, "default")
        for number, rule in enumerate(matcher.get("pathRules") or (), 1):
            yield _place(f"{name}, path rule {number}", rule, "")
        for number, rule in enumerate(matcher.get("routeRules") or (), 1):
            yield _place(f"{name}, route rule {number}", rule, "")


def _place(name: str, holder: Mapping[str, Any], prefix: str) -> _Place:
    service, action = ("defaultService", "defaultRouteAction") if prefix else ("service", "routeAction")
    weighted = (holder.get(action) or {}).get("weightedBackendServices") or []
    return _Place(name, tail(str(holder.get(service) or "")), weighted)


def _service(weighted: Mapping[str, Any]) -> str:
    return tail(str(weighted.get("backendService") or ""))


def _ratio(weighted: list[dict[str, Any]], pair: Pair) -> float | None:
    of = {_service(one): int(one.get("weight") or 0) for one in weighted}
    together = of[pair.blue] + of[pair.green]
    return of[pair.green] / together if together else None
