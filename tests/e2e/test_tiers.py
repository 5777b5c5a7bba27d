"""Two real gateways, one behind the other, upgraded in one run under load: the inner one first.

Clients → the front balancer → the outer gateway → the inner gateway → the application. Both are the demo
chart under the same release name, so that their Deployments are called alike.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import TextIOBase
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.gateway import CHARTS, KEY, NEW, OLD, Gateway
from upgrader.adapters.playbook_file import load
from upgrader.lab.entered import Entered
from upgrader.lab.rehearse.fronts import FRONT, FRONT_ADMIN
from upgrader.lab.rehearse.loads import Loads, clients_of
from upgrader.lab.rehearse.stage import Stage
from upgrader.lab.room import Room
from upgrader.lab.traffic.kinds import Kind

pytestmark = pytest.mark.lab

TIERS = ("inner", "outer")
"""Their namespaces; both releases are called ``gateway``."""
APPLICATION = "10.96.0.80"
KEY_VALUE = "a-key"
RATE = 300.0
VALUES: Mapping[str, Mapping[str, Any]] = {
    "inner": {
        "upstream": {"clusterIP": APPLICATION},
        "migration": {"seconds": 0},
        # The outer gateway asks the DNS every five seconds who is there, and each answer may be as old.
        "proxy": {"replicas": 2, "drain": {"interval": 1, "threshold": 11}},
    },
    "outer": {
        "upstream": {"enabled": False, "address": "pods.inner.svc.cluster.local:8080"},
        "migration": {"seconds": 0},
        "proxy": {"replicas": 2},
    },
}
PODS: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "pods", "namespace": "inner"},
    "spec": {
        "clusterIP": "None",
        "selector": {"app": "gateway", "component": "proxy"},
        "ports": [{"name": "http", "port": 8080}],
    },
}
"""How the outer gateway knows each pod of the inner one. By a Service's own address, connections that are
kept would stay with the pods they began with, and new ones would get no request to be judged by."""


def release(namespace: str, *, start: str, to: str) -> dict[str, Any]:
    return {
        "name": "gateway",
        "namespace": namespace,
        "chart": {"ref": f"{CHARTS}/gateway-{{version}}", "from": start, "to": to},
        "values": {"files": [f"{namespace}.yaml", f"{namespace}-new.yaml"], "env": {"apiKey": KEY}},
        "workloads": {
            "control_plane": {"selector": "app=gateway,component=control-plane"},
            "proxies": {"selector": "app=gateway,component=proxy", "service": "gateway-proxy"},
        },
    }


class Street(Stage):
    """The front before the outer gateway, and the load; all that it starts is ended with ``children``."""

    def __init__(self, tiers: Tiers, children: ExitStack) -> None:
        loaded = load(tiers.gateways[0].playbook, {KEY: KEY_VALUE})
        super().__init__(tiers.gateways[0].room, replace(loaded, playbook=loaded.playbook.tiers[1]))
        self._children = children
        self._clients = clients_of(loaded)

    def loads(self) -> Loads:
        """Return the load's clients, at rest."""
        return Loads(self, self._clients)

    def python(self, module: str, *arguments: str, **more: Any) -> Entered:
        log = more.get("output")
        if isinstance(log, TextIOBase):
            self._children.enter_context(log)
        return self._children.enter_context(super().python(module, *arguments, **more))


