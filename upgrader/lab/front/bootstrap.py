"""The front balancer's Envoy configuration.

Source for every setting called a trap: measured with Envoy 1.40.0 on 2026-11-22. Envoy's defaults make
a balancer that no cloud has, and each would hide or invent lost requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLUSTER, GREEN_CLUSTER = "gateways", "gateways-green"
"""The names of the clusters of both places, in the balancer's counters and in a playbook."""
SPLIT = "front.split"
"""The prefix of the runtime keys that part traffic between the two."""

_TYPE = "type.googleapis.com/envoy."
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Args:
        host: An IP address literal.
        port: 1-65535.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``127.0.0.1:8080`` or ``[::1]:8080``; raises `ValueError` when it is neither."""
        host, colon, port = text.rpartition(":")
        if not colon or not host:
            raise ValueError(f"'{text}' is not ADDRESS:PORT")
        return cls(host.strip("[]"), int(port))

    def as_envoy(self) -> dict[str, Any]:
        """Return it as Envoy's ``core.v3.Address``."""
        return {"socket_address": {"address": self.host, "port_value": self.port}}


@dataclass(frozen=True, slots=True)
class Tls:
    """A second door to the same gateways, over TLS: HTTP/2 where the client asks for it (ALPN), or HTTP/1.1.

    Args:
        listen: Where it is.
        certificate: PEM file of its certificate.
        key: PEM file of the key.
        connection_seconds: How old a connection may become; clients on HTTP/2 are sent away by GOAWAY then.
    """

    listen: Address
    certificate: Path
    key: Path
    connection_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Front:
    """One front balancer.

    Args:
        listen: Where traffic comes in.
        admin: Where its counters are read.
        endpoints_file: The file that lists the gateways (`upgrader.lab.front.endpoints`).
        access_log: Where each request is told, one JSON object a line.
        green_file: The file that lists the gateways of the green place; ``None`` where there is none.
        check_path: What is asked of each gateway, on the traffic port.
        check_interval_seconds: How often, and how long an answer may take.
        unhealthy_threshold: Bad checks in a row until a gateway is left out.
        tls: The door over TLS; ``None`` for none.
    """

    listen: Address
    admin: Address
    endpoints_file: Path
    access_log: Path
    green_file: Path | None = None
    check_path: str = "/envoy-hc"
    check_interval_seconds: float = 1.0
    unhealthy_threshold: int = 2
    tls: Tls | None = None


def bootstrap(front: Front) -> dict[str, Any]:
    """Return the whole configuration as JSON data."""
    return {
        "node": {"id": "front", "cluster": "front"},
        "admin": {"address": front.admin.as_envoy()},
        "stats_flush_interval": "1s",  # trap: histograms are merged this often, by default each 5 s
        # trap: without an admin layer POST /runtime_modify is refused
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {"listeners": _listeners(front), "clusters": _clusters(front)},
    }


def _listeners(front: Front) -> list[dict[str, Any]]:
    plain = {"name": "front", "address": front.listen.as_envoy(), "filter_chains": [_chain(front)]}
    if not front.tls:
        return [plain]
    files = {"certificate_chain": front.tls.certificate, "private_key": front.tls.key}
    pair = {name: {"filename": str(file)} for name, file in files.items()}
    context = {
        "@type": _TYPE + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [pair]},
    }
    age = {"max_connection_duration": f"{front.tls.connection_seconds:g}s"}
    chain = _chain(front, common_http_protocol_options=age)
    chain["transport_socket"] = {"name": "tls", "typed_config": context}
    return [plain, {"name": "front-tls", "address": front.tls.listen.as_envoy(), "filter_chains": [chain]}]


def _chain(front: Front, **more: Any) -> dict[str, Any]:
    manager = {
        "@type": _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "access_log": [_access_log(front.access_log)],
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"name": "front", "virtual_hosts": [_virtual_host(front)]},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": _TYPE + "extensions.filters.http.router.v3.Router"}}
        ],
        **more,
    }
    return {"filters": [{"name": "http", "typed_config": manager}]}


def _virtual_host(front: Front) -> dict[str, Any]:
    # No retry policy: retries hide a broken drain.
    route = {"match": {"prefix": "/"}, "route": {**_where(front), "timeout": "15s"}}
    return {"name": "all", "domains": ["*"], "routes": [route]}


def _where(front: Front) -> dict[str, Any]:
    if not front.green_file:
        return {"cluster": CLUSTER}
    weights = [{"name": CLUSTER, "weight": 100}, {"name": GREEN_CLUSTER, "weight": 0}]
    return {"weighted_clusters": {"clusters": weights, "runtime_key_prefix": SPLIT}}


def _access_log(file: Path) -> dict[str, Any]:
    fields = {
        "at": "%START_TIME(%s.%3f)%",
        "path": "%REQ(:PATH)%",
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "milliseconds": "%DURATION%",
        "gateway": "%UPSTREAM_HOST%",
        "agent": "%REQ(USER-AGENT)%",
        "id": "%REQ(X-REQUEST-ID)%",
    }
    return {
        "name": "file",
        "typed_config": {
            "@type": _TYPE + "extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(file),
            "log_format": {"json_format": fields},
        },
    }


def _clusters(front: Front) -> list[dict[str, Any]]:
    green = [_cluster(front, GREEN_CLUSTER, front.green_file)] if front.green_file else []
    return [_cluster(front, CLUSTER, front.endpoints_file), *green]


def _cluster(front: Front, name: str, file: Path) -> dict[str, Any]:
    source = {"path": str(file), "watched_directory": {"path": str(file.parent)}}
    plenty = 100_000
    return {
        "name": name,
        "type": "EDS",
        "connect_timeout": "3s",  # a second is over before a busy machine has accepted
        "eds_cluster_config": {"eds_config": {"path_config_source": source, "resource_api_version": "V3"}},
        "ignore_health_on_host_removal": True,  # trap: else a removed host stays until its check fails
        "common_lb_config": {
            "healthy_panic_threshold": {"value": 0},  # trap: 50 % by default, traffic to dead hosts
            "update_merge_window": "0s",  # trap: health changes come a second late
        },
        "typed_extension_protocol_options": {_OPTIONS: as_the_client_speaks()},
        "track_cluster_stats": {"per_endpoint_stats": True},
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": plenty, "max_pending_requests": plenty, "max_requests": plenty}
            ]
        },
        "health_checks": [_health_check(front)],
    }


def as_the_client_speaks() -> dict[str, Any]:
    """Return a cluster's protocol options: HTTP/2 for who came with it, as gRPC needs, else HTTP/1.1."""
    either: dict[str, Any] = {"http_protocol_options": {}, "http2_protocol_options": {}}
    return {"@type": f"type.googleapis.com/{_OPTIONS}", "use_downstream_protocol_config": either}


def _health_check(front: Front) -> dict[str, Any]:
    interval = f"{front.check_interval_seconds:g}s"
    return {
        "interval": interval,
        "timeout": interval,
        "no_traffic_interval": interval,  # trap: an idle balancer checks once a minute
        "no_traffic_healthy_interval": interval,
        "healthy_threshold": 1,
        "unhealthy_threshold": front.unhealthy_threshold,
        "http_health_check": {
            "path": front.check_path,
            "retriable_statuses": [{"start": 500, "end": 600}],  # trap: else the first 503 ejects
        },
    }
