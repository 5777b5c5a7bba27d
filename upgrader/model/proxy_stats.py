"""Read an Envoy's ``/stats`` text: requests and failures, and how its configuration fares. Pure.

Which counters make a failed request was measured on Envoy 1.40.0 (2026-11-24), one request at a time,
HTTP/1.1 and HTTP/2, against its access log; ``http.PREFIX.`` is left out below, ``early`` stands for
``downstream_rq_response_before_rq_complete``, and ``upgrades`` for ``downstream_cx_upgrades``:

==========================================  ==================================================================
what happened                               what grew
==========================================  ==================================================================
answered (any code, 404 of the app too)     ``downstream_rq_completed`` 1
100-continue before the answer              ``downstream_rq_completed`` 1 more, and ``downstream_rq_1xx`` 1
5xx, whoever made it (UF, UC, UH, UT …)     ``downstream_rq_5xx`` 1
no route (404 NR; no 5xx)                   ``no_route`` 1
upstream broke off in mid-body (200 UPE)    ``downstream_rq_rx_reset`` 1 (and ``tx_reset`` 1)
client or balancer gone, no answer (0 DC)   ``downstream_rq_rx_reset`` 1, and nothing completed
the same in mid-body (200 DC)               ``downstream_rq_rx_reset`` 1
answered before the whole request was read  ``downstream_rq_rx_reset`` 1 *and* ``early`` 1
WebSocket accepted (101)                    ``downstream_rq_completed``, ``1xx``, ``early`` 1,
                                            ``upgrades_total``, ``upgrades_active`` 1
WebSocket ended, in order or cut            ``downstream_rq_rx_reset`` 1, ``upgrades_active`` 1 less
gRPC call answered while both sides talk    ``downstream_rq_completed`` 1, ``early`` 1; nothing at its end
health check answered by its filter         nothing of these
==========================================  ==================================================================

So a request fails once as ``5xx + (rx_reset - early) + no_route``, and requests are ``completed - 1xx``;
WebSockets are left out of ``early`` and ``rx_reset`` first. What cannot be seen so: a WebSocket that was cut,
for it ends like any other; and of broken requests as many as gRPC streams began in the same look. A request
that ended without an answer is in no ``completed``; where there are more failures than requests, each failure
is a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

OUR_OWN_PREFIXES: Final = frozenset(
    {
        "admin",  # Envoy's admin port: counts our own reads
        "async-client",  # Envoy's internal calls; has a router but no downstream
        "stats",  # Contour, Istio: the stats listener
        "agent",  # Istio: the sidecar agent's
        "prometheus",  # Gloo: the stats listener
        "read_config",  # Gloo: the read-config listener
        "eg-ready-http",  # Envoy Gateway: the readiness listener
        "eg-stats-http",  # Envoy Gateway: the stats listener
    }
)
"""``stat_prefix`` of listeners that serve operators, not users."""

_COUNTED: Final = (
    "downstream_rq_completed",
    "downstream_rq_1xx",
    "downstream_rq_5xx",
    "downstream_rq_rx_reset",
    "downstream_rq_response_before_rq_complete",
    "no_route",
    "downstream_cx_upgrades_total",
    "downstream_cx_upgrades_active",
)
_ACTIVE, _ENDED = "downstream_cx_upgrades_active", "downstream_cx_upgrades_ended"
"""A gauge, and the counter that we make of it and of the total."""
_GAUGES: Final = (
    "listener_manager.total_listeners_active",
    "cluster_manager.active_clusters",
    "control_plane.connected_state",
    "server.uptime",
)
FILTER: Final = (
    rf"^http\..+\.({'|'.join(_COUNTED)})$"
    r"|\.update_rejected$|^(cluster_manager\.cds|listener_manager\.lds|http\..+\.rds\..+)\.update_success$"
    rf"|^({'|'.join(name.replace('.', '[.]') for name in _GAUGES)})$"
)
"""The regular expression for Envoy's ``filter=``, on raw dotted names."""


