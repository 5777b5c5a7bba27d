"""The application behind the demo gateway: an Envoy that answers 200 itself, because it must be fast.

Streams it passes on to the echo beside it (`upgrader.lab.programs.echo`).

For the drill ``upstream-outage`` a share of its answers is made 503, while it runs:
``POST /runtime_modify?upstream.errors=30`` at its admin port, or `set_errors`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any

from upgrader.lab.front import envoy
from upgrader.lab.programs._echo_places import GRPC_PATH, GRPC_PORT, WEBSOCKET_PATH, WEBSOCKET_PORT

ERRORS_KEY = "upstream.errors"
"""Runtime key: the share of answers that are 503, in per cent (0-100)."""

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TYPE = "type.googleapis.com/envoy."


def set_errors(admin: str, percent: int, *, timeout_seconds: float = 5.0) -> None:
    """Make this share of the application's answers 503, from the next request on.

    Args:
        admin: ``http://ADDRESS:PORT`` of its admin.
        percent: 0-100; 0 heals it.
        timeout_seconds: How long to wait for the answer.

    Raises:
        OSError: The application did not take it.
    """
    request = urllib.request.Request(f"{admin}/runtime_modify?{ERRORS_KEY}={percent}", method="POST")
    with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:
        answer.read()


def bootstrap(*, host: str, port: int, admin_port: int) -> dict[str, Any]:
    """Return the Envoy configuration of the application as JSON data."""
    share = {"default_value": {"numerator": 0, "denominator": "HUNDRED"}, "runtime_key": ERRORS_KEY}
    failing = {"match": {"prefix": "/", "runtime_fraction": share}, "direct_response": {"status": 503}}
    answer = {"status": 200, "body": {"inline_string": "served\n"}}
    streams = [_to_echo(path) for path in (GRPC_PATH, WEBSOCKET_PATH)]
    routes = [failing, *streams, {"match": {"prefix": "/"}, "direct_response": answer}]
    manager = {
        "@type": _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "upstream",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {
            "name": "all",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
        "http_filters": [
            {"name": "router", "typed_config": {"@type": _TYPE + "extensions.filters.http.router.v3.Router"}}
        ],
    }
    listener = {
        "name": "traffic",
        "address": {"socket_address": {"address": host, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {
        "node": {"id": "upstream", "cluster": "upstream"},
        "admin": {"address": {"socket_address": {"address": host, "port_value": admin_port}}},
        "layered_runtime": {"layers": [{"name": "live", "admin_layer": {}}]},
        "static_resources": {"listeners": [listener], "clusters": _echoes(host)},
    }


def _to_echo(path: str) -> dict[str, Any]:
    return {"match": {"path": path}, "route": {"cluster": path, "timeout": "0s"}}


def _echoes(host: str) -> list[dict[str, Any]]:
    """Return the clusters of both echoes; they are named by their path."""
    ports = {GRPC_PATH: GRPC_PORT, WEBSOCKET_PATH: WEBSOCKET_PORT}
    here = "127.0.0.1" if host == "0.0.0.0" else host
    clusters: list[dict[str, Any]] = []
    for name, port in ports.items():
        endpoint = {"address": {"socket_address": {"address": here, "port_value": port}}}
        hosts = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}
        speaks: dict[str, Any] = {
            "http2_protocol_options" if name == GRPC_PATH else "http_protocol_options": {}
        }
        options = {
            "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": speaks,
        }
        clusters.append(
            {
                "name": name,
                "connect_timeout": "3s",
                "load_assignment": hosts,
                "typed_extension_protocol_options": {_OPTIONS: options},
            }
        )
    return clusters


def main(arguments: Sequence[str]) -> int:
    """Become that Envoy."""
    parser = argparse.ArgumentParser(prog="upstream", description=__doc__)
    parser.add_argument("--listen", default="0.0.0.0", help="address (default all)")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--admin-port", type=int, default=19000)
    options = parser.parse_args(arguments)
    content = bootstrap(host=options.listen, port=options.port, admin_port=options.admin_port)
    program = str(envoy.binary())
    os.execv(program, [program, "--config-yaml", json.dumps(content), *envoy.OPTIONS])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
