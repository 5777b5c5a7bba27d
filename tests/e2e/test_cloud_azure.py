"""The lab's Azure on loopback: the official libraries and our balancer talk to it; behind it a real front."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

from tests.e2e.dataplane import wait_for
from tests.e2e.front_places import Places
from tests.signals.fakes import fleet, pod
from upgrader.adapters.clock import SystemClock
from upgrader.adapters.http import HttpClient
from upgrader.balancers import azure as balancers
from upgrader.balancers.azure import AzureHealth, FrontDoor
from upgrader.errors import BalancerUnwilling
from upgrader.lab.clouds.azure import LAB, RULE, SUBSCRIPTION, Shape, serve
from upgrader.lab.clouds.front_view import FrontView, Pace, admin
from upgrader.lab.clouds.serving import CONTROL
from upgrader.model.backend_health import LOOKS_TO_BELIEVE
from upgrader.model.fleet import Side
from upgrader.model.plugins import Split
from upgrader.model.ports import Ports
from upgrader.model.reading import Reading, Weight

pytestmark = pytest.mark.envoy

DEAD = f"{Places.blue}3"
"""Where nobody answers."""
PODS = fleet(
    pod("edge-blue", Side.OLD, address=Places.blue),
    pod("edge-green", Side.NEW, address=Places.green),
    pod("edge-dead", Side.NEW, address=DEAD),
)
NOTHING = cast("Any", None)
HTTP = HttpClient()
PORTS = Ports(SystemClock(), NOTHING, NOTHING, HTTP, sweep=NOTHING, prober=NOTHING)
DELAY, QUESTION, OPERATION = 0.3, 0.2, 0.2
PLACE = {"subscription": SUBSCRIPTION, "resource_group": LAB, "name": LAB}
GATEWAY = {"service": "application_gateway", "settle": 0}
BALANCER = {"service": "load_balancer", "rule": RULE, "settle": 0}
ORIGINS = {"origin_group": "gateways", "origin": "blue", "green": "green"}
DOOR = {"service": "front_door", "delay": DELAY} | ORIGINS


@pytest.fixture(scope="module", autouse=True)
def _connections() -> Iterator[None]:
    """Close them with the module: what is left open makes the tests after it fail."""
    yield
    HTTP.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    both = Places(tmp_path_factory.mktemp("azure"))
    both.open()
    both.list_blue(both.blue, DEAD)
    yield both
    both.close()


@dataclass
class Cloud:
    """The imitation, and what stands behind it."""

    url: str
    places: Places

    def fault(self, **said: Any) -> dict[str, Any]:
        """Set the fault, or end it; returns how many calls came in."""
        request = urllib.request.Request(self.url + CONTROL, data=json.dumps(said).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            calls: dict[str, Any] = json.load(answer)["calls"]
        return calls

    def door(self) -> FrontDoor:
        made = balancers.build(PLACE | DOOR | {"endpoint": self.url}, PORTS)
        assert isinstance(made, FrontDoor)
        return made

    def health(self, settings: dict[str, Any]) -> AzureHealth:
        made = balancers.build(PLACE | settings | {"endpoint": self.url}, PORTS)
        assert isinstance(made, AzureHealth)
        return made

    def wait_for_share(self, accept: Callable[[float], bool]) -> None:
        wait_for(lambda: accept(self.places.answered(100)["green"] / 100), seconds=5)


def start(places: Places, shape: Shape) -> Iterator[Cloud]:
    ask = admin(places.admin)
    ask("POST", "/runtime_modify?front.split.gateways=100&front.split.gateways-green=0")
    view = FrontView(ask, pace=Pace(DELAY, look_seconds=0.1))
    server = serve(("127.0.0.1", 0), view, shape=shape)
    view.start()
    server.start()
    try:
        yield Cloud(server.url, places)
    finally:
        server.close()
        view.close()


@pytest.fixture
def cloud(places: Places) -> Iterator[Cloud]:
    yield from start(places, Shape(QUESTION, OPERATION))


@pytest.fixture
def strict_cloud(places: Places) -> Iterator[Cloud]:
    """One that refuses a change while another runs."""
    yield from start(places, Shape(QUESTION, OPERATION, queues=False))


def answered(balancer: AzureHealth, times: int = 1) -> Reading:
    """Look until Azure has answered so many times; each look is over within a second."""
    before: float | None = None
    for _ in range(100):
        began = time.monotonic()
        reading = balancer.read(PODS)
        assert time.monotonic() - began < 1
        if not reading.error and reading.data_time != before:
            before, times = reading.data_time, times - 1
            if not times:
                return reading
        time.sleep(0.05)
    raise AssertionError(f"no answer: {reading.error}")


def healthy(reading: Reading) -> dict[str, float]:
    return {name: reading.values[name] for name in ("old_healthy", "new_healthy", "new_total")}


def test_the_official_libraries_find_what_the_schemas_promise(cloud: Cloud) -> None:
    from azure.core.pipeline.policies import SansIOHTTPPolicy
    from azure.mgmt.cdn import CdnManagementClient
    from azure.mgmt.network import NetworkManagementClient

    class NoCredential:
        def get_token(self, *scopes: str, **more: Any) -> Any:
            raise AssertionError("a loopback address gets no token")

    options: dict[str, Any] = {"base_url": cloud.url, "polling_interval": 0.1}
    options["authentication_policy"] = SansIOHTTPPolicy()
    network: Any = NetworkManagementClient(NoCredential(), SUBSCRIPTION, **options)
    cdn: Any = CdnManagementClient(NoCredential(), SUBSCRIPTION, **options)

    pools = network.application_gateways.begin_backend_health(LAB, LAB).result().backend_address_pools
    rule = network.load_balancer_load_balancing_rules.begin_health(LAB, LAB, RULE).result()
    before = {one.name: one for one in cdn.afd_origins.list_by_origin_group(LAB, LAB, "gateways")}
    change = {"properties": {"weight": 250, "enabledState": "Enabled"}}
    after = cdn.afd_origins.begin_update(LAB, LAB, "gateways", "green", change).result()
    cloud.wait_for_share(lambda green: 0 < green < 0.5)
    for client in (network, cdn):
        client.close()

    servers = [one for pool in pools for one in pool.backend_http_settings_collection[0].servers]
    words = {Places.blue: "Healthy", Places.green: "Healthy", DEAD: "Unhealthy"}
    assert {one.address: one.health for one in servers} == words
    assert (rule.up, rule.down) == (2, 1)
    states = {one.ip_address: one.state for one in rule.load_balancer_backend_addresses}
    assert states == {Places.blue: "Up", Places.green: "Up", DEAD: "Down"}
    assert [before[name].enabled_state for name in ("blue", "green")] == ["Enabled", "Disabled"]
    assert (after.weight, after.enabled_state, after.provisioning_state) == (250, "Enabled", "Succeeded")


@pytest.mark.parametrize("settings", [GATEWAY, BALANCER], ids=["gateway", "load balancer"])
def test_our_balancer_tells_what_the_fronts_own_checks_found(cloud: Cloud, settings: dict[str, Any]) -> None:
    balancer = cloud.health(settings)

    first = balancer.read(PODS)
    reading = answered(balancer)

    assert first.error.startswith("Azure has not answered yet")
    assert (healthy(reading), reading.facts) == ({"old_healthy": 1, "new_healthy": 1, "new_total": 2}, ())


def test_traffic_follows_each_rung_after_the_delay_and_is_back(cloud: Cloud) -> None:
    balancer = cloud.door()
    found: dict[float, float] = {}
    for rung in (0.001, 0.25, 1.0):
        balancer.move(rung)
        assert "a change is being made" in balancer.split().error
        wait_for(lambda: balancer.split().green_ratio is not None, seconds=5)
        assert balancer.split().green_ratio == pytest.approx(rung, abs=balancer.finest_ratio)
        time.sleep(DELAY + 0.2)
        found[rung] = cloud.places.answered(400)["green"] / 400
    calls = cloud.fault()["write"]

    balancer.move(0.0)
    cloud.wait_for_share(lambda green: green == 0)

    assert balancer.split() == Split(0.0)
    assert found[0.001] < 0.03
    assert found[0.25] == pytest.approx(0.25, abs=0.12)
    assert found[1.0] == 1
    assert (calls, cloud.fault()["write"]) == (3, 5)  # one a rung; from all to none it takes two
    assert cloud.places.answered(200) == {"blue": 200}


def test_azure_that_takes_one_change_at_a_time_gets_the_second_by_the_next_move(strict_cloud: Cloud) -> None:
    balancer = strict_cloud.door()
    balancer.move(0.5)
    wait_for(lambda: balancer.split().green_ratio is not None, seconds=5)
    balancer.move(1.0)
    wait_for(lambda: balancer.split() == Split(1.0), seconds=5)

    with pytest.raises(BalancerUnwilling, match=r"another change .* changed so far: blue"):
        balancer.move(0.0)
    wait_for(lambda: balancer.split().green_ratio is not None, seconds=5)
    between = balancer.split()
    balancer.move(0.0)
    strict_cloud.wait_for_share(lambda green: green == 0)

    assert between.green_ratio == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("fault", "words", "right"),
    [
        ("throttle", "Azure throttles us (SubscriptionRequestsThrottled", ""),
        ("quota", "a quota is used up (QuotaExceeded", "ask for a higher quota"),
        ("rights", "Azure does not allow it (AuthorizationFailed", "give this identity the right Microsoft."),
        ("error", "Azure failed: HTTP 503 (ServiceUnavailable", ""),
    ],
)
def test_what_azure_refuses_is_said_and_is_no_value(cloud: Cloud, fault: str, words: str, right: str) -> None:
    door, gateway = cloud.door(), cloud.health(GATEWAY)
    answered(gateway)
    cloud.fault(fault=fault)

    reading, look, split = gateway.read(PODS), door.read(PODS), door.split()
    with pytest.raises(BalancerUnwilling) as read_first:
        door.move(0.5)
    cloud.fault(fault=fault, on="write")
    with pytest.raises(BalancerUnwilling) as written:
        cloud.door().move(0.5)
    calls = cloud.fault()

    for said in (reading.error, look.error, split.error, str(read_first.value), str(written.value)):
        assert words in said
        assert right in said
    assert split.green_ratio is None
    assert (dict(reading.values), dict(look.values), reading.facts) == ({}, {}, ())
    if fault == "throttle":
        assert gateway.read(PODS).error.endswith("s")  # "asked again in 3 s"
        assert cloud.fault()["read"] == calls["read"]
    assert cloud.places.answered(100) == {"blue": 100}


def test_azure_that_hangs_does_not_hold_a_look_up(cloud: Cloud) -> None:
    door, gateway = cloud.door(), cloud.health(GATEWAY)
    cloud.fault(fault="hang", seconds=3)

    for look in (gateway.read, door.read):
        began = time.monotonic()
        reading = look(PODS)

        assert time.monotonic() - began < 1.2
        assert reading.error == "Azure did not answer: no answer within 0.9 s"
    cloud.fault()
    assert healthy(answered(gateway))["new_healthy"] == 1


def test_azure_that_lies_or_lags_says_set_while_clients_do_not_see_it(cloud: Cloud) -> None:
    door = cloud.door()
    for fault in ("lie", "lag"):
        cloud.fault(fault=fault, seconds=60)
        door.move(0.5 if fault == "lie" else 0.9)
        wait_for(lambda: door.split().green_ratio is not None, seconds=5)
        time.sleep(DELAY + 0.2)

        assert door.split().green_ratio == pytest.approx(0.5 if fault == "lie" else 0.9, abs=0.001)
        assert cloud.places.answered(100) == {"blue": 100}


def test_azure_that_lags_tells_backends_as_they_were(cloud: Cloud) -> None:
    gateway = cloud.health(GATEWAY)
    cloud.fault(fault="lag", seconds=60)
    cloud.places.fail("green")
    try:
        time.sleep(1)
        lagging = answered(gateway)
        cloud.fault()
        wait_for(lambda: healthy(answered(gateway))["new_healthy"] == 0, seconds=5)
    finally:
        cloud.places.fail("green", fails=False)
        wait_for(lambda: cloud.places.counter("gateways-green", "membership_healthy") == 1)

    assert healthy(lagging)["new_healthy"] == 1


def test_a_word_that_no_schema_has_holds(cloud: Cloud) -> None:
    gateway = cloud.health(GATEWAY)
    cloud.fault(fault="unknown")

    reading = answered(gateway, times=LOOKS_TO_BELIEVE)

    assert {fact.rule: fact.weight for fact in reading.facts} == {
        "backend-unknown": Weight.HOLD,
        "unknown-health-word": Weight.NOTE,
    }
    assert healthy(reading) == {"old_healthy": 0, "new_healthy": 0, "new_total": 2}
