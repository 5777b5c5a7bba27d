"""Google's official client library and our balancer against the lab's imitation, driven by the real front."""

from __future__ import annotations

import importlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from tests.e2e.dataplane import wait_for
from tests.e2e.front_places import PORT, Places, Refusal, require_refused, set_fault
from tests.signals.fakes import fleet, pod
from upgrader.adapters.clock import SystemClock
from upgrader.adapters.http import HttpClient
from upgrader.balancers.gcp_neg import GcpTraffic, build
from upgrader.errors import BalancerUnwilling
from upgrader.lab.clouds.front_view import BLUE, GREEN, SPLIT, FrontView, Pace, admin
from upgrader.lab.clouds.gcp import Shape, serve
from upgrader.lab.clouds.serving import CloudServer
from upgrader.model.fleet import Side
from upgrader.model.ports import Ports

pytestmark = pytest.mark.envoy

DELAY, OPERATION = 0.6, 0.3
NEG = "https://www.googleapis.com/compute/v1/projects/lab/zones/lab-a/networkEndpointGroups/gateways"
HTTP = HttpClient()
PODS = fleet(
    pod("edge-blue", Side.OLD, address=Places.blue), pod("edge-green", Side.NEW, address=Places.green)
)


@pytest.fixture(scope="module", autouse=True)
def _connections() -> Iterator[None]:
    """Close them with the module: what is left open makes the tests after it fail."""
    yield
    HTTP.close()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    places = Places(tmp_path_factory.mktemp("front"))
    places.open()
    yield places
    places.close()


@pytest.fixture
def cloud(places: Places) -> Iterator[CloudServer]:
    ask = admin(places.admin)
    ask("POST", f"/runtime_modify?{SPLIT}.{BLUE}=100&{SPLIT}.{GREEN}=0")
    view = FrontView(ask, pace=Pace(DELAY, look_seconds=0.1))
    view.start()
    server = serve(("127.0.0.1", 0), view, shape=Shape(operation_seconds=OPERATION, page=1))
    server.start()
    yield server
    server.close()
    view.close()


def fault(cloud: CloudServer, name: str, **more: object) -> None:
    set_fault(cloud.url, name, **more)


def balancer(cloud: CloudServer, **changes: object) -> GcpTraffic:
    """Return our balancer; ports without a token: none is sent to this machine."""
    nothing = cast("Any", None)
    world = Ports(SystemClock(), nothing, nothing, HTTP, sweep=nothing, prober=nothing)
    settings = {
        "project": "lab",
        "backend_service": "gateways",
        "green": "gateways-green",
        "url_map": "front",
        "settle": 0.0,
        "delay": DELAY,
        "endpoint": cloud.url,
    }
    made = build(settings | changes, world)
    assert isinstance(made, GcpTraffic)
    return made


def moved(traffic: GcpTraffic, ratio: float) -> None:
    traffic.move(ratio)
    assert traffic.split().green_ratio is None
    wait_for(lambda: traffic.split().green_ratio == ratio)
    time.sleep(DELAY + 0.3)


def test_our_balancer_moves_real_traffic_and_reads_it_back(cloud: CloudServer, places: Places) -> None:
    """Set, in force only when the operation is done, followed by the front's traffic after the delay."""
    traffic = balancer(cloud)

    reading = traffic.read(PODS)
    moved(traffic, 0.25)
    quarter = places.answered(2000)
    again = traffic.read(PODS).values["green_ratio"]
    moved(traffic, 1)
    whole = places.answered(200)
    moved(traffic, 0)

    assert reading.error == ""
    assert reading.values == {
        "old_healthy": 1, "old_total": 1, "new_healthy": 1, "new_total": 1, "green_ratio": 0
    }  # fmt: skip
    assert again == 0.25
    assert 400 < quarter["green"] < 600
    assert whole == {"green": 200}
    assert places.answered(200) == {"blue": 200}


def test_health_is_what_the_fronts_checks_find(cloud: CloudServer, places: Places) -> None:
    traffic = balancer(cloud)
    healthy = traffic.read(PODS).values["new_healthy"]

    places.fail("green")
    try:
        wait_for(lambda: traffic.read(PODS).values["new_healthy"] == 0)
        traffic.read(PODS)
        facts = [fact.rule for fact in traffic.read(PODS).facts]
    finally:
        places.fail("green", fails=False)
    wait_for(lambda: traffic.read(PODS).values["new_healthy"] == 1)

    assert healthy == 1
    assert facts == ["no-healthy-new-backend"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("throttle", "is throttled (HTTP 403 rateLimitExceeded"),
        ("quota", "is over a quota (HTTP 403 quotaExceeded"),
        ("rights", "lacks rights (HTTP 403 forbidden"),
        ("error", "failed at Google's side (HTTP 503"),
        ("hang", "no answer within"),
    ],
)
def test_each_refusal_is_an_error_that_says_which(cloud: CloudServer, name: str, words: str) -> None:
    """Read, read back and move: each says so within its time, and none is ever a fact or a value."""
    require_refused(balancer(cloud), PODS, Refusal(cloud.url, name, words), within_seconds=2)


def test_a_change_whose_answer_is_lost_is_found_out(cloud: CloudServer) -> None:
    traffic = balancer(cloud)
    fault(cloud, "hang", on="write", seconds=3)

    with pytest.raises(BalancerUnwilling, match="no answer within 2 s"):
        traffic.move(0.5)

    assert traffic.split().green_ratio == 0


