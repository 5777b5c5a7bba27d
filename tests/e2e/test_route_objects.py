"""Weights written to a real API server, on the definitions that Gateway API and Istio publish.

No controller runs here: where one must have spoken, the test writes its status. Gloo's definitions are a
stand-in.
"""

from __future__ import annotations

import json
import shlex
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import route_crds
from tests.e2e.route_driver import NOTE
from upgrader.lab.room import Room

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
PLACES = {"backend": {"name": "proxy-blue"}, "green": {"name": "proxy-green"}}


@dataclass(frozen=True)
class Routes:
    """A namespace with route objects in it."""

    room: Room
    namespace: str

    def kubectl(self, *arguments: str, input: Any = None) -> str:
        text = input if isinstance(input, str) or input is None else json.dumps(input)
        return self.room.run(["kubectl", "-n", self.namespace, *arguments], input=text).stdout

    def get(self, what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", what, "api", "-o", "json"))
        return found

    def apply(self, api_version: str, kind: str, spec: dict[str, Any]) -> None:
        made = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "api"}, "spec": spec}
        self.kubectl("apply", "--server-side", "--field-manager=helm", "-f", "-", input=made)

    def say(self, what: str, status: dict[str, Any]) -> None:
        """Write a status as a controller would."""
        body = json.dumps({"status": status})
        self.kubectl("patch", what, "api", "--subresource=status", "--type=merge", "-p", body)

    def drive(self, entry: dict[str, Any], *acts: list[Any]) -> list[Any]:
        asked = {"entry": {"namespace": self.namespace, "name": "api"} | PLACES | entry, "acts": acts}
        command = [sys.executable, "-m", "tests.e2e.route_driver"]
        environment = {"PYTHONPATH": str(ROOT)}
        done = self.room.run(command, environment=environment, input=json.dumps(asked), timeout_seconds=60)
        said: list[Any] = json.loads(done.stdout)
        return said


