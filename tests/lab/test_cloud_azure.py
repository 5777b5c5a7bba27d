"""The imitated Azure: what it takes, what it refuses, and when a question is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.test_clouds import FakeFront
from tests.signals.fakes import FakeClock
from upgrader.lab.clouds.azure import LAB, RULE, SUBSCRIPTION, AzureApi, Shape
from upgrader.lab.clouds.azure_origin_group import Busy, OriginGroup
from upgrader.lab.clouds.front_view import BLUE, GREEN, FrontView, Pace
from upgrader.lab.clouds.serving import Asked, Told

PROVIDERS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{LAB}/providers"
ORIGINS = f"{PROVIDERS}/Microsoft.Cdn/profiles/{LAB}/originGroups/gateways/origins"
VERSION = "?api-version=2025-06-01"


class Cloud:
    """The API without a socket, over a front that says what the test puts there."""

    def __init__(self, **shape: Any) -> None:
        self.front, self.clock = FakeFront(), FakeClock()
        self.view = FrontView(self.front.ask, pace=Pace(delay_seconds=0), clock=self.clock.monotonic)
        times = {"question_seconds": 0.0, "operation_seconds": 0.0}
        self.api = AzureApi(self.view, shape=Shape(**(times | shape)), hang=self.clock.sleep)

    def asked(self, method: str, target: str, body: Any = None) -> Told:
        return self.api.answer(Asked(method, target, b"" if body is None else json.dumps(body).encode()))

    def patch(self, name: str, **properties: Any) -> Told:
        return self.asked("PATCH", f"{ORIGINS}/{name}{VERSION}", {"properties": properties})


def code(told: Told) -> tuple[int, str]:
    return told.status, told.body["error"]["code"]


def test_health_is_what_the_fronts_own_checks_found() -> None:
    cloud = Cloud()
    cloud.front.clusters[BLUE] = {"10.0.0.1": {}, "10.0.0.2": {"failed_active_health_check": True}}
    cloud.front.clusters[GREEN] = {"10.0.0.3": {"pending_active_hc": True}}
    cloud.view.turn()

    gateway = cloud.asked(
        "POST", f"{PROVIDERS}/Microsoft.Network/applicationGateways/{LAB}/backendhealth{VERSION}"
    )
    rule = f"{PROVIDERS}/Microsoft.Network/loadBalancers/{LAB}/loadBalancingRules/{RULE}/health{VERSION}"
    balancer = cloud.asked("POST", rule)

    servers = [
        one
        for pool in gateway.body["backendAddressPools"]
        for one in pool["backendHttpSettingsCollection"][0]["servers"]
    ]
    assert [one["health"] for one in servers] == ["Healthy", "Unhealthy", "Unknown"]
    assert (balancer.body["up"], balancer.body["down"]) == (1, 2)


@pytest.mark.parametrize(
    ("method", "target", "answer"),
    [
        ("GET", f"{ORIGINS}", (400, "MissingApiVersionParameter")),
        ("GET", f"{ORIGINS}?api-version=latest", (400, "InvalidApiVersionParameter")),
        ("GET", f"{ORIGINS}/red{VERSION}", (404, "ResourceNotFound")),
        ("DELETE", f"{ORIGINS}/blue{VERSION}", (404, "ResourceNotFound")),
        ("GET", f"{PROVIDERS}/Microsoft.Cdn/operationresults/7{VERSION}", (404, "ResourceNotFound")),
    ],
)
def test_what_is_not_there_is_refused_as_azure_does(
    method: str, target: str, answer: tuple[int, str]
) -> None:
    assert code(Cloud().asked(method, target)) == answer


def test_paths_are_case_blind() -> None:
    assert Cloud().asked("GET", f"{ORIGINS.lower()}{VERSION}").status == 200


@pytest.mark.parametrize(
    "properties", [{"weight": 0}, {"weight": 1001}, {"weight": "7"}, {"enabledState": "On"}, {"color": "red"}]
)
def test_a_change_that_azure_cannot_take_is_refused(properties: dict[str, Any]) -> None:
    cloud = Cloud()

    assert code(cloud.patch("green", **properties)) == (400, "BadRequest")
    assert cloud.asked("GET", f"{ORIGINS}/green{VERSION}").body["properties"]["weight"] == 1000


def test_the_last_enabled_origin_cannot_be_disabled() -> None:
    cloud = Cloud()

    assert code(cloud.patch("blue", enabledState="Disabled")) == (400, "BadRequest")
    cloud.patch("green", enabledState="Enabled")
    assert cloud.patch("blue", enabledState="Disabled").status == 202


def test_a_change_moves_the_fronts_weights() -> None:
    cloud = Cloud()

    cloud.patch("green", enabledState="Enabled", weight=250)
    cloud.view.turn()

    assert cloud.view.green_ratio == 0.2
    assert cloud.front.told == ["/runtime_modify?front.split.gateways=80000&front.split.gateways-green=20000"]


def test_a_change_is_updating_until_its_operation_ends() -> None:
    clock, cloud = FakeClock(), Cloud()
    group = OriginGroup(cloud.view, path="/g", seconds=5, queues=False, clock=clock.monotonic)

    operation = group.change("green", {"enabledState": "Enabled"})
    states = [group.origin(name)["properties"]["provisioningState"] for name in ("blue", "green")]
    with pytest.raises(Busy):
        group.change("blue", {"weight": 5})
    running = group.status(operation.id)
    clock.sleep(5)

    assert (states, running, group.status(operation.id)) == (
        ["Succeeded", "Updating"],
        "InProgress",
        "Succeeded",
    )
    assert group.origin("green")["properties"]["provisioningState"] == "Succeeded"
    assert group.origin("blue")["properties"]["weight"] == 1000


def test_a_question_names_where_its_answer_will_be() -> None:
    cloud = Cloud(question_seconds=3600)
    cloud.api.base = "http://127.0.0.1:7"

    path = f"{PROVIDERS}/Microsoft.Network/applicationGateways/{LAB}/backendhealth{VERSION}"
    told = cloud.asked("POST", path)
    again = cloud.asked("GET", told.headers["Location"].removeprefix("http://127.0.0.1:7"))

    assert (told.status, again.status) == (202, 202)
    assert again.headers["Location"] == told.headers["Location"]


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ("throttle", (429, "SubscriptionRequestsThrottled")),
        ("quota", (403, "QuotaExceeded")),
        ("rights", (403, "AuthorizationFailed")),
        ("error", (503, "ServiceUnavailable")),
    ],
)
def test_a_fault_meets_what_it_is_on_and_changes_nothing(fault: str, answer: tuple[int, str]) -> None:
    cloud = Cloud()
    cloud.view.faults.read(json.dumps({"fault": fault, "on": "write"}).encode())

    assert code(cloud.patch("green", enabledState="Enabled")) == answer
    state = cloud.asked("GET", f"{ORIGINS}/green{VERSION}")
    assert (state.status, state.body["properties"]["enabledState"]) == (200, "Disabled")


def test_a_lie_is_told_as_set_and_moves_nothing() -> None:
    cloud = Cloud()
    cloud.view.faults.read(b'{"fault": "lie"}')

    cloud.patch("green", enabledState="Enabled")
    cloud.view.turn()

    assert cloud.asked("GET", f"{ORIGINS}/green{VERSION}").body["properties"]["enabledState"] == "Enabled"
    assert cloud.front.told == []
