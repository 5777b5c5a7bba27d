"""Traffic shares by the weights of two origins in one Front Door origin group. Pure.

A weight is 1-1000, never 0: a place without traffic is a disabled origin. Each origin is a resource of its
own, so that a change of both is two calls and not atomic; one origin's weight and state change in one. Most
shares can be had by changing one origin only, and then are. Where two calls are needed, the order is the one
whose state in between strays least from what was and what shall be, and never leaves both disabled (which
Azure refuses as well while a route uses the group).

Source: azure-mgmt-cdn 14.1.0, ``AFDOriginProperties`` (weight, priority, enabledState); learn.microsoft.com,
"Traffic routing methods to origin"; hashicorp/terraform-provider-azurerm issue 27652. 2026-11-24.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, Final

LEAST_WEIGHT: Final = 1
MOST_WEIGHT: Final = 1000
FINEST_RATIO: Final = LEAST_WEIGHT / (LEAST_WEIGHT + MOST_WEIGHT)
"""The smallest share above 0: one part in 1001."""
_MOVING: Final = ("creating", "updating", "deleting", "inprogress")


@dataclass(frozen=True, slots=True)
class Origin:
    """One origin.

    Args:
        name: Its name.
        is_enabled: It may get traffic.
        weight: 1-1000; ``None`` where Azure names none.
        priority: 1-5, smaller goes first; ``None`` where Azure names none.
        states: What Azure says of its provisioning and deployment.
    """

    name: str
    is_enabled: bool
    weight: int | None
    priority: int | None = None
    states: tuple[str, ...] = ()

    @property
    def is_moving(self) -> bool:
        """Tell whether a change of it is accepted and not over."""
        return any(state.lower() in _MOVING for state in self.states)

    @property
    def has_failed(self) -> bool:
        """Tell whether its last change failed."""
        return any(state.lower() == "failed" for state in self.states)

    def shown(self) -> str:
        """Say it in short."""
        return f"{self.name} (weight {self.weight}, {'enabled' if self.is_enabled else 'disabled'})"


@dataclass(frozen=True, slots=True)
class Pair:
    """The origins of both places.

    Args:
        blue: Blue's.
        green: Green's.
    """

    blue: Origin
    green: Origin

    @property
    def green_ratio(self) -> float | None:
        """Return green's share of the requests, 0-1; ``None`` when it cannot be told."""
        blue, green = self.blue, self.green
        if blue.is_enabled != green.is_enabled:
            return 1.0 if green.is_enabled else 0.0
        if not blue.is_enabled or blue.weight is None or green.weight is None:
            return None
        return green.weight / (blue.weight + green.weight)


def origins_of(body: Mapping[str, Any]) -> tuple[Origin, ...]:
    """Read the answer of ``originGroups/GROUP/origins``.

    Raises:
        ValueError: It is not such an answer.
    """
    entries = body.get("value")
    if not isinstance(entries, list):
        raise ValueError("no list of origins")
    return tuple(_origin(one) for one in entries)


def doubt(pair: Pair, all_: Sequence[Origin]) -> str:
    """Say why the weights do not tell how traffic is parted, or the empty text.

    Args:
        pair: The two origins.
        all_: All of the group.
    """
    both = (pair.blue, pair.green)
    others = [one.name for one in all_ if one.is_enabled and one not in both]
    if others:
        return f"the group has another enabled origin: {', '.join(others)}"
    if any(one.has_failed for one in both):
        failed = next(one for one in both if one.has_failed)
        return f"Azure failed to change {failed.shown()}: {', '.join(failed.states)}"
    if any(one.is_moving for one in both):
        return f"a change is being made: {', '.join(one.shown() for one in both if one.is_moving)}"
    if all(one.is_enabled for one in both) and pair.blue.priority != pair.green.priority:
        return (
            f"the origins' priorities differ ({pair.blue.priority} and {pair.green.priority}): "
            "all goes to the smaller one while that is healthy"
        )
    if pair.green_ratio is None:
        return f"the weights say nothing: {pair.blue.shown()}, {pair.green.shown()}"
    return ""