@dataclass(frozen=True)
class Tiers:
    """Both gateways, and the load that goes through them.

    Args:
        gateways: Each by its namespace; the command line is called by any of them.
        folder: Of the playbook.
    """

    gateways: tuple[Gateway, ...]
    folder: Path

    def write(self, *, start: str, to: str, outer: Mapping[str, Any] | None = None) -> None:
        """Write the playbook; ``outer`` are values that only the outer one's new version gets."""
        for name in TIERS:
            (self.folder / f"{name}.yaml").write_text(json.dumps(VALUES[name]))
            (self.folder / f"{name}-new.yaml").write_text("{}")
        (self.folder / "outer-new.yaml").write_text(json.dumps(outer or {}))
        door = {"kind": "synthetic", "url": f"http://{FRONT}/", "headers": {"x-api-key": {"env": KEY}}}
        book = {
            "apiVersion": "upgrader/v1",
            "name": "tiers",
            "releases": [release(name, start=start, to=to) for name in TIERS],
            "strategy": {"kind": "rolling", "batches": [1, "100%"], "ready_within": "40s"},
            "signals": [
                {"kind": "rollout"},
                {"kind": "envoy_stats", "port": 19000, "group": "proxies"},
                {**door, "bypass": f"http://{APPLICATION}:8081/", "rate": "10/s"},
            ],
            "balancers": [
                {
                    "kind": "envoy",
                    "admin": f"http://{FRONT_ADMIN}",
                    "cluster": "gateways",
                    "settle": "10s",
                    "health_check": {"interval": "1s", "unhealthy": 2},
                }
            ],
            "limits": {"error_ratio": {"exclude": "50%"}, "false_alarm": "1%"},
            "gate": {"stand": "1s"},
            "bake": "1s",
            "blind": {"hold": "60s"},
        }
        self.gateways[0].playbook.write_text(yaml.safe_dump(book, sort_keys=False))

    def install(self) -> None:
        """Install the old version of both, the inner one first."""
        room = self.gateways[0].room
        for name in TIERS:
            files = ["--values", str(self.folder / f"{name}.yaml"), "--values", "-"]
            chart = ["gateway", str(CHARTS / f"gateway-{OLD}"), "--namespace", name, "--create-namespace"]
            fast = ["--wait", "--timeout", "60s", "--qps", "1000", "--burst-limit", "1000"]
            key = json.dumps({"apiKey": KEY_VALUE})
            room.run(["helm", "install", *chart, *files, *fast], input=key, timeout_seconds=70)
            if name == "inner":
                room.run(["kubectl", "apply", "--filename", "-"], input=json.dumps(PODS))

    def versions(self) -> list[set[str]]:
        """Return which versions of the proxies run, by tier."""
        return [gateway.versions()["proxy"] for gateway in self.gateways]

    def writes(self) -> list[str]:
        """Return which steps Helm was called in and which were undone, in order."""
        told = {("intent", "start"): "", ("intent", "undo"): "undo "}
        return [
            told[one["kind"], one["body"]["act"]] + one["step"]
            for one in self.gateways[0].records()
            if (one["kind"], one["body"].get("act")) in told and one["step"].endswith("helm")
        ]


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    folder = tmp_path_factory.mktemp("tiers")
    with Room.up(f"tiers-{uuid.uuid4().hex[:6]}") as room:
        made = Tiers(tuple(Gateway(room, name, folder) for name in TIERS), folder)
        made.write(start=OLD, to=NEW)
        made.install()
        yield made


@pytest.fixture(scope="module")
def street(tiers: Tiers) -> Iterator[Street]:
    with ExitStack() as children:
        made = Street(tiers, children)
        made.open_front()
        yield made


def test_the_inner_gateway_is_upgraded_and_then_the_outer_one(tiers: Tiers, street: Street) -> None:
    """No request is lost, and nothing is left behind."""
    loads = street.loads()
    loads.start((Kind.HTTP1,), RATE)

    ended = tiers.gateways[0].run()
    account = loads.stop()[Kind.HTTP1]

    assert ended.code == 0, ended.said[-4000:]
    assert (account["failed"], account["sent"] > 30 * RATE) == (0, True), account
    assert tiers.versions() == [{NEW}, {NEW}]
    assert tiers.writes() == ["inner/gateway: helm", "outer/gateway: helm"]
    assert [gateway.leftovers() for gateway in tiers.gateways] == [[], []]


def test_a_bad_outer_version_brings_both_back(tiers: Tiers, street: Street) -> None:
    """The outer one first, then the inner one, which had been found good; each to its own revision."""
    tiers.write(start=NEW, to=OLD, outer={"fault": {"errors": 50}})
    loads = street.loads()
    loads.start((Kind.HTTP1,), RATE)

    ended = tiers.gateways[0].run()
    account = loads.stop()[Kind.HTTP1]

    assert ended.code == 4, ended.said[-4000:]
    assert tiers.versions() == [{NEW}, {NEW}]
    assert tiers.writes() == [
        "inner/gateway: helm",
        "outer/gateway: helm",
        "undo outer/gateway: helm",
        "undo inner/gateway: helm",
    ]
    assert 0 < account["failed"] < 0.1 * account["sent"], account
    assert [gateway.leftovers() for gateway in tiers.gateways] == [[], []]