@dataclass(frozen=True, slots=True)
class ProxyStats:
    """What one proxy said.

    Args:
        counters: The request counters of all prefixes that serve users, by their raw name.
        uptime_seconds: Age of the process.
        rejected: Subscription (``cluster_manager.cds`` …) → updates refused since the process began.
        accepted: The same, updates taken; not told of endpoints (there would be one a cluster).
        listeners: Active listeners.
        clusters: Active clusters.
        is_connected: A control plane is connected; ``None`` where the proxy never had one.
    """

    counters: Mapping[str, int]
    uptime_seconds: float
    rejected: Mapping[str, int]
    accepted: Mapping[str, int]
    listeners: int
    clusters: int
    is_connected: bool | None


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of one pod or side, and the failed ones by kind; each is counted once.

    Args:
        requests: That ended; never less than failed.
        server_errors: Answered with 5xx.
        resets: Broken off: no answer, or only half of one.
        no_route: Answered 404 because no route matched.
    """

    requests: int = 0
    server_errors: int = 0
    resets: int = 0
    no_route: int = 0

    @property
    def failures(self) -> int:
        """Failed requests of all kinds."""
        return self.server_errors + self.resets + self.no_route

    def __add__(self, other: Requests) -> Requests:
        return Requests(
            self.requests + other.requests,
            self.server_errors + other.server_errors,
            self.resets + other.resets,
            self.no_route + other.no_route,
        )


def read_stats(body: bytes, *, excluded: frozenset[str] = OUR_OWN_PREFIXES) -> ProxyStats | None:
    """Read the text of ``/stats``; ``None`` when it is not an Envoy's (there is no uptime).

    Args:
        body: The answer.
        excluded: Prefixes (``stat_prefix``) that do not serve users.
    """
    values = read_numbers(body)
    if "server.uptime" not in values:
        return None
    connected = values.get("control_plane.connected_state")
    return ProxyStats(
        counters=_growing({name: value for name, value in values.items() if _is_counted(name, excluded)}),
        uptime_seconds=float(values["server.uptime"]),
        rejected=_of(values, ".update_rejected"),
        accepted=_of(values, ".update_success"),
        listeners=values.get("listener_manager.total_listeners_active", 0),
        clusters=values.get("cluster_manager.active_clusters", 0),
        is_connected=None if connected is None else connected == 1,
    )


def read_numbers(body: bytes) -> dict[str, int]:
    """Read the counters and gauges off the text of ``/stats``, one ``name: value`` a line; no texts."""
    pairs = (line.rpartition(": ") for line in body.decode("utf-8", "replace").splitlines())
    return {name: int(value) for name, _, value in pairs if value.isdecimal()}


def requests_of(growth: Mapping[str, int]) -> Requests:
    """Make requests out of the growth of one proxy's counters."""
    of = dict.fromkeys((*_COUNTED, _ENDED), 0)
    for name, value in growth.items():
        kind = name.rpartition(".")[2]
        if kind in of:
            of[kind] += value
    errors, no_route = of["downstream_rq_5xx"], of["no_route"]
    # An upgrade is in its total a moment before it is in ``early``.
    early = of["downstream_rq_response_before_rq_complete"] - of["downstream_cx_upgrades_total"]
    resets = max(0, of["downstream_rq_rx_reset"] - of[_ENDED] - max(0, early))
    answered = max(0, of["downstream_rq_completed"] - of["downstream_rq_1xx"])
    return Requests(max(answered, errors + resets + no_route), errors, resets, no_route)


def _is_counted(name: str, excluded: frozenset[str]) -> bool:
    if not name.startswith("http."):
        return False
    prefix, _, kind = name[len("http.") :].rpartition(".")
    return kind in _COUNTED and prefix not in excluded


def _growing(counters: dict[str, int]) -> Mapping[str, int]:
    """Put how many upgrades have ended in the place of how many there are, which may fall."""
    for name in [name for name in counters if name.endswith(_ACTIVE)]:
        prefix = name.removesuffix(_ACTIVE)
        total = counters.get(f"{prefix}downstream_cx_upgrades_total", 0)
        counters[prefix + _ENDED] = max(0, total - counters.pop(name))
    return counters


def _of(values: Mapping[str, int], ending: str) -> Mapping[str, int]:
    return {name[: -len(ending)]: value for name, value in values.items() if name.endswith(ending)}
