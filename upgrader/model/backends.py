"""What an Envoy that balances over the gateway says of each backend, from its ``/clusters`` page. Pure.

An endpoint that is listed is not thereby healthy: one without an active check reads ``eds_health_status:
HEALTHY`` while every connection to it is refused (Envoy 1.40.0, measured 2026-11-24). And in panic an Envoy
sends traffic to backends it knows to be dead; they keep their failed marks, and are never healthy here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from upgrader.model.backend_health import Health, worst

MARKS: Final = {
    "failed_active_health_check": Health.FAILING,
    "active_hc_timeout": Health.FAILING,
    "failed_outlier_check": Health.FAILING,
    "excluded_via_immediate_hc_fail": Health.FAILING,  # it took itself out of rotation
    "pending_dynamic_removal": Health.LEAVING,
    "pending_active_hc": Health.UNPROVEN,
    "failed_active_degraded_check": Health.UNKNOWN,  # it gets traffic where the others are not enough
}
"""What each mark that is set means. Source: Envoy API v3, ``HostHealthStatus``, 2026-11-24."""
DISCOVERED: Final = {
    "HEALTHY": Health.HEALTHY,
    "UNKNOWN": Health.HEALTHY,  # discovery says nothing of health
    "UNHEALTHY": Health.FAILING,
    "TIMEOUT": Health.FAILING,
    "DRAINING": Health.LEAVING,
    "DEGRADED": Health.UNKNOWN,
}
"""What discovery may say. Source: Envoy API v3, ``core.v3.HealthStatus``, 2026-11-24."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint of the balancer's cluster; the counters grow since the balancer learned of it.

    Args:
        address: Its IP.
        port: Its port.
        marked: The worst that any mark says: a failed check, an ejection, a drain, a removal.
        requests: Requests sent to it.
        errors: Of these, answered with 5xx or broken off.
        connect_failures: Connections that could not be opened.
        strange: Marks that we do not know.
    """

    address: str
    port: int
    marked: Health
    requests: int
    errors: int
    connect_failures: int
    strange: tuple[str, ...] = ()

    def health(self, before: Backend | None, *, is_checked: bool) -> Health:
        """Judge it by its marks, and by what happened since the last look.

        Args:
            before: The same backend at the last look; ``None`` at the first.
            is_checked: The balancer checks backends actively.
        """
        if before is not None and self.connect_failures > before.connect_failures:
            return Health.FAILING
        if self.marked is not Health.HEALTHY:
            return self.marked
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
    discovered = str(marks.pop("eds_health_status", "UNKNOWN"))
    known, said = (
        {**DISCOVERED, **MARKS},
        (discovered, *(name for name, value in marks.items() if value is True)),
    )
    return Backend(
        address=str(socket.get("address") or ""),
        port=int(socket.get("port_value") or 0),
        marked=worst(known.get(one, Health.UNKNOWN) for one in said),
        requests=stats.get("rq_total", 0),
        errors=stats.get("rq_error", 0),
        connect_failures=stats.get("cx_connect_fail", 0),
        strange=tuple(one for one in said if one not in known),
    )
