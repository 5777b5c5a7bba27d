"""The demo's canary before each balancer: derived from the one playbook by its balancers and its lab keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.e2e import route_crds
from upgrader.lab.clouds.azure import LAB, SUBSCRIPTION
from upgrader.lab.rehearse.derived import derived

PLAYBOOK = Path(__file__).parents[2] / "playbooks" / "demo-canary.yaml"
_CHECKS = {"settle": "10s", "health_check": {"interval": "1s", "unhealthy": 2}}
_RULE = "listener-rule/app/edge/80c46d1fb6dfbdb0/589eaff309cad683/22995d84016e51c6"

ENTRIES: Mapping[str, Mapping[str, Any]] = {
    "envoy": {},
    "haproxy": {
        "kind": "haproxy",
        "socket": "unix:/run/upgrader/rehearsal/front/admin.sock",
        "backend": "gateways",
        "green": "gateways-green",
        "map": "/run/upgrader/rehearsal/front/green.map",
        **_CHECKS,
    },
    "gateway_api": {
        "kind": "gateway_api",
        "namespace": "edge-front",
        "name": "front",
        "backend": {"name": "edge-proxy", "namespace": "edge-system", "port": 80},
        "green": {"name": "edge-green-proxy", "namespace": "edge-green", "port": 80},
        "delay": "3s",
    },
    "gcp": {
        "kind": "gcp_neg",
        "project": "lab",
        "backend_service": "gateways",
        "green": "gateways-green",
        "url_map": "front",
        "endpoint": "http://127.0.0.1:9910",
        "settle": "30s",
        "delay": "4s",
    },
    "aws": {
        "kind": "aws_target_group",
        "region": "eu-central-1",
        "target_group": "gateways",
        "green": "gateways-green",
        "listener_rule": f"arn:aws:elasticloadbalancing:eu-central-1:123456789012:{_RULE}",
        "endpoint": "http://127.0.0.1:9920",
        "settle": "30s",
        "delay": "4s",
    },
    "azure": {
        "kind": "azure",
        "service": "front_door",
        "subscription": SUBSCRIPTION,
        "resource_group": LAB,
        "name": LAB,
        "origin_group": "gateways",
        "origin": "blue",
        "green": "green",
        "endpoint": "http://127.0.0.1:9912",
        "delay": "4s",
    },
}
"""What `docs/balancers.md` shows of each."""
LABS: Mapping[str, Mapping[str, Any]] = {
    "envoy": {},
    "haproxy": {"front": "haproxy"},
    "gateway_api": {"front": "gateway_api"},
    "gcp": {"cloud": "gcp"},
    "aws": {"cloud": "aws"},
    "azure": {"cloud": "azure"},
}


def playbook(name: str, folder: Path, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """Write the demo's canary before a balancer, by a name of `ENTRIES`, and return its file."""
    book = derived(YAML(typ="safe").load(PLAYBOOK), folder=PLAYBOOK.parent, changes=changes or {}, values="")
    if ENTRIES[name]:
        book["balancers"] = [dict(ENTRIES[name])]
    book["lab"] |= LABS[name]
    if name == "gateway_api":
        definitions = folder / "gateway-api.yaml"
        definitions.write_text(route_crds.gateway_api())
        route = PLAYBOOK.parent / "demo" / "gateway-api.yaml"
        book["lab"]["manifests"] = [str(definitions), str(route), *book["lab"]["manifests"]]
    written = folder / f"canary-{name}.yaml"
    written.write_text(json.dumps(book, indent=1, default=str))
    return written
