"""Which gateways the balancer knows: EndpointSlices in, Envoy's endpoint file out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from upgrader.lab.front.bootstrap import CLUSTER, Address

_ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def ready_endpoints(slices: Iterable[Mapping[str, Any]], *, port: str) -> tuple[Address, ...]:
    """Return the addresses that a cloud's endpoint group would hold, sorted.

    A pod that is not ready or is terminating is left out at once, even while it still serves.
    Source: Kubernetes EndpointSlice API v1: an absent ``ready`` means true.

    Args:
        slices: EndpointSlice objects of one Service.
        port: Name or number of the slices' port.
    """
    found = {
        Address(host, number)
        for piece in slices
        for number in _numbers(piece, port)
        for endpoint in piece.get("endpoints") or ()
        if _is_ready(endpoint)
        for host in endpoint["addresses"][:1]
    }
    return tuple(sorted(found, key=lambda address: (address.host, address.port)))


def write_endpoints(file: Path, endpoints: Iterable[Address], *, cluster: str = CLUSTER) -> None:
    """Put the list of a cluster in place in one move, so that Envoy never reads half of it."""
    hosts = [{"endpoint": {"address": address.as_envoy()}} for address in endpoints]
    assignment = {"@type": _ASSIGNMENT, "cluster_name": cluster, "endpoints": [{"lb_endpoints": hosts}]}
    version = hashlib.sha256(json.dumps(hosts).encode()).hexdigest()[:12]
    new = file.with_name(file.name + ".new")
    new.write_text(json.dumps({"version_info": version, "resources": [assignment]}))
    os.replace(new, file)


def _numbers(piece: Mapping[str, Any], port: str) -> list[int]:
    return [
        entry["port"]
        for entry in piece.get("ports") or ()
        if entry.get("port") and port in (entry.get("name"), str(entry["port"]))
    ]


def _is_ready(endpoint: Mapping[str, Any]) -> bool:
    conditions = endpoint.get("conditions") or {}
    return conditions.get("ready") is not False and not conditions.get("terminating")
