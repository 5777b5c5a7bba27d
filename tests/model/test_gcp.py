"""What Google's API says, read: refusals, health, weights."""

from __future__ import annotations

import json
from typing import Any

import pytest

from upgrader.model.backend_health import Health
from upgrader.model.gcp_answers import refusal
from upgrader.model.gcp_health import Attached, groups_of, judged, read_endpoints, strange_words, tail
from upgrader.model.gcp_url_map import Pair, Routes, patch, read_routes, weights
from upgrader.model.ports import Answer

ROOT = "https://www.googleapis.com/compute/v1/projects"
PAIR = Pair("global/backendServices/blue", "global/backendServices/green")


def refused(status: int, reason: str = "", message: str = "words") -> Answer:
    error = {"code": status, "message": message, "errors": [{"reason": reason}] if reason else []}
    return Answer(status, json.dumps({"error": error}).encode())


@pytest.mark.parametrize(
    ("answer", "what", "remedy"),
    [
        (refused(403, "rateLimitExceeded"), "is throttled (HTTP 403 rateLimitExceeded: words)", "rate quota"),
        (refused(429), "is throttled (HTTP 429 : words)", "rate quota"),
        (refused(403, "quotaExceeded"), "is over a quota", "the quota that is named"),
        (refused(403, "forbidden"), "lacks rights (HTTP 403 forbidden: words)", "grant compute.x.get"),
        (refused(403, "accessNotConfigured"), "is switched off", "enable compute.googleapis.com"),
        (refused(401), "does not know us", "application-default login"),
        (refused(404, "notFound"), "finds nothing", "names with the playbook"),
        (refused(412, "conditionNotMet"), "was overtaken", "read anew"),
        (refused(503, "backendError"), "failed at Google's side", "status.cloud.google.com"),
        (refused(400, "invalid"), "was refused", "words of the API"),
        (Answer(502, b"<html>Bad Gateway"), "(HTTP 502 : <html>Bad Gateway)", "status.cloud"),
        (Answer(0, error="no answer within 0.8 s"), "x.get: no answer within 0.8 s", "reaches the API"),
    ],
    ids=lambda one: str(getattr(one, "status", "")),
)
def test_a_refusal_says_which_it_is_and_what_to_ask_for(answer: Answer, what: str, remedy: str) -> None:
    said = refusal(answer, method="x.get", right="compute.x.get")

    assert what in said.what
    assert remedy in said.remedy


def test_the_reason_is_also_read_from_the_details() -> None:
    body = {"error": {"code": 403, "message": "m", "details": [{"reason": "RATE_LIMIT_EXCEEDED"}]}}

    said = refusal(Answer(403, json.dumps(body).encode()), method="x.get", right="compute.x.get")

    assert "is throttled" in said.what


