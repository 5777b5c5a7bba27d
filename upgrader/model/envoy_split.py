"""How an Envoy parts traffic between two clusters: routes with weights that its runtime overrides. Pure.

A route with ``weighted_clusters.runtime_key_prefix: P`` takes the weight of cluster C from the runtime key
``P.C``, and its own where there is no such key. The sum may be any; only the shares count. Where it is 0, or
2^32 and above, Envoy answers every request 404. Runtime takes keys that no route asks for without a word.

Source: Envoy, ``config.route.v3.WeightedCluster``; Envoy 1.40.0, measured 2026-11-24.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from upgrader.model.plugins import Split

TOTAL: Final = 10_000
"""The sum of the weights we set: shares down to 0.01 %, a tenth of the finest rung of a canary."""
FINEST_RATIO: Final = 1 / TOTAL
_LARGEST_SUM: Final = 2**32 - 1
ADMIN_LAYER_REMEDY: Final = (
    "add an admin_layer as the last of layered_runtime in its bootstrap, and restart it"
)


@dataclass(frozen=True, slots=True)
class Places:
    """What the two places are called there.

    Args:
        blue: The cluster of the blue place.
        green: The cluster of the green one.
        prefix: The route's ``weighted_clusters.runtime_key_prefix``.
    """

    blue: str
    green: str
    prefix: str

    def key(self, cluster: str) -> str:
        """Return the runtime key of a cluster's weight."""
        return f"{self.prefix}.{cluster}"


@dataclass(frozen=True, slots=True)
class Routed:
    """What the routes make of the two places.

    Args:
        weights: The weights (blue, green) that the routes which obey are configured with; each pair once.
        error: Why traffic is not parted by them alone, or the empty text.
        remedy: What to change then.
    """

    weights: frozenset[tuple[int, int]] = frozenset()
    error: str = ""
    remedy: str = ""


def read_routes(body: bytes) -> tuple[Mapping[str, Any], ...] | None:
    """Read the routes that are in force off ``/config_dump?resource=…_route_configs``.

    Returns:
        All routes that send somewhere, ``()`` where there are none; ``None`` when it is no such page.
    """
    try:
        configs = [
            one["route_config"] for one in json.loads(body).get("configs") or () if "route_config" in one
        ]
    except (ValueError, TypeError, AttributeError):
        return None
    return tuple(_routes(configs))


def _routes(part: Any) -> Iterator[Mapping[str, Any]]:
    """Find the routes, in a list or in a tree of matchers."""
    if isinstance(part, Mapping):
        if isinstance(part.get("route"), Mapping):
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _routes(one)


def routed(routes: Iterable[Mapping[str, Any]], places: Places) -> Routed:
    """Tell whether the routes obey the prefix, all that send to either place.

    A route that asks for a header or a query parameter may send to one place as it likes: so testers reach a
    version on purpose. Any other way past the split would keep traffic at a place that is thought empty.
    """
    weights: set[tuple[int, int]] = set()
    beside: list[str] = []
    others: Routed | None = None
    both = {places.blue, places.green}
    for route in routes:
        parts = route["route"].get("weighted_clusters") or {}
        of = [(str(one.get("name")), int(one.get("weight") or 0)) for one in parts.get("clusters") or ()]
        named = [name for name, _ in of] or [str(route["route"].get("cluster"))]
        obeys = bool(of) and parts.get("runtime_key_prefix") == places.prefix
        if obeys and sorted(named) == sorted(both):
            weights.add((dict(of)[places.blue], dict(of)[places.green]))
        elif obeys:
            others = others or _among_others(route, named, places)
        elif both & set(named) and not _is_asked_for(route):
            beside.append(_name(route))
    if not weights:
        return others or _unused(places)
    wrong = others or (_past(beside, places) if beside else Routed())
    return replace(wrong, weights=frozenset(weights))


def _among_others(route: Mapping[str, Any], named: list[str], places: Places) -> Routed:
    return Routed(
        error=f"{_name(route)} parts traffic by {places.prefix} among {', '.join(named)}",
        remedy=f"let it name {places.blue} and {places.green}, each once, and no other",
    )


