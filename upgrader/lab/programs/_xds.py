"""The configuration that the demo's control plane serves to its proxies: pure data.

Resource shapes are Envoy's v3 API as of 1.40.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PORT = 8080
"""Where the proxies take traffic."""

HEALTH_PATH = "/envoy-hc"
KEY_HEADER = "x-api-key"
LIMITED_PATH = "/limited"
"""Over its rate limit with the first request already: it costs two of the one token there ever is."""

_TYPE = "type.googleapis.com/envoy."
_FILTER = _TYPE + "extensions.filters.http."
_CONTROL_PLANE = "control_plane"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_AS_THE_CLIENT_SPEAKS = {
    "@type": f"type.googleapis.com/{_OPTIONS}",
    "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
}
"""HTTP/2 onwards for who came with it, as gRPC needs; else HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a proxy says of itself.

    Args:
        version: The chart version it was started with.
        bind: The address its listener takes; empty for no listener at all.
    """

    version: str
    bind: str = "0.0.0.0"

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Node:
        """Read it off a discovery request; a proxy that says nothing has an empty version."""
        metadata = request.get("node", {}).get("metadata", {})
        return cls(str(metadata.get("version", "")), str(metadata.get("bind", "0.0.0.0")))


@dataclass(frozen=True, slots=True)
class Settings:
    """What the control plane was started with.

    Args:
        version: Its own version.
        upstream_host: Name or address of the application.
        upstream_port: Its port.
        bad: ``""``, or what proxies of another version get: ``lost`` (no route) or ``rejected`` (a route
            table that Envoy refuses).
        keys: API keys by client name.
    """

    version: str
    upstream_host: str
    upstream_port: int
    bad: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)


def resources(kind: str, node: Node, settings: Settings) -> list[dict[str, Any]]:
    """Return the resources of one kind for one proxy.

    Args:
        kind: ``listeners``, ``routes`` or ``clusters``.
        node: The proxy.
        settings: The control plane's.

    Raises:
        KeyError: There is no such kind.
    """
    makers = {"listeners": _listeners, "routes": _routes, "clusters": _clusters}
    return makers[kind](node, settings)


def version_of(found: list[dict[str, Any]], settings: Settings) -> str:
    """Return a version that changes when the control plane or the content does."""
    content = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return f"{settings.version}-{content[:12]}"


def config_source() -> dict[str, Any]:
    """Return how proxies ask the control plane: each second, by REST."""
    source = {
        "api_type": "REST",
        "transport_api_version": "V3",
        "cluster_names": [_CONTROL_PLANE],
        "refresh_delay": "1s",
        "request_timeout": "2s",
    }
    return {"resource_api_version": "V3", "api_config_source": source}


def _listeners(node: Node, settings: Settings) -> list[dict[str, Any]]:
    if not node.bind:
        return []
    manager = {
        "@type": _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress_http",
        "access_log": [_told_on_stdout(node), _told_in_counters()],
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "60s",
        "drain_timeout": "1s",  # from the first GOAWAY to the last; within the shortest drain of the chart
        "rds": {"route_config_name": "main", "config_source": config_source()},
        "http_filters": _filters(settings),
    }
    listener = {
        "@type": _TYPE + "config.listener.v3.Listener",
        "name": "traffic",
        "address": {"socket_address": {"address": node.bind, "port_value": PORT}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return [listener]


def _filters(settings: Settings) -> list[dict[str, Any]]:
    # The answers' way is the reverse one: what the health check adds must pass the first filter to be
    # taken off. A cloud's balancer does not know the header; an Envoy in front would obey it at once.
    strip = {"response_mutations": [{"remove": "x-envoy-immediate-health-check-fail"}]}
    health = {
        "pass_through_mode": False,
        "headers": [{"name": ":path", "string_match": {"exact": HEALTH_PATH}}],
    }
    # The share is 0 here; a proxy's own runtime key fault.http.abort.abort_percent overrides it.
    fault = {"abort": {"http_status": 503, "percentage": {"numerator": 0, "denominator": "HUNDRED"}}}
    credentials = [{"key": key, "client": client} for client, key in sorted(settings.keys.items())]
    auth = {"credentials": credentials, "key_sources": [{"header": KEY_HEADER}]}
    return [
        _filter("header_mutation", "HeaderMutation", {"mutations": strip}),
        _filter("health_check", "HealthCheck", health),
        _filter("rbac", "RBAC", {"rules": {"action": "DENY", "policies": {"script": _SCRIPT_IN_PATH}}}),
        _filter("api_key_auth", "ApiKeyAuth", auth),
        _filter("local_ratelimit", "LocalRateLimit", {"stat_prefix": "limit"}),
        _filter("fault", "HTTPFault", fault),
        _filter("router", "Router", {}),
    ]


_SCRIPT_IN_PATH = {
    "principals": [{"any": True}],
    "permissions": [
        {"header": {"name": ":path", "string_match": {"contains": mark, "ignore_case": True}}}
        for mark in ("<script", "%3cscript")
    ],
}
"""What stands for a web application firewall: one rule of many, and no test of its quality."""


def _over_limit() -> dict[str, Any]:
    once = {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "3600s"}
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    entry = {"key": "generic_key", "value": "limited"}
    cost = {"actions": [{"generic_key": {"descriptor_value": "limited"}}], "hits_addend": {"number": 2}}
    return {
        "@type": f"{_FILTER}local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limit",
        "token_bucket": once,
        "filter_enabled": always,
        "filter_enforced": always,
        "descriptors": [{"entries": [entry], "token_bucket": once}],
        "rate_limits": [cost],
    }


def _filter(name: str, message: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{_FILTER}{name}.v3.{message}", **config},
    }


def _told_on_stdout(node: Node) -> dict[str, Any]:
    fields = {
        "at": "%START_TIME(%s.%3f)%",
        "version": node.version,
        "path": "%REQ(:PATH)%",
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "milliseconds": "%DURATION%",
        "upstream": "%UPSTREAM_HOST%",
        "agent": "%REQ(USER-AGENT)%",
        "id": "%REQ(X-REQUEST-ID)%",
    }
    config = {
        "@type": _TYPE + "extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": {"json_format": fields},
    }
    return {"name": "stdout", "filter": {"not_health_check_filter": {}}, "typed_config": config}


def _told_in_counters() -> dict[str, Any]:
    tags = [
        {"name": "code", "value_format": "%RESPONSE_CODE%"},
        {"name": "flags", "value_format": "%RESPONSE_FLAGS%"},
    ]
    config = {
        "@type": _TYPE + "extensions.access_loggers.stats.v3.Config",
        "stat_prefix": "gw_al",
        "counters": [{"stat": {"name": "rq", "tags": tags}, "value_fixed": 1}],
    }
    return {"name": "stats", "filter": {"not_health_check_filter": {}}, "typed_config": config}


def _routes(node: Node, settings: Settings) -> list[dict[str, Any]]:
    spoilt = settings.bad if node.version != settings.version else ""
    route: dict[str, Any] = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "10s"}}
    limited = {**route, "match": {"path": LIMITED_PATH}}
    limited["typed_per_filter_config"] = {"envoy.filters.http.local_ratelimit": _over_limit()}
    if spoilt == "rejected":
        route["match"] = {"safe_regex": {"regex": "("}}
    routes = [] if spoilt == "lost" else [limited, route]
    host = {"name": "all", "domains": ["*"], "routes": routes}
    return [{"@type": _TYPE + "config.route.v3.RouteConfiguration", "name": "main", "virtual_hosts": [host]}]


def _clusters(_node: Node, settings: Settings) -> list[dict[str, Any]]:
    address = {"address": settings.upstream_host, "port_value": settings.upstream_port}
    endpoint = {"endpoint": {"address": {"socket_address": address}}}
    cluster = {
        "@type": _TYPE + "config.cluster.v3.Cluster",
        "name": "upstream",
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "connect_timeout": "3s",
        "typed_extension_protocol_options": {_OPTIONS: _AS_THE_CLIENT_SPEAKS},
        "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    return [cluster]
