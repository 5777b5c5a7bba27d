from __future__ import annotations

from typing import Any

import pytest

from tests.balancers.route_kube import RouteKube, ports_with, route
from tests.signals.fakes import fleet
from upgrader.balancers.gloo import API, build
from upgrader.model.balancing_routes import GlooBalancer
from upgrader.model.plugins import Split
from upgrader.model.ports import Manifest, Ref
from upgrader.model.routed_traffic import RoutedTraffic

ENTRY = {
    "kind": "gloo",
    "namespace": "edge",
    "name": "api",
    "backend": {"name": "proxy", "namespace": "gw-blue"},
    "green": {"name": "proxy", "namespace": "gw-green"},
}
UPSTREAMS = {
    "backend": {"type": "Upstream", "name": "gw-blue-proxy-80", "namespace": "gloo-system"},
    "green": {"type": "Upstream", "name": "gw-green-proxy-80", "namespace": "gloo-system"},
}
ACCEPTED = {"statuses": {"gloo-system": {"reportedBy": "gateway", "state": "Accepted"}}}


def kube_ref(color: str, weight: int | None) -> dict[str, Any]:
    ref = {"ref": {"name": "proxy", "namespace": f"gw-{color}"}, "port": 80}
    shown: dict[str, Any] = {"destination": {"kube": ref}}
    return shown if weight is None else shown | {"weight": weight}


def upstream(color: str, weight: int) -> dict[str, Any]:
    name = {"name": f"gw-{color}-proxy-80", "namespace": "gloo-system"}
    return {"destination": {"upstream": name}, "weight": weight}


def multi(*destinations: dict[str, Any]) -> dict[str, Any]:
    return {"matchers": [{"prefix": "/"}], "routeAction": {"multi": {"destinations": list(destinations)}}}


def virtual_service(*routes: dict[str, Any], status: Any = ACCEPTED) -> Manifest:
    spec = {"virtualHost": {"domains": ["*"], "routes": list(routes)}}
    return route(API, "VirtualService", spec) | {"status": status}


def balancer(kube: RouteKube, **keys: Any) -> RoutedTraffic:
    return build(GlooBalancer.model_validate(ENTRY | keys).settings, ports_with(kube))


BOTH = multi(kube_ref("blue", 9), kube_ref("green", 1))


def test_the_split_is_read_from_kube_destinations_and_from_upstreams() -> None:
    by_upstream = virtual_service(multi(upstream("blue", 9), upstream("green", 1)))

    assert balancer(RouteKube(virtual_service(BOTH))).split() == Split(0.1)
    assert balancer(RouteKube(by_upstream), **UPSTREAMS).split() == Split(0.1)
    assert balancer(RouteKube(by_upstream)).split().green_ratio is None


def test_an_absent_weight_is_none() -> None:
    held = virtual_service(multi(kube_ref("blue", 1), kube_ref("green", None)))

    assert balancer(RouteKube(held)).split() == Split(0.0)


def test_a_virtual_service_is_moved_in_all_its_routes_at_once() -> None:
    kube = RouteKube(virtual_service({"delegateAction": {"ref": {"name": "other"}}}, BOTH, BOTH))

    balancer(kube).move(0.001)

    where = "/spec/virtualHost/routes/{}/routeAction/multi/destinations/{}/weight"
    assert [(one["path"], one["value"]) for one in kube.patches[0][1:]] == [
        (where.format(1, 0), 999),
        (where.format(1, 1), 1),
        (where.format(2, 0), 999),
        (where.format(2, 1), 1),
    ]


def test_a_route_table_keeps_its_routes_elsewhere() -> None:
    kube = RouteKube(route(API, "RouteTable", {"routes": [BOTH]}) | {"status": ACCEPTED})

    balancer(kube, object="RouteTable").move(1)

    assert [one["path"] for one in kube.patches[0][1:]] == [
        f"/spec/routes/0/routeAction/multi/destinations/{index}/weight" for index in (0, 1)
    ]


def test_a_route_with_a_single_destination_is_told_not_to_move() -> None:
    single = {"routeAction": {"single": kube_ref("blue", None)["destination"]}}

    facts = balancer(RouteKube(virtual_service(BOTH, single))).read(fleet()).facts

    assert [fact.rule for fact in facts] == ["traffic-not-moved"]
    assert "routes[1] (blue only)" in facts[0].text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (ACCEPTED, ""),
        ({"statuses": {"gloo-system": {"state": 1}}}, ""),
        ({"state": 1, "reported_by": "gateway"}, ""),
        ({}, "Gloo has not said anything of it yet"),
        ({"statuses": {"gloo-system": {}}}, "Gloo says Pending"),
        ({"statuses": {"gloo-system": {"state": 9}}}, "Gloo says state 9"),
        (
            {"statuses": {"gloo-system": {"state": "Rejected", "reason": "1 error:\n  no such upstream"}}},
            "Gloo says Rejected: 1 error: no such upstream",
        ),
        ({"state": 3, "reported_by": "gateway", "reason": "odd"}, "gateway says Warning: odd"),
        ({"statuses": {"a": {"state": 1}, "b": {"state": 2, "reason": "bad"}}}, "Gloo says Rejected: bad"),
        ({"state": 1, "observedGeneration": "2"}, "has not looked at generation 3 yet (last 2)"),
        (
            {"state": 1, "subresourceStatuses": {"*v1.Proxy.gw": {"state": 2, "reason": "bad"}}},
            "of *v1.Proxy.gw: Gloo says Rejected: bad",
        ),
    ],
)
def test_only_an_object_that_gloo_accepts_has_a_split(status: Any, words: str) -> None:
    said = balancer(RouteKube(virtual_service(BOTH, status=status))).split()

    assert (said.green_ratio is None) is bool(words)
    assert words in said.error


def test_gloo_may_warn_of_the_upstream_that_gets_nothing() -> None:
    status = {"statuses": {"gloo-system": {"state": "Warning", "reason": "no such upstream"}}}
    green = Ref("gloo.solo.io/v1", "Upstream", "gloo-system", "gw-green-proxy-80")
    held = virtual_service(multi(upstream("blue", 1), upstream("green", 0)), status=status)

    assert balancer(RouteKube(held, absent=(green,)), **UPSTREAMS).split() == Split(0.0)
    assert "Gloo says Warning: no such upstream" in balancer(RouteKube(held), **UPSTREAMS).split().error