def aimed(pair: Pair, green_ratio: float) -> Pair:
    """Return how the origins must be for this share, with as few changes as it can be had.

    Args:
        pair: How they are.
        green_ratio: 0-1; what is neither 0 nor 1 never becomes either.
    """
    blue, green = pair.blue, pair.green
    if green_ratio in (0, 1):
        stays, goes = (green, blue) if green_ratio == 1 else (blue, green)
        whole = stays if stays.is_enabled else replace(stays, is_enabled=True, weight=MOST_WEIGHT)
        ended = replace(goes, is_enabled=False)
        return Pair(ended, whole) if green_ratio == 1 else Pair(whole, ended)
    kept_blue = (blue.weight, _kept(blue.weight, green_ratio / (1 - green_ratio)))
    kept_green = (_kept(green.weight, (1 - green_ratio) / green_ratio), green.weight)
    found = [
        Pair(replace(blue, is_enabled=True, weight=b), replace(green, is_enabled=True, weight=g))
        for b, g in (kept_blue, kept_green, _best(green_ratio))
        if b is not None and g is not None
    ]
    close = [one for one in found if abs((one.green_ratio or 0.0) - green_ratio) <= FINEST_RATIO / 2]
    # The last one is the nearest there is; another that is close enough wins where it needs fewer calls.
    return min([*close, found[-1]], key=lambda one: (len(_differing(pair, one)), _miss(one, green_ratio)))


def changes(pair: Pair, aim: Pair) -> tuple[Origin, ...]:
    """Return the origins to change, in the order to change them; each is one call."""
    orders = list(permutations(_differing(pair, aim)))
    return min(orders, key=lambda order: _strays(pair, aim, order))


def patch(before: Origin, after: Origin) -> dict[str, Any]:
    """Return the body of the call: nothing but what differs, so that nobody else's change is lost."""
    properties: dict[str, Any] = {}
    if before.weight != after.weight:
        properties["weight"] = after.weight
    if before.is_enabled != after.is_enabled:
        properties["enabledState"] = "Enabled" if after.is_enabled else "Disabled"
    return {"properties": properties}


def by_hand(command: str, names: tuple[str, str], green_ratio: float) -> str:
    """Return the shell commands that set this share, whatever is set now: what gets traffic is opened first.

    Args:
        command: ``az afd origin update`` with all that both origins have in common.
        names: Blue's origin and green's.
        green_ratio: 0-1.
    """
    weights = _best(green_ratio) if 0 < green_ratio < 1 else (MOST_WEIGHT, MOST_WEIGHT)
    shares = (1 - green_ratio, green_ratio)
    told = sorted(zip(names, weights, shares, strict=True), key=lambda one: one[2] == 0)
    return " && ".join(
        f"{command} --origin-name {shlex.quote(name)} "
        + (f"--enabled-state Enabled --weight {weight}" if share else "--enabled-state Disabled")
        for name, weight, share in told
    )


def _origin(entry: Any) -> Origin:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("properties"), Mapping):
        raise ValueError("an origin without properties")
    said: Mapping[str, Any] = entry["properties"]
    states = tuple(str(said[key]) for key in ("provisioningState", "deploymentStatus") if said.get(key))
    return Origin(
        name=str(entry.get("name") or ""),
        is_enabled=str(said.get("enabledState") or "").lower() == "enabled",
        weight=None if said.get("weight") is None else int(said["weight"]),
        priority=None if said.get("priority") is None else int(said["priority"]),
        states=states,
    )


def _kept(weight: int | None, times: float) -> int | None:
    """Return the weight that the other origin needs while this one stays, or ``None`` when it cannot."""
    if weight is None or weight * times > MOST_WEIGHT + 0.5:
        return None
    return max(LEAST_WEIGHT, round(weight * times))


def _best(green_ratio: float) -> tuple[int, int]:
    """Return the weights that come nearest: the larger one is the largest there is."""
    larger = max(green_ratio, 1 - green_ratio)
    smaller = max(LEAST_WEIGHT, round(MOST_WEIGHT * (1 - larger) / larger))
    return (MOST_WEIGHT, smaller) if green_ratio <= 0.5 else (smaller, MOST_WEIGHT)


def _miss(pair: Pair, green_ratio: float) -> float:
    return abs((pair.green_ratio or 0.0) - green_ratio)


def _differing(pair: Pair, aim: Pair) -> tuple[Origin, ...]:
    told = [(pair.blue, aim.blue), (pair.green, aim.green)]
    return tuple(after for before, after in told if patch(before, after)["properties"])


def _strays(pair: Pair, aim: Pair, order: Sequence[Origin]) -> float:
    """Return how far the state after the first change lies outside of what was and what shall be."""
    if len(order) < 2:
        return 0.0
    first = order[0]
    between = replace(pair, blue=first) if first.name == pair.blue.name else replace(pair, green=first)
    was, shall, is_ = pair.green_ratio, aim.green_ratio, between.green_ratio
    if is_ is None:
        both_off = not between.blue.is_enabled and not between.green.is_enabled
        return 2.0 if both_off else 1.0
    ends = [end for end in (was, shall) if end is not None]
    return max(0.0, min(ends) - is_, is_ - max(ends))
