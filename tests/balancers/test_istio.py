from __future__ import annotations

from typing import Any

import pytest

from tests.balancers.route_kube import RouteKube, ports_with, route
from upgrader.balancers.istio import build
from upgrader.model.balancing_routes import IstioBalancer
from upgrader.model.plugins import Split
from upgrader.model.ports import Manifest, Ref
from upgrader.model.routed_traffic import RoutedTraffic

V1 = "networking.istio.io/v1"
ENTRY = {
    "kind": "istio",
    "namespace": "edge",
    "name": "api",
    "backend": {"name": "proxy"},
    "green": {"name": "proxy", "namespace": "gw-green"},
}


def to(host: str, weight: int | None = None, **more: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"destination": {"host": host} | more}
    return shown if weight is None else shown | {"weight": weight}


def service(spec: dict[str, Any], *, api_version: str = V1, status: Any = None) -> Manifest:
    return route(api_version, "VirtualService", {"hosts": ["*"]} | spec) | (
        {"status": status} if status is not None else {}
    )


def balancer(kube: RouteKube, **keys: Any) -> RoutedTraffic:
    return build(IstioBalancer.model_validate(ENTRY | keys).settings, ports_with(kube))


GREEN = "proxy.gw-green.svc.cluster.local"


@pytest.mark.parametrize("blue", ["proxy", "proxy.edge.svc", "proxy.edge.svc.cluster.local"])
def test_a_host_is_read_as_istio_completes_it(blue: str) -> None:
    held = service({"http": [{"route": [to(blue, 75), to(GREEN, 25)]}]})

    assert balancer(RouteKube(held)).split() == Split(0.25)


@pytest.mark.parametrize("blue", ["proxy.edge", "proxy.example.com", "proxy.other.svc.cluster.local"])
def test_a_host_that_is_no_such_service_is_not_ours(blue: str) -> None:
    said = balancer(RouteKube(service({"http": [{"route": [to(blue, 75), to(GREEN, 25)]}]}))).split()

    assert said.green_ratio is None
    assert "no rule of VirtualService edge/api holds both backends" in said.error


def test_an_absent_weight_beside_another_is_none() -> None:
    assert balancer(
        RouteKube(service({"http": [{"route": [to("proxy"), to(GREEN, 100)]}]}))
    ).split() == Split(1)


def test_http_tls_and_tcp_routes_are_moved_in_one_write() -> None:
    both = [to("proxy", 100), to(GREEN)]
    held = service(
        {
            "http": [{"redirect": {"uri": "/"}}, {"route": list(both)}],
            "tls": [{"route": list(both)}],
            "tcp": [{"route": [to(GREEN)]}],
        }
    )
    kube = RouteKube(held)

    balancer(kube, total=100).move(0.1)

    assert [(one["path"], one["value"]) for one in kube.patches[0][1:]] == [
        ("/spec/http/1/route/0/weight", 90),
        ("/spec/http/1/route/1/weight", 10),
        ("/spec/tls/0/route/0/weight", 90),
        ("/spec/tls/0/route/1/weight", 10),
    ]


def test_subsets_and_ports_tell_destinations_apart() -> None:
    held = service(
        {
            "http": [
                {
                    "route": [
                        to("proxy", 1, subset="v1", port={"number": 80}),
                        to("proxy", 3, subset="v2", port={"number": 80}),
                        to("proxy", 0, subset="v1", port={"number": 81}),
                    ]
                }
            ]
        }
    )
    subsets = {
        "backend": {"name": "proxy", "subset": "v1", "port": 80},
        "green": {"name": "proxy", "subset": "v2"},
    }

    assert balancer(RouteKube(held), **subsets).split() == Split(0.75)


def test_the_older_api_can_be_asked_for() -> None:
    beta = "networking.istio.io/v1beta1"
    held = service({"http": [{"route": [to("proxy", 1), to(GREEN, 1)]}]}, api_version=beta)

    assert balancer(RouteKube(held), api_version=beta).split() == Split(0.5)


OTHER_ERROR = {"level": "ERROR", "type": {"code": "IST0106", "name": "SchemaValidationError"}}
ERROR = {"level": "ERROR", "type": {"code": "IST0101", "name": "ReferencedResourceNotFound"}}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, ""),
        ({}, ""),
        ({"observedGeneration": 3, "validationMessages": [{"level": "WARNING"}]}, ""),
        ({"observedGeneration": 2, "validationMessages": [ERROR]}, ""),
        ({"observedGeneration": 3, "validationMessages": [OTHER_ERROR]}, "IST0106 SchemaValidationError"),
        ({"observedGeneration": "3", "validationMessages": [ERROR]}, "IST0101 ReferencedResourceNotFound"),
        (
            {
                "observedGeneration": 3,
                "conditions": [{"type": "Reconciled", "status": "False", "message": "1/2"}],
            },
            "not all proxies have it: 1/2",
        ),
    ],
)
def test_an_absent_or_older_status_is_no_doubt_and_a_bad_one_is(status: Any, words: str) -> None:
    held = service({"http": [{"route": [to("proxy", 1), to(GREEN, 1)]}]}, status=status)

    said = balancer(RouteKube(held)).split()

    assert (said.green_ratio is None) is bool(words)
    assert words in said.error


def test_a_host_that_istio_cannot_find_may_be_the_one_that_gets_nothing() -> None:
    status = {"observedGeneration": 3, "validationMessages": [ERROR]}
    green = Ref("v1", "Service", "gw-green", "proxy")
    whole = service({"http": [{"route": [to("proxy", 1), to(GREEN)]}]}, status=status)
    parted = service({"http": [{"route": [to("proxy", 1), to(GREEN, 1)]}]}, status=status)

    assert balancer(RouteKube(whole, absent=(green,))).split() == Split(0.0)
    assert "IST0101" in balancer(RouteKube(whole)).split().error
    assert "IST0101" in balancer(RouteKube(parted, absent=(green,))).split().error
