from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.signals.fakes import FakeClock, FakeHttp, fleet, pod, ports
from upgrader.adapters.gcp_compute import Budget, ComputeApi
from upgrader.adapters.gcp_traffic import UrlMap
from upgrader.balancers.gcp_neg import GcpTraffic, build
from upgrader.errors import BalancerUnwilling
from upgrader.model.backend_health import LOOKS_TO_BELIEVE
from upgrader.model.fleet import Fleet, Side
from upgrader.model.gcp_health import GATE
from upgrader.model.gcp_url_map import Pair
from upgrader.model.ports import Answer, Request
from upgrader.model.reading import Reading, Weight

OLD, NEW = pod("old-1", address="10.0.0.1"), pod("new-1", Side.NEW, address="10.0.0.2")
BOTH = fleet(OLD, NEW)
API = "https://compute.googleapis.com/compute/v1/"
ROOT = "https://www.googleapis.com/compute/v1/projects/acme"


class FakeCompute(FakeHttp):
    """The API with what a test puts there; an answer may take time."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = 0.0
        self.scheme = "EXTERNAL_MANAGED"
        self.affinity = "NONE"
        self.drained: tuple[str, ...] = ()
        self.groups = {"blue": ["a"], "green": ["a"]}
        self.endpoints: dict[str, list[tuple[str, str]]] = {
            "blue-a": [("10.0.0.1", "HEALTHY")],
            "green-a": [],
        }
        self.weights = {"blue": 1000, "green": 0}
        self.extra: dict[str, Any] = {}
        self.operation: dict[str, Any] = {}
        self.answers: dict[str, Answer] = {}
        self.page = 500

    def send(self, request: Request, *, deadline_seconds: float) -> Answer:
        self.sent.append(request)
        self.clock.sleep(min(self.seconds, deadline_seconds))
        if self.seconds > deadline_seconds:
            return Answer(0, error=f"no answer within {deadline_seconds:g} s")
        path = request.url.removeprefix(API + "projects/acme/")
        for part, answer in self.answers.items():
            if part in path or part == request.method:
                return answer
        return Answer(200, json.dumps(self._said(request, path)).encode())

    def _said(self, request: Request, path: str) -> dict[str, Any]:
        name = path.partition("?")[0].split("/")[-1]
        if "backendServices" in path:
            groups = [
                {
                    "group": f"{ROOT}/zones/{zone}/networkEndpointGroups/{name}-{zone}",
                    "capacityScaler": 0 if zone in self.drained else 1,
                }
                for zone in self.groups[name]
            ]
            kind = {"loadBalancingScheme": self.scheme, "sessionAffinity": self.affinity}
            return kind | {"backends": groups}
        if "listNetworkEndpoints" in path:
            assert json.loads(request.body) == {"healthStatus": "SHOW"}
            return self._page(path.split("/")[3], int(path.partition("pageToken=")[2] or 0))
        if "operations?" in path:
            return {"items": [self.operation] if self.operation else []}
        if "operations/" in path:
            return self.operation
        return self._url_map(request)

    def _page(self, group: str, start: int) -> dict[str, Any]:
        link = f"{ROOT}/global/backendServices/{group.rpartition('-')[0]}"
        items = [
            {
                "networkEndpoint": {"ipAddress": address},
                "healths": [{"backendService": {"backendService": link}, "healthState": state}]
                if state
                else [],
            }
            for address, state in self.endpoints[group]
        ]
        end = start + self.page
        return {"items": items[start:end]} | ({"nextPageToken": str(end)} if end < len(items) else {})

    def _url_map(self, request: Request) -> dict[str, Any]:
        if request.method == "PATCH":
            body = json.loads(request.body)
            assert body["fingerprint"] == "f1"
            for one in body["defaultRouteAction"]["weightedBackendServices"]:
                self.weights[one["backendService"].rsplit("/", 1)[-1]] = one["weight"]
            self.operation = {
                "name": "op-1",
                "status": "RUNNING",
                "targetLink": f"{ROOT}/global/urlMaps/front",
            }
            return self.operation
        services = [
            {"backendService": f"{ROOT}/global/backendServices/{name}", "weight": weight}
            for name, weight in self.weights.items()
        ]
        return {
            "fingerprint": "f1",
            "defaultRouteAction": {"weightedBackendServices": services},
            **self.extra,
        }


class Bench:
    def __init__(self, *, settle: float = 0, moves: bool = False) -> None:
        self.clock = FakeClock()
        self.api = FakeCompute(self.clock)
        settings: dict[str, Any] = {"project": "acme", "backend_service": "blue", "settle": settle}
        settings |= {"green": "green", "url_map": "front", "delay": 60.0} if moves else {}
        world = replace(ports(clock=self.clock, http=self.api), token=lambda provider: f"token-of-{provider}")
        self.balancer = build(settings, world)

    @property
    def traffic(self) -> GcpTraffic:
        assert isinstance(self.balancer, GcpTraffic)
        return self.balancer

    def looks(self, times: int = 1, seen: Fleet = BOTH) -> Reading:
        for _ in range(times):
            self.clock.sleep(5)
            reading = self.balancer.read(seen)
        return reading


def facts(reading: Reading) -> dict[str, Weight]:
    return {fact.rule: fact.weight for fact in reading.facts}


def test_health_is_the_backend_services_own_word() -> None:
    bench = Bench()
    bench.api.endpoints["blue-a"].append(("10.0.0.2", "UNHEALTHY"))

    reading = bench.looks()

    assert (reading.error, reading.values) == (
        "",
        {"old_healthy": 1, "old_total": 1, "new_healthy": 0, "new_total": 1},
    )
    assert bench.api.sent[0].headers["Authorization"] == "Bearer token-of-gcp"
    assert "token" not in repr(bench.api.sent[0])


def test_a_new_pod_that_is_not_attached_is_a_breach_after_settle() -> None:
    bench = Bench(settle=60)

    early, late = bench.looks(12), bench.looks(4)

    assert facts(early) == {}
    assert facts(late) == {"no-healthy-new-backend": Weight.BREACH}
    assert "is absent there" in late.facts[0].text


def test_a_new_pod_without_a_check_is_waited_for() -> None:
    bench = Bench()
    bench.api.endpoints["blue-a"].append(("10.0.0.2", ""))

    reading = bench.looks(LOOKS_TO_BELIEVE + 3)

    assert facts(reading) == {}
    assert reading.values["new_healthy"] == 0


def test_a_group_without_any_health_is_never_healthy_and_holds_after_settle() -> None:
    bench = Bench(settle=30)
    bench.api.endpoints["blue-a"] = [("10.0.0.1", ""), ("10.0.0.2", "")]

    early, late = bench.looks(6), bench.looks(LOOKS_TO_BELIEVE + 1)

    assert facts(early) == {"group-without-health": Weight.NOTE}
    assert facts(late) == {"backend-unknown": Weight.HOLD, "group-without-health": Weight.NOTE}
    assert (late.values["old_healthy"], late.values["new_healthy"]) == (0, 0)


def test_health_that_is_gone_from_a_whole_group_holds_at_once() -> None:
    bench = Bench(settle=300)
    bench.looks()
    bench.api.endpoints["blue-a"] = [("10.0.0.1", "")]

    assert "backend-unknown" in facts(bench.looks(LOOKS_TO_BELIEVE))


@pytest.mark.parametrize(("word", "healthy"), [("UNHEALTHY", 0), ("HEALTHY", 1)])
def test_of_a_pod_with_two_addresses_the_worse_word_counts(word: str, healthy: int) -> None:
    states = {"healthState": "HEALTHY", "ipv6HealthState": word}
    service = {"backendService": f"{ROOT}/global/backendServices/blue"}
    item = {
        "networkEndpoint": {"ipAddress": "10.0.0.2", "ipv6Address": "fd00::2"},
        "healths": [{"backendService": service, **states}],
    }
    bench = Bench()
    bench.api.answers["listNetworkEndpoints"] = Answer(200, json.dumps({"items": [item]}).encode())

    assert bench.looks().values["new_healthy"] == healthy


def test_an_endpoint_of_a_drained_group_gets_nothing_and_that_is_said() -> None:
    """A group whose capacity is scaled to 0 is checked and healthy, and gets no request."""
    bench = Bench()
    bench.api.groups["blue"] = ["a", "b"]
    bench.api.endpoints["blue-b"] = [("10.0.0.2", "HEALTHY")]
    bench.api.drained = ("b",)

    reading = bench.looks(9)

    assert (reading.values["old_healthy"], reading.values["new_healthy"]) == (1, 0)
    assert facts(reading) == {"group-drained": Weight.NOTE}
    assert "b/blue-b" in reading.facts[0].text


def test_a_strange_word_is_unknown_and_said() -> None:
    bench = Bench()
    bench.api.endpoints["blue-a"].append(("10.0.0.2", "REBALANCING"))

    reading = bench.looks(LOOKS_TO_BELIEVE)

    assert facts(reading) == {"backend-unknown": Weight.HOLD, "unknown-health-word": Weight.NOTE}
    assert "REBALANCING" in reading.facts[1].text


def test_all_pages_of_a_group_are_read() -> None:
    bench = Bench()
    bench.api.page = 1
    bench.api.endpoints["blue-a"] = [
        ("10.0.0.9", "HEALTHY"),
        ("10.0.0.1", "HEALTHY"),
        ("10.0.0.2", "HEALTHY"),
    ]

    assert bench.looks().values["new_healthy"] == 1


@pytest.mark.parametrize(("state", "weight"), [("HEALTHY", Weight.NOTE), ("UNHEALTHY", Weight.HOLD)])
@pytest.mark.parametrize("reason", ["LoadBalancerNegTimeout", "LoadBalancerNegWithoutHealthCheck"])
def test_a_gate_that_opened_without_proof_is_told(reason: str, state: str, weight: Weight) -> None:
    bench = Bench(settle=300)
    bench.api.endpoints["blue-a"].append(("10.0.0.2", state))

    reading = bench.looks(1, fleet(OLD, replace(NEW, gates={GATE: reason})))

    assert facts(reading) == {"readiness-gate-open": weight}


def test_a_gate_that_proves_health_is_no_fact() -> None:
    assert facts(Bench().looks(1, fleet(OLD, replace(NEW, gates={GATE: "LoadBalancerNegReady"})))) == {}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(403, b'{"error": {"errors": [{"reason": "rateLimitExceeded"}]}}'), "is throttled"),
        (Answer(403, b'{"error": {"errors": [{"reason": "quotaExceeded"}]}}'), "is over a quota"),
        (
            Answer(403, b'{"error": {"errors": [{"reason": "forbidden"}]}}'),
            "grant compute.networkEndpointGroups.get",
        ),
        (Answer(503), "failed at Google's side"),
        (Answer(0, error="no answer within 0.8 s"), "no answer within 0.8 s"),
        (Answer(200, b"<html>"), "no JSON"),
    ],
    ids=["throttled", "quota", "rights", "down", "late", "page"],
)
def test_a_call_that_failed_is_an_error_and_no_fact(answer: Answer, words: str) -> None:
    bench = Bench()
    bench.looks()
    bench.api.answers["listNetworkEndpoints"] = answer

    reading = bench.looks(9)

    assert words in reading.error
    assert (reading.facts, dict(reading.values), reading.data_time) == ((), {}, None)


@pytest.mark.parametrize(
    ("region", "service", "operations"),
    [
        (None, "compute.backendServices.get", "compute.globalOperations.list"),
        ("europe-west1", "compute.regionBackendServices.get", "compute.regionOperations.list"),
    ],
    ids=["global", "regional"],
)
def test_regional_resources_have_rights_of_their_own(
    region: str | None, service: str, operations: str
) -> None:
    http = FakeHttp({"https://": Answer(403, b'{"error": {"errors": [{"reason": "forbidden"}]}}')})
    settings = {"project": "acme", "backend_service": "blue", "green": "green", "url_map": "front"}
    balancer = build(settings | {"region": region}, replace(ports(http=http), token=lambda provider: "t"))
    assert isinstance(balancer, GcpTraffic)

    assert f"grant {service}" in balancer.read(BOTH).error
    assert f"grant {operations}" in balancer.split().error


@pytest.mark.parametrize(("path", "prefix"), [("global", "u"), ("regions/europe-west1", "regionU")])
def test_who_may_not_change_the_url_map_is_told_all_it_takes(path: str, prefix: str) -> None:
    bench = Bench(moves=True)
    link = f"projects/acme/{path}/backendServices"
    both = [{"backendService": f"{link}/{name}", "weight": 1} for name in ("blue", "green")]
    bench.api.extra = {"defaultRouteAction": {"weightedBackendServices": both}}
    bench.api.answers = {"PATCH": Answer(403, b'{"error": {"errors": [{"reason": "forbidden"}]}}')}
    pair = Pair(f"{path}/backendServices/blue", f"{path}/backendServices/green")
    api = ComputeApi("https://compute.googleapis.com", http=bench.api, token=None)
    url_map = UrlMap(api, project="acme", path=f"{path}/urlMaps/front", pair=pair)

    with pytest.raises(BalancerUnwilling) as caught:
        url_map.move(0, Budget(bench.clock, 0.9))

    use = "compute.backendServices.use" if path == "global" else "compute.regionBackendServices.use"
    rights = f"compute.{prefix}rlMaps.get, compute.{prefix}rlMaps.update and {use}"
    assert caught.value.remedy == f"grant {rights}"


def test_no_credentials_is_an_error_with_what_to_do() -> None:
    def none(provider: str) -> str:
        raise BalancerUnwilling("no credentials", remedy="log in")

    bench = Bench()
    world = replace(ports(clock=bench.clock, http=bench.api), token=none)

    assert (
        build({"project": "acme", "backend_service": "blue"}, world).read(BOTH).error
        == "no credentials: log in"
    )


def test_no_token_is_sent_to_this_machine() -> None:
    bench = Bench()
    bench.api.answers[""] = Answer(200, b"{}")
    settings = {"project": "acme", "backend_service": "blue", "endpoint": "http://127.0.0.1:1"}
    build(settings, ports(clock=bench.clock, http=bench.api)).read(BOTH)

    assert "Authorization" not in bench.api.sent[0].headers


def test_endpoints_that_are_no_pods_of_the_gateway_are_an_error() -> None:
    bench = Bench()
    bench.api.endpoints["blue-a"] = [("10.9.9.9", "HEALTHY")]

    assert "none of its 1 endpoints is a pod" in bench.looks().error


def test_with_both_places_named_their_pods_and_the_share_are_read() -> None:
    bench = Bench(moves=True)
    bench.api.endpoints["green-a"] = [("10.0.0.2", "HEALTHY")]
    bench.api.weights = {"blue": 950, "green": 50}

    values = bench.looks().values

    assert (values["old_healthy"], values["new_healthy"], values["green_ratio"]) == (1, 1, 0.05)
    assert bench.traffic.split().green_ratio == 0.05
    assert (bench.traffic.finest_ratio, bench.traffic.delay_seconds) == (0.001, 60)


def test_a_move_is_not_in_force_until_its_operation_is_done() -> None:
    bench = Bench(moves=True)
    bench.traffic.move(0.0001)
    running = bench.traffic.split()
    bench.api.operation["status"] = "DONE"

    assert bench.api.weights == {"blue": 999, "green": 1}
    assert (running.green_ratio, running.error) == (None, "operation op-1 is RUNNING")
    assert bench.traffic.split().green_ratio == 0.001


def test_an_operation_of_somebody_else_is_seen() -> None:
    bench = Bench(moves=True)
    bench.api.operation = {"name": "x", "status": "RUNNING", "targetLink": f"{ROOT}/global/urlMaps/front"}

    assert bench.traffic.split().error == "operation x is running"
    assert "green_ratio" not in bench.looks().values


def test_an_operation_that_failed_is_told_once_and_the_weights_read_back() -> None:
    bench = Bench(moves=True)
    bench.traffic.move(0.5)
    bench.api.operation |= {"status": "DONE", "error": {"errors": [{"code": "X", "message": "no"}]}}

    assert "operation op-1 failed (X: no)" in bench.traffic.split().error
    assert bench.traffic.split().green_ratio == 0.5


def test_a_change_meanwhile_is_not_overwritten() -> None:
    bench = Bench(moves=True)
    bench.looks()
    bench.api.answers["PATCH"] = Answer(412, b'{"error": {"errors": [{"reason": "conditionNotMet"}]}}')

    with pytest.raises(BalancerUnwilling, match="overtaken by another change"):
        bench.traffic.move(0.5)
    assert [one.method for one in bench.api.sent].count("PATCH") == 1


def test_what_is_set_already_is_not_sent_again() -> None:
    bench = Bench(moves=True)
    bench.traffic.move(0)

    assert "PATCH" not in {one.method for one in bench.api.sent}


def test_the_classic_load_balancer_is_refused_with_a_word() -> None:
    bench = Bench(moves=True)
    bench.api.scheme = "EXTERNAL"

    assert "is of scheme EXTERNAL, which knows no weights" in bench.looks().error
    with pytest.raises(BalancerUnwilling, match="EXTERNAL_MANAGED"):
        bench.traffic.move(0.5)
    assert "PATCH" not in {one.method for one in bench.api.sent}


def test_routes_past_the_weights_hold() -> None:
    bench = Bench(moves=True)
    stray = {"name": "m", "defaultService": f"{ROOT}/global/backendServices/blue"}
    bench.api.extra = {"pathMatchers": [stray]}
    bench.api.endpoints["green-a"] = [("10.0.0.2", "HEALTHY")]

    reading = bench.looks()

    assert "path matcher m to blue or green past the weights" in bench.traffic.split().error
    assert facts(reading) == {"split-unknown": Weight.HOLD}
    assert "green_ratio" not in reading.values


def test_a_place_that_names_one_service_twice_is_no_place_to_move() -> None:
    """Both entries would get the whole weight: 500 and twice 500 are two thirds, not a half."""
    bench = Bench(moves=True)
    link = f"{ROOT}/global/backendServices/"
    named = [{"backendService": link + name, "weight": 1} for name in ("blue", "green", "green")]
    bench.api.extra = {
        "pathMatchers": [{"name": "m", "defaultRouteAction": {"weightedBackendServices": named}}]
    }

    assert "path matcher m to blue or green past the weights" in bench.traffic.split().error


@pytest.mark.parametrize(
    ("affinity", "told"), [("NONE", {}), ("GENERATED_COOKIE", {"session-affinity": Weight.NOTE})]
)
def test_session_affinity_beside_weights_is_told(affinity: str, told: dict[str, Weight]) -> None:
    bench = Bench(moves=True)
    bench.api.endpoints["green-a"] = [("10.0.0.2", "HEALTHY")]
    bench.api.affinity = affinity

    assert facts(bench.looks()) == told


def test_the_way_back_moves_what_obeys_all_the_same() -> None:
    bench = Bench(moves=True)
    bench.api.weights = {"blue": 500, "green": 500}
    bench.api.extra = {
        "pathMatchers": [{"name": "m", "defaultService": f"{ROOT}/global/backendServices/blue"}]
    }

    bench.traffic.move(0)

    assert bench.api.weights == {"blue": 1000, "green": 0}


def test_a_url_map_without_the_two_is_refused_with_what_to_write() -> None:
    bench = Bench(moves=True)
    bench.api.extra = {"defaultRouteAction": {}}

    assert "nowhere together" in bench.traffic.split().error
    with pytest.raises(BalancerUnwilling, match="blue 1000 and green 0"):
        bench.traffic.move(0.5)


def test_it_says_how_to_move_by_hand() -> None:
    assert Bench(moves=True).traffic.by_hand(0) == (
        "gcloud compute url-maps edit front --global --project=acme"
        "  # weight 1000 for blue, 0 for green, wherever both are named"
    )