@pytest.fixture(scope="module")
def crds(shared_room: Room) -> Room:
    """A room in which Gateway API's and Istio's routes are served."""
    whole = "\n---\n".join([route_crds.gateway_api(), route_crds.istio()])
    shared_room.run(["kubectl", "apply", "--server-side", "-f", "-"], input=whole)
    shared_room.run(["kubectl", "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])
    return shared_room


@pytest.fixture
def routes(crds: Room) -> Iterator[Routes]:
    made = Routes(crds, f"routes-{uuid.uuid4().hex[:6]}")
    crds.run(["kubectl", "create", "namespace", made.namespace])
    for color in ("blue", "green"):
        made.kubectl("create", "service", "clusterip", f"proxy-{color}", "--tcp=80")
    yield made
    crds.run(["kubectl", "delete", "namespace", made.namespace, "--wait=false"])


def backend(color: str, **more: Any) -> dict[str, Any]:
    return {"name": f"proxy-{color}", "port": 80} | more


def accepted(generation: int) -> dict[str, Any]:
    condition = {
        "status": "True",
        "reason": "Fine",
        "message": "",
        "lastTransitionTime": "2026-11-24T08:00:00Z",
    }
    conditions: list[dict[str, Any]] = [
        condition | {"type": name, "observedGeneration": generation} for name in ("Accepted", "ResolvedRefs")
    ]
    return {
        "parents": [
            {"parentRef": {"name": "front"}, "controllerName": "test/controller", "conditions": conditions}
        ]
    }


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_gateway_api_route_is_moved_and_believed_when_accepted(routes: Routes, kind: str) -> None:
    both = [backend("blue", weight=1), backend("green", weight=0)]
    rules = [{"backendRefs": both}, {"backendRefs": [backend("blue")]}, {"backendRefs": both[::-1]}]
    routes.apply("gateway.networking.k8s.io/v1", kind, {"parentRefs": [{"name": "front"}], "rules": rules})
    entry = {"kind": "gateway_api", "object": kind, "total": 1_000_000}

    moved, waiting = routes.drive(entry, ["move", 0.000001], ["split"])
    live = routes.get(kind)
    routes.say(kind, accepted(live["metadata"]["generation"]))
    believed, read, raced, after = routes.drive(entry, ["split"], ["read"], ["race", 0.5], ["split"])

    weights = [[ref["weight"] for ref in rule["backendRefs"]] for rule in live["spec"]["rules"]]
    assert weights == [[999_999, 1], [1], [1, 999_999]]
    assert moved is None
    assert waiting[0] is None
    assert "no controller has answered for its parent front" in waiting[1]
    assert believed == after == [0.000001, ""]
    assert read == {"values": {"green_ratio": 0.000001}, "error": "", "facts": ["traffic-not-moved"]}
    assert "changed by somebody else meanwhile" in raced["unwilling"]
    assert routes.get(kind)["metadata"]["annotations"][NOTE] == "yes"


def test_a_status_of_an_older_generation_is_not_believed(routes: Routes) -> None:
    rules = [{"backendRefs": [backend("blue", weight=1), backend("green", weight=0)]}]
    routes.apply(
        "gateway.networking.k8s.io/v1", "HTTPRoute", {"parentRefs": [{"name": "front"}], "rules": rules}
    )
    routes.say("HTTPRoute", accepted(1))

    before, _, after = routes.drive({"kind": "gateway_api"}, ["split"], ["move", 0.5], ["split"])

    assert before == [0.0, ""]
    assert after[0] is None
    assert "has not said Accepted of generation 2 yet (last of 1)" in after[1]


def test_an_istio_virtual_service_is_moved_by_us_and_by_hand(routes: Routes) -> None:
    host = f"proxy-{{}}.{routes.namespace}.svc.cluster.local"
    both = [
        {
            "destination": {"host": host.format(color), "port": {"number": 80}},
            "weight": weight,
        }
        for color, weight in (("blue", 100), ("green", 0))
    ]
    spec = {
        "hosts": ["api.example.com"],
        "gateways": ["front"],
        "http": [{"match": [{"uri": {"prefix": "/v1"}}], "route": both}, {"route": both}],
        "tls": [{"match": [{"sniHosts": ["tls.example.com"]}], "route": both}],
    }
    routes.apply("networking.istio.io/v1", "VirtualService", spec)

    acts: list[list[Any]] = [
        ["split"],
        ["move", 0.001],
        ["split"],
        ["race", 1],
        ["move", 1],
        ["read"],
        ["by_hand", 0.75],
    ]
    said = routes.drive({"kind": "istio"}, *acts)
    live = routes.get("virtualservices.networking.istio.io")["spec"]
    routes.room.run(shlex.split(said[6]))

    assert routes.drive({"kind": "istio"}, ["split"]) == [[0.75, ""]]
    assert [said[0], said[2]] == [[0.0, ""], [0.001, ""]]
    assert "changed by somebody else meanwhile" in said[3]["unwilling"]
    assert said[5]["values"] == {"green_ratio": 1.0}
    for rule in (*live["http"], *live["tls"]):
        assert [one.get("weight", 0) for one in rule["route"]] == [0, 1000]


@pytest.fixture
def gloo(routes: Routes) -> Iterator[Callable[[], None]]:
    names = [one["metadata"]["name"] for one in route_crds.gloo()]

    def install() -> None:
        made = {"apiVersion": "v1", "kind": "List", "items": route_crds.gloo()}
        routes.kubectl("apply", "--server-side", "-f", "-", input=made)
        routes.kubectl(
            "wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in names)
        )

    yield install
    routes.kubectl("delete", "crd", "--ignore-not-found", *names)


def test_gloo_s_objects_are_moved_and_one_that_is_not_served_is_an_error(
    routes: Routes, gloo: Callable[[], None]
) -> None:
    destinations = [
        {
            "destination": {
                "kube": {"ref": {"name": f"proxy-{color}", "namespace": routes.namespace}, "port": 80}
            }
        }
        for color in ("blue", "green")
    ]
    destinations[0]["weight"] = 1  # type: ignore[assignment]
    route = {"matchers": [{"prefix": "/"}], "routeAction": {"multi": {"destinations": destinations}}}
    entry, table = {"kind": "gloo"}, {"kind": "gloo", "object": "RouteTable"}
    (absent,) = routes.drive(entry, ["move", 0.5])
    gloo()
    routes.apply(
        "gateway.solo.io/v1", "VirtualService", {"virtualHost": {"domains": ["*"], "routes": [route]}}
    )
    routes.apply("gateway.solo.io/v1", "RouteTable", {"routes": [route, route]})

    said = routes.drive(entry, ["split"], ["move", 0.25], ["race", 1])
    also = routes.drive(table, ["move", 0.25])
    for what in ("virtualservices.gateway.solo.io", "routetables.gateway.solo.io"):
        routes.say(what, {"statuses": {"gloo-system": {"reportedBy": "gloo", "state": "Accepted"}}})

    assert "there is no VirtualService" in absent["unwilling"]
    assert "Gloo has not said anything of it yet" in said[0][1]
    assert "changed by somebody else meanwhile" in said[2]["unwilling"]
    assert also == [None]
    assert routes.drive(entry, ["split"]) == routes.drive(table, ["split"]) == [[0.25, ""]]
