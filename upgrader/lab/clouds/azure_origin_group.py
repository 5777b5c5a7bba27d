"""The imitated Front Door's origin group: an origin a color, whose weights part the front's traffic.

A change of one origin is accepted at once and told as set at once, in state ``Updating`` while its operation
runs; the front's traffic follows after the view's delay. What Azure refuses is refused: a weight that is not
1-1000, and disabling the last origin that is enabled.

Source: azure-mgmt-cdn 14.1.0, ``AFDOriginUpdatePropertiesParameters``; the last origin:
hashicorp/terraform-provider-azurerm issue 27652; 2026-11-24.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from upgrader.lab.clouds.front_view import FrontView

NAME: Final = "gateways"
"""The origin group's name."""
ORIGINS: Final = ("blue", "green")
MOST_WEIGHT: Final = 1000


class Busy(Exception):
    """Another operation on the group has not ended."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One accepted change.

    Args:
        id: Its number.
        origin: The origin it changes.
        ends_at: Monotonic seconds.
    """

    id: int
    origin: str
    ends_at: float


class OriginGroup:
    """The one origin group; green begins disabled.

    Args:
        view: The front balancer.
        path: The group's resource id.
        seconds: How long an operation runs.
        queues: A change that comes while another runs is taken, as Front Door's FAQ says; else it is refused,
            as its API does to changes of one entity.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        view: FrontView,
        *,
        path: str,
        seconds: float,
        queues: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._path = path
        self._seconds = seconds
        self._queues = queues
        self._clock = clock
        self._lock = threading.Lock()
        self._operations: list[Operation] = []
        self._content = {name: _properties(name, is_enabled=name == "blue") for name in ORIGINS}

    def group(self) -> dict[str, Any]:
        """Return the group as the API tells it."""
        balancing = {"sampleSize": 4, "successfulSamplesRequired": 3, "additionalLatencyInMilliseconds": 50}
        properties = {
            "loadBalancingSettings": balancing,
            "sessionAffinityState": "Disabled",
            "provisioningState": "Succeeded",
            "deploymentStatus": "NotStarted",
        }
        kind = "Microsoft.Cdn/profiles/origingroups"
        return {"id": self._path, "name": NAME, "type": kind, "properties": properties}

    def origin(self, name: str) -> dict[str, Any]:
        """Return one origin of `ORIGINS` as the API tells it."""
        now = self._clock()
        is_changing = any(one.origin == name and one.ends_at > now for one in self._operations)
        state = {"provisioningState": "Updating" if is_changing else "Succeeded"}
        return {
            "id": f"{self._path}/origins/{name}",
            "name": name,
            "type": "Microsoft.Cdn/profiles/origingroups/origins",
            "properties": {**self._content[name], **state},
        }

    def change(self, name: str, properties: Mapping[str, Any]) -> Operation:
        """Take a change of one origin in.

        Args:
            name: One of `ORIGINS`.
            properties: What is to be different.

        Raises:
            Busy: Another operation runs.
            ValueError: It is not possible.
        """
        with self._lock:
            now = self._clock()
            if not self._queues and any(one.ends_at > now for one in self._operations):
                raise Busy("The requested operation cannot be executed as another operation is in progress.")
            changed = {**self._content, name: _changed(self._content[name], properties)}
            if not any(one["enabledState"] == "Enabled" for one in changed.values()):
                raise ValueError(
                    "Cannot disable or delete the last origin when the origin group is still associated with "
                    "a route or a rule. Please disassociate the origin group and try again."
                )
            self._content = changed
            operation = Operation(len(self._operations) + 1, name, now + self._seconds)
            self._operations.append(operation)
            self._view.move(self._green_ratio())
        return operation

    def status(self, operation: int) -> str | None:
        """Return how an operation stands, or ``None`` when there is none of that number."""
        found = [one for one in self._operations if one.id == operation]
        if not found:
            return None
        return "InProgress" if found[0].ends_at > self._clock() else "Succeeded"

    def _green_ratio(self) -> float:
        weights = {
            name: int(one["weight"]) if one["enabledState"] == "Enabled" else 0
            for name, one in self._content.items()
        }
        return weights["green"] / (weights["blue"] + weights["green"])


def _properties(name: str, *, is_enabled: bool) -> dict[str, Any]:
    return {
        "originGroupName": NAME,
        "hostName": f"{name}.lab.invalid",
        "httpPort": 80,
        "httpsPort": 443,
        "priority": 1,
        "weight": MOST_WEIGHT,
        "enabledState": "Enabled" if is_enabled else "Disabled",
        "enforceCertificateNameCheck": True,
        "deploymentStatus": "NotStarted",
    }


def _changed(before: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    strange = set(properties) - {"weight", "enabledState"}
    if strange:
        raise ValueError(f"this imitation does not change {', '.join(sorted(strange))}")
    weight, state = properties.get("weight", 1), properties.get("enabledState", "Enabled")
    if type(weight) is not int or not 1 <= weight <= MOST_WEIGHT:
        raise ValueError("Property 'AfdOrigin.Weight' must be between 1 and 1000.")
    if state not in ("Enabled", "Disabled"):
        raise ValueError("Property 'AfdOrigin.EnabledState' must be Enabled or Disabled.")
    return {**before, **properties}