def test_an_unknown_state_is_never_healthy_and_holds(cloud: CloudServer) -> None:
    traffic = balancer(cloud)
    fault(cloud, "unknown")

    traffic.read(PODS)
    traffic.read(PODS)
    reading = traffic.read(PODS)

    assert (reading.values["new_healthy"], reading.values["old_healthy"]) == (0, 0)
    assert [fact.rule for fact in reading.facts] == ["backend-unknown", "unknown-health-word"]


def test_a_lie_is_seen_in_the_traffic_alone(cloud: CloudServer, places: Places) -> None:
    """The API says that it is done; only requests tell. It is for the step to compare both."""
    traffic = balancer(cloud)
    fault(cloud, "lie")
    moved(traffic, 1)

    assert traffic.split().green_ratio == 1
    assert places.answered(100) == {"blue": 100}


def test_a_lag_is_longer_than_the_stated_delay(cloud: CloudServer, places: Places) -> None:
    traffic = balancer(cloud)
    fault(cloud, "lag", seconds=60)
    moved(traffic, 1)

    assert places.answered(100) == {"blue": 100}


@pytest.fixture(scope="module")
def compute() -> Any:
    """Google's client library; its import takes seconds."""
    return importlib.import_module("google.cloud.compute_v1")


@pytest.fixture
def clients(cloud: CloudServer) -> Iterator[Callable[[Any], Any]]:
    """Make clients of the imitation; their connections end with the test."""
    made: list[Any] = []

    def make(kind: Any) -> Any:
        made.append(_client(kind, cloud))
        return made[-1]

    yield make
    for one in made:
        one.transport.close()


def _client(kind: Any, cloud: CloudServer) -> Any:
    options = importlib.import_module("google.api_core.client_options").ClientOptions(api_endpoint=cloud.url)
    credentials = importlib.import_module("google.auth.credentials").AnonymousCredentials()
    return kind(credentials=credentials, client_options=options)


def test_the_official_client_reads_health(
    compute: Any, clients: Callable[[Any], Any], places: Places
) -> None:
    services = clients(compute.BackendServicesClient)
    groups = clients(compute.NetworkEndpointGroupsClient)
    request = compute.NetworkEndpointGroupsListEndpointsRequest(health_status="SHOW")

    service = services.get(project="lab", backend_service="gateways")
    reference = compute.ResourceGroupReference(group=service.backends[0].group)
    checked = services.get_health(
        project="lab", backend_service="gateways", resource_group_reference_resource=reference
    )
    places.list_blue(Places.blue, Places.blue.replace(".21", ".23"))
    try:
        wait_for(lambda: places.counter("gateways", "membership_total") == 2)
        time.sleep(1)
        listed = list(
            groups.list_network_endpoints(
                project="lab", zone="lab-a", network_endpoint_group="gateways",
                network_endpoint_groups_list_endpoints_request_resource=request,
            )
        )  # fmt: skip
    finally:
        places.list_blue(Places.blue)

    assert (service.load_balancing_scheme, service.backends[0].group) == ("EXTERNAL_MANAGED", NEG)
    assert [(one.ip_address, one.port, one.health_state) for one in checked.health_status] == [
        (Places.blue, PORT, "HEALTHY")
    ]
    assert [[said.health_state for said in one.healths] for one in listed] == [["HEALTHY"], ["UNHEALTHY"]]


def test_the_official_client_moves_traffic(
    compute: Any, clients: Callable[[Any], Any], places: Places
) -> None:
    """Patched under its fingerprint, waited for by its operation; an old fingerprint is refused."""
    maps, exceptions = (
        clients(compute.UrlMapsClient),
        importlib.import_module("google.api_core.exceptions"),
    )
    read = maps.get(project="lab", url_map="front")
    for one, weight in zip(read.default_route_action.weighted_backend_services, (0, 1000), strict=True):
        one.weight = weight
    change = compute.UrlMap(fingerprint=read.fingerprint, default_route_action=read.default_route_action)

    operation = maps.patch_unary(project="lab", url_map="front", url_map_resource=change)
    operations = clients(compute.GlobalOperationsClient)
    wait_for(lambda: operations.get(project="lab", operation=operation.name).status.name == "DONE")
    time.sleep(DELAY + 0.3)
    with pytest.raises(exceptions.PreconditionFailed, match="Invalid fingerprint"):
        maps.patch_unary(project="lab", url_map="front", url_map_resource=change)

    assert operation.status.name == "RUNNING"
    assert places.answered(100) == {"green": 100}


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("throttle", "Forbidden", "rateLimitExceeded"),
        ("rights", "Forbidden", "forbidden"),
        ("error", "ServiceUnavailable", "backendError"),
    ],
)
def test_the_official_client_understands_the_faults(
    compute: Any, clients: Callable[[Any], Any], cloud: CloudServer, name: str, kind: str, reason: str
) -> None:
    exceptions = importlib.import_module("google.api_core.exceptions")
    fault(cloud, name)

    with pytest.raises(getattr(exceptions, kind)) as raised:
        clients(compute.UrlMapsClient).get(project="lab", url_map="front", retry=None, timeout=5)

    assert raised.value.errors[0]["reason"] == reason


def test_what_is_not_imitated_is_not_found(cloud: CloudServer) -> None:
    with (
        pytest.raises(urllib.error.HTTPError) as raised,
        urllib.request.urlopen(f"{cloud.url}/compute/v1/projects/lab/zones/lab-a/instances", timeout=5),
    ):
        pass

    with raised.value as answer:
        assert (answer.code, json.loads(answer.read())["error"]["errors"][0]["reason"]) == (404, "notFound")
