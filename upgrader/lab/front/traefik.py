"""The front balancer as a Traefik that reads Gateway API: how it is started, and its words in Envoy's. Pure.

Source: Traefik 3.7 reference (static configuration, access logs, metrics); seen from 3.7.15 on 2026-11-24.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from upgrader.lab.front.bootstrap import Address

ENTRY: Final = "web"
"""The entry point of the traffic."""
ROUTES: Final = "httproutes.gateway.networking.k8s.io"
"""The definition without which it serves nothing."""
_FIELDS: Final = ("DownstreamStatus",)
_HEADERS: Final = ("User-Agent", "Server")
_TAKEN: Final = re.compile(
    r"^traefik_entrypoint_requests_total\{([^}]*)\} (\d+(?:\.\d+)?(?:e[+]\d+)?)$", re.M
)


def arguments(listen: Address, admin: Address, log: str) -> list[str]:
    """Return its command line.

    Args:
        listen: Where traffic comes in: the port of the Gateway's listener.
        admin: Where it tells of itself: ``/metrics`` and ``/api/rawdata``.
        log: The file of its access log.
    """
    options = {
        f"entrypoints.{ENTRY}.address": f"{listen.host}:{listen.port}",
        "entrypoints.traefik.address": f"{admin.host}:{admin.port}",
        "api.insecure": "true",
        "metrics.prometheus": "true",
        "providers.kubernetesgateway": "true",
        "accesslog.filepath": log,
        "accesslog.format": "json",
        "accesslog.fields.defaultmode": "drop",
        "accesslog.fields.headers.defaultmode": "drop",
        "global.checknewversion": "false",
        "global.sendanonymoususage": "false",
    }
    options |= {f"accesslog.fields.names.{name}": "keep" for name in _FIELDS}
    options |= {f"accesslog.fields.headers.names.{name}": "keep" for name in _HEADERS}
    return [f"--{key}={value}" for key, value in options.items()]


def told(line: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a line of its access log as the lab's other fronts tell it; ``None`` for any other.

    It does not say whether an answer came from behind. An Envoy names itself in each of its answers, Traefik
    does not: so one with a ``Server`` came from a gateway. An answer that ended in its middle looks whole.
    """
    if "DownstreamStatus" not in line:
        return None
    code = int(line["DownstreamStatus"] or 0)
    was_answered = bool(line.get("origin_Server") or line.get("downstream_Server"))
    return {
        "code": code,
        "flags": "DC" if code == 499 else "-",  # its word for a client that went away
        "agent": line.get("request_User-Agent", ""),
        "details": "via_upstream" if was_answered else f"traefik_{code}",
    }


def taken(metrics: str) -> int:
    """Return how many requests its ``/metrics`` say came in by `ENTRY`."""
    rows = _TAKEN.findall(metrics)
    return sum(int(float(count)) for labels, count in rows if f'entrypoint="{ENTRY}"' in labels)


def servers(rawdata: str) -> int:
    """Return how many gateways its ``/api/rawdata`` says it would send to."""
    services: Mapping[str, Mapping[str, Any]] = json.loads(rawdata).get("services") or {}
    states = (state for one in services.values() for state in (one.get("serverStatus") or {}).values())
    return sum(state == "UP" for state in states)
