"""The imitated project's URL map and the operations that change it.

A change needs the fingerprint that was read; it is accepted at once, told as set at once, and its operation
runs a while; the front's traffic follows after the view's delay. While an operation runs another change is
refused, as Google does (400 ``resourceNotReady``; source: `upgrader.lab.clouds.gcp_faults`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from upgrader.lab.clouds.front_view import BLUE, GREEN, FrontView

NAME: Final = "front"
"""The URL map's name."""
HEAVIEST: Final = 1000


class Stale(Exception):
    """The fingerprint of a change is not the one of what is there."""


class Busy(Exception):
    """Another operation on it has not ended."""


class UrlMaps:
    """The one URL map, with both backend services weighted where no host rule matches.

    Args:
        view: The front balancer.
        link: Makes the URL of a resource.
        scope: ``global`` or the region.
        seconds: How long an operation runs.
    """

    def __init__(self, view: FrontView, *, link: Callable[[str], str], scope: str, seconds: float) -> None:
        self._view = view
        self._link = link
        self._scope = scope
        self._seconds = seconds
        self._lock = threading.Lock()
        self._operations: list[tuple[float, dict[str, Any]]] = []
        weighted = [self._weighted(BLUE, HEAVIEST), self._weighted(GREEN, 0)]
        self._content: dict[str, Any] = {"defaultRouteAction": {"weightedBackendServices": weighted}}

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the URL map as the API tells it, or ``None`` when it is not called so."""
        if name != NAME:
            return None
        fixed = {
            "kind": "compute#urlMap",
            "id": "7",
            "name": NAME,
            "selfLink": self._link(f"{self._scope}/urlMaps/{NAME}"),
            "fingerprint": self._fingerprint(),
        }
        return {**fixed, **self._content}

    def change(self, change: Mapping[str, Any], *, is_patch: bool) -> dict[str, Any]:
        """Take a change in and return its operation.

        Args:
            change: The body.
            is_patch: A JSON merge patch, else the whole.

        Raises:
            Busy: Another operation runs.
            Stale: Its fingerprint is old.
            ValueError: It is not possible.
        """
        with self._lock:
            if change.get("fingerprint") != self._fingerprint():
                raise Stale("Invalid fingerprint.")
            if any(one["status"] != "DONE" for one in self.operations()):
                raise Busy(f"The resource '{self._link(f'{self._scope}/urlMaps/{NAME}')}' is not ready")
            content = {
                k: v for k, v in change.items() if k in ("defaultRouteAction", "pathMatchers", "hostRules")
            }
            merged = _merged(self._content, content) if is_patch else content
            ratio = self._green_ratio(merged)
            self._content = merged
            self._view.move(ratio)
            return self._begin("patch" if is_patch else "update")

    def operations(self, *, only_running: bool = False) -> list[dict[str, Any]]:
        """Return all operations, newest first, as they stand now."""
        now = time.monotonic()
        told = []
        for ends, operation in self._operations:
            is_done = ends <= now
            state = {"status": "DONE" if is_done else "RUNNING", "progress": 100 if is_done else 0}
            told.append(operation | state)
        return [one for one in reversed(told) if not only_running or one["status"] != "DONE"]

    def _begin(self, kind: str) -> dict[str, Any]:
        number, now = len(self._operations) + 1, datetime.now(UTC)
        name = f"operation-{number}-lab"
        operation = {
            "kind": "compute#operation",
            "id": str(1000 + number),
            "name": name,
            "operationType": kind,
            "targetLink": self._link(f"{self._scope}/urlMaps/{NAME}"),
            "targetId": "7",
            "user": "lab@example.com",
            "insertTime": now.isoformat(timespec="milliseconds"),
            "startTime": (now + timedelta(milliseconds=1)).isoformat(timespec="milliseconds"),
            "selfLink": self._link(f"{self._scope}/operations/{name}"),
        }
        self._operations.append((time.monotonic() + self._seconds, operation))
        return operation | {"status": "RUNNING", "progress": 0}

    def _weighted(self, name: str, weight: int) -> dict[str, Any]:
        return {"backendService": self._link(f"{self._scope}/backendServices/{name}"), "weight": weight}

    def _fingerprint(self) -> str:
        content = json.dumps([len(self._operations), self._content], sort_keys=True)
        return base64.b64encode(hashlib.sha256(content.encode()).digest()[:8]).decode()

    def _green_ratio(self, content: Mapping[str, Any]) -> float:
        """Return green's share where no host rule matches: all that the front can do."""
        weights = {BLUE: 0, GREEN: 0}
        for one in (content.get("defaultRouteAction") or {}).get("weightedBackendServices") or ():
            name, weight = str(one.get("backendService")).rsplit("/", 1)[-1], one.get("weight", 0)
            if name not in weights:
                raise ValueError(f"The resource '{one.get('backendService')}' was not found")
            if not isinstance(weight, int) or not 0 <= weight <= HEAVIEST:
                raise ValueError(f"Invalid value for field 'weight': '{weight}'. Must be from 0 to 1000.")
            weights[name] += weight
        together = sum(weights.values())
        if not together:
            raise ValueError("Invalid value for field 'weightedBackendServices': no weight above zero")
        return weights[GREEN] / together


def _merged(old: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396): mappings are merged, ``null`` removes, all else is replaced."""
    return dict(_pairs(old, change))


def _pairs(old: Mapping[str, Any], change: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in {**old, **change}:
        if key not in change:
            yield key, old[key]
        elif isinstance(change[key], Mapping):
            was = old.get(key)
            yield key, _merged(was if isinstance(was, Mapping) else {}, change[key])
        elif change[key] is not None:
            yield key, change[key]