def _unused(places: Places) -> Routed:
    return Routed(
        error=f"no route of it parts traffic by the runtime keys {places.prefix}.CLUSTER",
        remedy=f"give the route weighted_clusters with runtime_key_prefix: {places.prefix} and the clusters "
        f"{places.blue} and {places.green}, or correct the playbook's `split`",
    )


def _past(beside: list[str], places: Places) -> Routed:
    more = f" and {len(beside) - 1} more" if beside[1:] else ""
    return Routed(
        error=f"{beside[0]}{more} sends to {places.blue} or {places.green} past the split",
        remedy=f"give it the same weighted_clusters, with runtime_key_prefix: {places.prefix}",
    )


def _is_asked_for(route: Mapping[str, Any]) -> bool:
    match = route.get("match") or {}
    headers = [str(one.get("name")) for one in match.get("headers") or ()]
    return bool(match.get("query_parameters")) or any(not name.startswith(":") for name in headers)


def _name(route: Mapping[str, Any]) -> str:
    return f"route {route.get('name') or json.dumps(route.get('match') or {})}"


def has_admin_layer(body: bytes) -> bool | None:
    """Tell whether runtime keys can be set, off ``/config_dump?mask=bootstrap.layered_runtime``.

    Returns:
        ``None`` when it is no such page. Without such a layer Envoy 1.40.0 answers 503 to every change.
    """
    try:
        bootstraps = [one["bootstrap"] for one in json.loads(body)["configs"]]
        layers = [layer for one in bootstraps for layer in one.get("layered_runtime", {}).get("layers", ())]
        return any("admin_layer" in layer for layer in layers)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def read_runtime(body: bytes) -> Mapping[str, str] | None:
    """Read the values in force, by key, off ``/runtime?format=json``; ``None`` when it is no such page."""
    try:
        entries = json.loads(body)["entries"]
        return {key: str(one["final_value"]) for key, one in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def split_of(places: Places, found: Routed, runtime: Mapping[str, str]) -> Split:
    """Return how traffic is parted: by the runtime keys where they are set, else as the routes say.

    Args:
        places: The two places.
        found: What `routed` returned.
        runtime: The runtime's values; empty for what a restart would bring.
    """
    if found.error:
        return Split(None, f"{found.error}; {found.remedy}")
    keys = (places.key(places.blue), places.key(places.green))
    for key in keys:
        if not runtime.get(key, "0").isdecimal():
            return Split(None, f"runtime key {key} is {runtime[key]!r}, no weight")
    pairs = {
        tuple(int(runtime.get(key, own)) for key, own in zip(keys, weights, strict=True))
        for weights in found.weights
    }
    if bad := [pair for pair in pairs if not 0 < sum(pair) <= _LARGEST_SUM]:
        return Split(None, f"the weights add up to {sum(bad[0])}: it answers every request 404")
    ratios = {green / (blue + green) for blue, green in pairs}
    if len(ratios) > 1:
        said = ", ".join(f"{ratio:.2%}" for ratio in sorted(ratios))
        remedy = "give them equal weights, or set the runtime keys once"
        return Split(None, f"its routes differ in green's share ({said}); {remedy}")
    return Split(ratios.pop())


def move_path(places: Places, green_ratio: float) -> str:
    """Return what to POST, so that traffic is parted so: path and query, both weights in one call.

    Args:
        places: The two places.
        green_ratio: 0-1; rounded to `FINEST_RATIO`, and to 0 or 1 only where it is that.

    Raises:
        ValueError: It is no share.
    """
    if not 0 <= green_ratio <= 1:
        raise ValueError(f"{green_ratio} is no share: 0 to 1")
    green = round(green_ratio * TOTAL)
    if 0 < green_ratio < 1:
        green = min(max(green, 1), TOTAL - 1)
    weights = {places.blue: TOTAL - green, places.green: green}
    pairs = (f"{quote(places.key(cluster), safe='')}={weight}" for cluster, weight in weights.items())
    return f"/runtime_modify?{'&'.join(pairs)}"
