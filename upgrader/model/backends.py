"""What an Envoy that balances over the gateway says of each backend, from its ``/clusters`` page. Pure.

An endpoint that is listed is not thereby healthy: one without an active check reads ``eds_health_status:
HEALTHY`` while every connection to it is refused (Envoy 1.40.0, measured 2026-11-24). And in panic an Envoy
sends traffic to backends it knows to be dead; they keep their failed marks, and are never healthy here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.backend_health import Health


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint of the balancer's cluster; the counters grow since the balancer learned of it.

    Args:
        address: Its IP.
        port: Its port.
        is_marked: Anything marks it as not to be used: a failed check, an ejection, a drain, a removal.
        requests: Requests sent to it.
        errors: Of these, answered with 5xx or broken off.
        connect_failures: Connections that could not be opened.
    """

    address: str
    port: int
    is_marked: bool
    requests: int
    errors: int
    connect_failures: int

    def health(self, before: Backend | None, *, is_checked: bool) -> Health:
        """Judge it by its marks, and by what happened since the last look.

        Args:
            before: The same backend at the last look; ``None`` at the first.
            is_checked: The balancer checks backends actively.
        """
        if self.is_marked or (before is not None and self.connect_failures > before.connect_failures):
            return Health.FAILING
        answered = self.requests > self.errors
        return Health.HEALTHY if is_checked or answered else Health.UNPROVEN


def read_backends(body: bytes, cluster: str) -> tuple[Backend, ...] | None:
    """Read the backends of one cluster off ``/clusters?format=json``.

    Returns:
        Its backends, or ``None`` when the page is not one or the cluster is not on it.
    """
    try:
        page = json.loads(body)
        clusters = {one["name"]: one for one in page["cluster_statuses"]}
    except (ValueError, KeyError, TypeError):
        return None
    if cluster not in clusters:
        return None
    return tuple(_backend(host) for host in clusters[cluster].get("host_statuses") or ())


def _backend(host: Mapping[str, Any]) -> Backend:
    socket = (host.get("address") or {}).get("socket_address") or {}
    stats = {one["name"]: int(one.get("value") or 0) for one in host.get("stats") or ()}
    marks = dict(host.get("health_status") or {})
    is_healthy_by_discovery = marks.pop("eds_health_status", "") in ("HEALTHY", "UNKNOWN")
    return Backend(
        address=str(socket.get("address") or ""),
        port=int(socket.get("port_value") or 0),
        is_marked=not is_healthy_by_discovery or any(value is True for value in marks.values()),
        requests=stats.get("rq_total", 0),
        errors=stats.get("rq_error", 0),
        connect_failures=stats.get("cx_connect_fail", 0),
    )