def test_a_backend_service_has_its_zonal_groups() -> None:
    service = {
        "backends": [
            {"group": f"{ROOT}/p/zones/b/networkEndpointGroups/neg"},
            {"group": f"{ROOT}/p/zones/a/networkEndpointGroups/neg"},
        ]
    }

    assert [str(group) for group in groups_of(service)] == ["a/neg", "b/neg"]


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({}, "it has no backends"),
        ({"backends": [{"group": f"{ROOT}/p/zones/a/instanceGroups/ig"}]}, "no zonal network endpoint group"),
        ({"backends": [{"group": f"{ROOT}/p/global/networkEndpointGroups/x"}]}, "no zonal network"),
    ],
)
def test_what_has_no_endpoints_to_list_is_refused(service: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        groups_of(service)


def item(address: str, *states: str, service: str = "blue") -> dict[str, Any]:
    link = f"{ROOT}/123456/global/backendServices/{service}"
    healths = [{"backendService": {"backendService": link}, "healthState": state} for state in states]
    return {"networkEndpoint": {"ipAddress": address, "port": 8080}, "healths": healths}


@pytest.mark.parametrize(
    ("states", "health"),
    [
        (("HEALTHY",), Health.HEALTHY),
        (("UNHEALTHY",), Health.FAILING),
        (("DRAINING",), Health.LEAVING),
        (("UNKNOWN",), Health.UNKNOWN),
        (("A_LATER_WORD",), Health.UNKNOWN),
        ((), Health.UNPROVEN),
    ],
)
def test_each_word_has_its_meaning(states: tuple[str, ...], health: Health) -> None:
    attached = read_endpoints({"items": [item("10.0.0.1", *states)]}, PAIR.blue)

    assert judged(attached, unsaid=Health.UNPROVEN) == {"10.0.0.1": [health]}


def test_another_backend_services_word_does_not_count() -> None:
    attached = read_endpoints({"items": [item("10.0.0.1", "HEALTHY", service="other")]}, PAIR.blue)

    assert attached == (Attached("10.0.0.1", ()),)


def test_a_word_that_no_schema_has_is_named() -> None:
    assert strange_words([Attached("a", ("HEALTHY", "REBALANCING")), Attached("b", ())]) == ("REBALANCING",)


def weighted(blue: int, green: int, **more: int) -> dict[str, Any]:
    services = {"blue": blue, "green": green, **more}
    return {
        "weightedBackendServices": [
            {"backendService": f"{ROOT}/p/global/backendServices/{name}", "weight": weight}
            for name, weight in services.items()
        ]
    }


def service(name: str) -> str:
    return f"{ROOT}/p/global/backendServices/{name}"


@pytest.mark.parametrize(
    ("url_map", "routes"),
    [
        ({"defaultRouteAction": weighted(900, 100)}, Routes((0.1,), ())),
        ({"defaultRouteAction": weighted(3, 1)}, Routes((0.25,), ())),
        ({"defaultRouteAction": weighted(0, 0)}, Routes((None,), ())),
        ({"defaultService": service("other")}, Routes((), ())),
        ({"defaultService": service("blue")}, Routes((), ("no host rule",))),
        ({"defaultRouteAction": weighted(9, 1, third=5)}, Routes((), ("no host rule",))),
        (
            {
                "defaultService": service("other"),
                "pathMatchers": [
                    {
                        "name": "m",
                        "defaultRouteAction": weighted(1000, 0),
                        "pathRules": [{"routeAction": weighted(1000, 0)}, {"service": service("green")}],
                        "routeRules": [{"routeAction": weighted(500, 500)}],
                    }
                ],
            },
            Routes((0.0, 0.0, 0.5), ("path matcher m, path rule 2",)),
        ),
    ],
    ids=["default", "other sums", "nobody", "none", "one alone", "a third", "matchers"],
)
def test_every_place_that_has_to_do_with_the_two_is_found(url_map: dict[str, Any], routes: Routes) -> None:
    assert read_routes(url_map, PAIR) == routes


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(0, (1000, 0)), (1, (0, 1000)), (0.0001, (999, 1)), (0.9999, (1, 999)), (0.05, (950, 50))],
)
def test_a_share_in_between_never_becomes_all_or_nothing(ratio: float, expected: tuple[int, int]) -> None:
    assert weights(ratio) == expected


def test_a_patch_has_the_fingerprint_and_only_what_changes() -> None:
    matcher = {"name": "m", "routeRules": [{"priority": 1, "routeAction": weighted(1000, 0)}]}
    url_map = {
        "fingerprint": "f1",
        "defaultService": service("other"),
        "hostRules": [{"hosts": ["*"], "pathMatcher": "m"}],
        "pathMatchers": [matcher, {"name": "n", "defaultService": service("other")}],
    }

    body = patch(url_map, PAIR, 0.25)

    assert body.keys() == {"fingerprint", "pathMatchers"}
    assert body["fingerprint"] == "f1"
    assert body["pathMatchers"][0]["routeRules"] == [{"priority": 1, "routeAction": weighted(750, 250)}]
    assert body["pathMatchers"][1] == url_map["pathMatchers"][1]
    assert matcher["routeRules"] == [{"priority": 1, "routeAction": weighted(1000, 0)}]


def test_names_are_compared_past_the_project() -> None:
    assert tail(f"{ROOT}/123/regions/r/backendServices/x") == "regions/r/backendServices/x"
    assert tail("projects/p/global/urlMaps/m") == "global/urlMaps/m"
