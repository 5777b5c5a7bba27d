from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from tests.balancers.route_kube import RouteKube, ports_with, route
from tests.signals.fakes import FakeClock, fleet
from upgrader.balancers.gateway_api import API, build, doubt
from upgrader.errors import BalancerUnwilling, ClusterUnreachable, Refused
from upgrader.model.balancing_routes import GatewayApiBalancer
from upgrader.model.plugins import Split
from upgrader.model.ports import Manifest, Ref
from upgrader.model.reading import Weight
from upgrader.model.routed_traffic import RoutedTraffic

ENTRY = {
    "kind": "gateway_api",
    "namespace": "edge",
    "name": "api",
    "backend": {"name": "proxy", "namespace": "gw-blue", "port": 80},
    "green": {"name": "proxy", "namespace": "gw-green", "port": 80},
}


def ref(color: str, weight: int | None, **more: Any) -> dict[str, Any]:
    """Return a backendRef as the API server serves it: defaults filled in."""
    shown = {"group": "", "kind": "Service", "name": "proxy", "namespace": f"gw-{color}", "port": 80} | more
    return shown if weight is None else shown | {"weight": weight}


def accepted(
    *, generation: int = 3, who: str = "example.net/controller", **conditions: str
) -> dict[str, Any]:
    """Return one parent's word, as controllers write it."""
    said = {"Accepted": "True", "ResolvedRefs": "True"} | conditions
    rows = [
        {"type": name, "status": status, "observedGeneration": generation, "reason": "Why", "message": "so"}
        for name, status in said.items()
    ]
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "front"}
    return {"parentRef": parent, "controllerName": who, "conditions": rows}


def http_route(*rules: list[dict[str, Any]], parents: Any = None, **metadata: Any) -> Manifest:
    spec = {"parentRefs": [{"name": "front"}], "rules": [{"backendRefs": refs} for refs in rules]}
    status = {"parents": [accepted()] if parents is None else parents}
    return route(API, "HTTPRoute", spec, **metadata) | {"status": status}


def balancer(kube: RouteKube, clock: FakeClock | None = None, **keys: Any) -> RoutedTraffic:
    return build(GatewayApiBalancer.model_validate(ENTRY | keys).settings, ports_with(kube, clock))


PARTED = [ref("blue", 90), ref("green", 10)]


def test_the_split_is_green_s_part_of_the_weights() -> None:
    assert balancer(RouteKube(http_route(PARTED))).split() == Split(0.1)


def test_an_absent_weight_is_one_as_the_api_says() -> None:
    assert balancer(RouteKube(http_route([ref("blue", None), ref("green", 3)]))).split() == Split(0.75)


def test_all_rules_that_hold_both_places_are_moved_in_one_write() -> None:
    alone = [ref("blue", 5)]
    kube = RouteKube(http_route(PARTED, alone, [ref("green", 0), ref("blue", 1), ref("red", 0)]))

    balancer(kube).move(0.05)

    assert len(kube.patches) == 1
    assert kube.route is not None
    weights = [[one.get("weight") for one in rule["backendRefs"]] for rule in kube.route["spec"]["rules"]]
    assert weights == [[950, 50], [5], [50, 950, 0]]


@pytest.mark.parametrize(
    ("asked", "written"),
    [(0, 0), (1, 1000), (0.5, 500), (0.001, 1), (0.0001, 1), (0.9999, 999)],
)
def test_a_share_is_rounded_but_never_to_all_or_nothing(asked: float, written: int) -> None:
    kube = RouteKube(http_route(PARTED))

    balancer(kube).move(asked)

    assert kube.patches[0][1:] == [
        {"op": "add", "path": "/spec/rules/0/backendRefs/0/weight", "value": 1000 - written},
        {"op": "add", "path": "/spec/rules/0/backendRefs/1/weight", "value": written},
    ]


def test_the_finest_share_is_one_part_of_the_total() -> None:
    made = balancer(RouteKube(http_route(PARTED)), total=10_000, delay="3s")

    assert (made.finest_ratio, made.delay_seconds, made.name) == (0.0001, 3.0, "gateway_api api")


def test_a_moved_route_counts_only_when_its_status_is_of_that_generation() -> None:
    kube = RouteKube(http_route(PARTED))
    moved = balancer(kube)
    moved.move(0.5)

    before = moved.split()
    assert kube.route is not None
    kube.route["status"] = {"parents": [accepted(generation=4)]}

    assert before.green_ratio is None
    assert "has not said Accepted of generation 4 yet (last of 3)" in before.error
    assert moved.split() == Split(0.5)


@pytest.mark.parametrize(
    ("parents", "words"),
    [
        ([], "no controller has answered for its parent front"),
        ([accepted(Accepted="False")], "example.net/controller of front says Accepted is False: Why: so"),
        ([accepted(ResolvedRefs="False")], "says ResolvedRefs is False: Why: so"),
        ([accepted(ResolvedRefs="Unknown")], "says ResolvedRefs is Unknown"),
        ([accepted(Programmed="False")], "says Programmed is False: Why: so"),
        ([accepted(PartiallyInvalid="True")], "takes only a part of it: Why: so"),
        (
            [accepted(), accepted(who="other.net/controller", Accepted="False")],
            "other.net/controller of front",
        ),
        ([accepted() | {"conditions": []}], "has not said Accepted"),
        (
            [accepted() | {"parentRef": {"name": "front", "sectionName": "https"}}],
            "no controller has answered",
        ),
    ],
)
def test_a_route_that_is_not_accepted_whole_is_doubted(parents: list[dict[str, Any]], words: str) -> None:
    said = balancer(RouteKube(http_route(PARTED, parents=parents))).split()

    assert said.green_ratio is None
    assert words in said.error


def test_the_word_for_a_parent_that_was_taken_out_is_not_asked_for() -> None:
    gone = accepted(Accepted="False") | {"parentRef": {"name": "gone"}}

    assert doubt(http_route(PARTED, parents=[gone, accepted()])) == ""


def test_a_route_without_a_parent_is_doubted() -> None:
    lost = http_route(PARTED)
    del lost["spec"]["parentRefs"]

    assert "no parent" in doubt(lost)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([], "no rule of HTTPRoute edge/api holds both backends"),
        ([[ref("blue", 1)], [ref("green", 1)]], "no rule of HTTPRoute edge/api holds both backends"),
        ([[ref("blue", 1, kind="Mesh"), ref("green", 1)]], "no rule"),
        ([[ref("blue", 1, port=81), ref("green", 1)]], "no rule"),
        ([PARTED, [ref("blue", 1), ref("green", 1)]], "10.0000% of rules[0], but 50.0000% of rules[1]"),
        ([[ref("blue", 0), ref("green", 0)]], "its requests go nowhere"),
        ([[*PARTED, ref("red", 5)]], "rules[0] of HTTPRoute edge/api gives a third backend a share too"),
        ([[*PARTED, ref("blue", 5)]], "rules[0] of HTTPRoute edge/api names the blue backend more than once"),
    ],
)
def test_a_route_that_parts_nothing_clearly_has_no_split(
    rules: list[list[dict[str, Any]]], words: str
) -> None:
    said = balancer(RouteKube(http_route(*rules))).split()

    assert said.green_ratio is None
    assert words in said.error


@pytest.mark.parametrize(
    "rules", [[], [[*PARTED, ref("red", 5)]], [[*PARTED, ref("green", 0)]]], ids=["none", "third", "twice"]
)
def test_a_route_that_cannot_be_moved_is_refused_and_not_written(rules: list[list[dict[str, Any]]]) -> None:
    kube = RouteKube(http_route(*rules))

    with pytest.raises(BalancerUnwilling) as refused:
        balancer(kube).move(0.5)

    assert refused.value.remedy
    assert kube.patches == []


@pytest.mark.parametrize(
    ("refs", "weights"),
    [
        ([*PARTED, ref("red", 5)], [100, 0, 5]),
        ([*PARTED, ref("red", 0)], [1000, 0, 0]),
        ([*PARTED, ref("blue", 3), ref("green", 3)], [1000, 0, 0, 0]),
    ],
    ids=["third", "third without a share", "twice"],
)
def test_the_way_back_is_open_whatever_was_done_to_a_rule(
    refs: list[dict[str, Any]], weights: list[int]
) -> None:
    kube = RouteKube(http_route(refs))

    balancer(kube).move(0)

    assert kube.route is not None
    assert [one["weight"] for one in kube.route["spec"]["rules"][0]["backendRefs"]] == weights


def test_rules_that_disagree_are_moved_to_agree() -> None:
    kube = RouteKube(http_route(PARTED, [ref("blue", 1), ref("green", 1)]))
    moved = balancer(kube)

    moved.move(0)
    assert kube.route is not None
    kube.route["status"] = {"parents": [accepted(generation=4)]}

    assert moved.split() == Split(0.0)


def test_a_change_by_another_is_never_lost() -> None:
    kube = RouteKube(http_route(PARTED), meanwhile=True)

    with pytest.raises(BalancerUnwilling, match="changed by somebody else meanwhile"):
        balancer(kube).move(0.5)

    assert kube.route is not None
    assert kube.route["spec"]["rules"][0]["backendRefs"] == PARTED


@pytest.mark.parametrize(
    "fails",
    [
        ClusterUnreachable("the API server answered GET … with 429: too many requests"),
        Refused("not allowed to get httproutes api", remedy="grant 'get' on httproutes"),
    ],
    ids=["throttled", "forbidden"],
)
def test_a_call_that_fails_says_why(fails: ClusterUnreachable | Refused) -> None:
    made = balancer(RouteKube(http_route(PARTED), fails=fails))

    said = made.split()
    with pytest.raises(BalancerUnwilling) as unwilling:
        made.move(0.5)

    assert said.green_ratio is None
    assert fails.what in said.error
    assert (unwilling.value.what, unwilling.value.remedy) == (fails.what, fails.remedy)


def test_an_object_that_is_not_there_is_an_error_with_a_remedy() -> None:
    made = balancer(RouteKube(None))

    said = made.split()
    reading = made.read(fleet())

    assert said.green_ratio is None
    assert "there is no HTTPRoute edge/api of gateway.networking.k8s.io/v1; correct namespace" in said.error
    assert "there is no HTTPRoute edge/api" in reading.error


def test_a_grpc_route_is_moved_the_same_way() -> None:
    kube = RouteKube(http_route(PARTED) | {"kind": "GRPCRoute"})

    balancer(kube, object="GRPCRoute").move(1)

    assert [one["value"] for one in kube.patches[0]] == ["7", 0, 1000]


MISSING = [accepted(ResolvedRefs="False")]
GREEN = Ref("v1", "Service", "gw-green", "proxy")


def test_a_backend_that_gets_nothing_may_be_absent() -> None:
    """Before the first canary the other place is empty, and the controller says so."""
    kube = RouteKube(http_route([ref("blue", 1), ref("green", 0)], parents=MISSING), absent=(GREEN,))
    made = balancer(kube)

    reading = made.read(fleet())

    assert made.split() == Split(0.0)
    assert dict(reading.values) == {"green_ratio": 0.0}
    assert [(fact.rule, fact.weight) for fact in reading.facts] == [("backend-unresolved", Weight.NOTE)]


@pytest.mark.parametrize(
    ("weights", "absent"), [((1, 0), ()), ((0, 1), (GREEN,)), ((1, 1), (GREEN,))], ids=str
)
def test_any_other_backend_that_is_not_found_is_a_doubt(
    weights: tuple[int, int], absent: tuple[Ref, ...]
) -> None:
    blue, green = weights
    held = http_route([ref("blue", blue), ref("green", green)], parents=MISSING)

    assert balancer(RouteKube(held, absent=absent)).split().green_ratio is None


def test_nothing_is_moved_to_a_backend_that_is_not_there_but_all_is_moved_away_from_it() -> None:
    kube = RouteKube(http_route([ref("blue", 1), ref("green", 0)]), absent=(GREEN,))
    gone = RouteKube(http_route([ref("blue", 0), ref("green", 1)]), absent=(GREEN,))

    balancer(gone).move(0)
    with pytest.raises(BalancerUnwilling, match="there is no Service gw-green/proxy, to which HTTPRoute"):
        balancer(kube).move(0.5)

    assert kube.patches == []
    assert len(gone.patches) == 1


def test_the_way_by_hand_is_one_command() -> None:
    made = balancer(RouteKube(http_route(PARTED)))

    command = shlex.split(made.by_hand(0.0))

    assert command[:5] == ["kubectl", "-n", "edge", "patch", "httproute.gateway.networking.k8s.io"]
    assert command[5:8] == ["api", "--type=json", "-p"]
    assert [one for one in json.loads(command[8]) if one["op"] != "test"] == [
        {"op": "add", "path": "/spec/rules/0/backendRefs/0/weight", "value": 1000},
        {"op": "add", "path": "/spec/rules/0/backendRefs/1/weight", "value": 0},
    ]


def test_the_command_of_a_plan_changes_nothing_where_the_rules_moved_since() -> None:
    """Its paths count rules: put before another rule it would set weights that are not ours."""
    made = balancer(RouteKube(http_route(PARTED)))

    told = json.loads(shlex.split(made.by_hand(0.0))[8])

    tests = [one for one in told if one["op"] == "test"]
    assert told[: len(tests)] == tests
    assert tests == [
        {"op": "test", "path": f"/spec/rules/0/backendRefs/{index}/{key}", "value": value}
        for index, namespace in ((0, "gw-blue"), (1, "gw-green"))
        for key, value in (("name", "proxy"), ("namespace", namespace))
    ]


def test_the_way_by_hand_is_a_sentence_where_the_object_cannot_be_read() -> None:
    said = balancer(RouteKube(None)).by_hand(0.0)

    assert said.startswith("set the weights in HTTPRoute edge/api, which cannot be read now: there is no")


def test_a_route_on_its_way_out_has_no_split() -> None:
    gone = http_route(PARTED, deletionTimestamp="2026-11-24T08:00:00Z")

    assert "is being deleted" in balancer(RouteKube(gone)).split().error


def test_a_reading_tells_the_split_and_claims_no_health() -> None:
    clock, kube = FakeClock(), RouteKube(http_route(PARTED))
    made = balancer(kube, clock)

    reading = made.read(fleet())

    assert not made.speaks_of_backends
    assert dict(reading.values) == {"green_ratio": 0.1}
    assert (reading.error, reading.facts, reading.data_time) == ("", (), clock.now())
    assert kube.watched == [([(API, "HTTPRoute")], "edge")]


def test_a_copy_that_is_out_of_date_is_no_reading() -> None:
    kube = RouteKube(http_route(PARTED))
    made = balancer(kube)
    made.read(fleet())
    assert kube.watcher is not None

    kube.watcher.age, kube.watcher.problem = 60.0, "the API server does not answer"
    reading = made.read(fleet())
    made.close()

    assert (reading.error, dict(reading.values)) == ("the API server does not answer", {})
    assert reading.data_time is None
    assert kube.watcher.closed
    assert len(kube.watched) == 1


def test_a_split_that_stays_unknown_holds_after_the_delay() -> None:
    clock, kube = FakeClock(), RouteKube(http_route(PARTED, parents=[]))
    made = balancer(kube, clock, delay="5s")

    facts = []
    for _ in range(7):
        facts.append([(fact.rule, fact.weight) for fact in made.read(fleet()).facts])
        clock.sleep(1)

    assert facts == [[]] * 5 + [[("split-unknown", Weight.HOLD)]] * 2


def test_a_split_known_again_in_between_begins_anew() -> None:
    clock, kube = FakeClock(), RouteKube(http_route(PARTED, parents=[]))
    made = balancer(kube, clock)
    made.read(fleet())
    clock.sleep(60)
    kube.route = http_route(PARTED)
    made.read(fleet())

    kube.route = http_route(PARTED, parents=[])

    assert made.read(fleet()).facts == ()


def test_rules_with_one_place_only_are_told() -> None:
    reading = balancer(RouteKube(http_route(PARTED, [ref("blue", 1)], [ref("red", 1)]))).read(fleet())

    assert [(fact.rule, fact.weight) for fact in reading.facts] == [("traffic-not-moved", Weight.NOTE)]
    assert "rules[1] (blue only)" in reading.facts[0].text
    assert "rules[2]" not in reading.facts[0].text


def test_another_route_that_sends_to_a_place_is_told() -> None:
    kube = RouteKube(http_route(PARTED))
    kube.beside = (http_route([ref("blue", 1)], name="shop"), http_route([ref("red", 1)], name="other"))

    reading = balancer(kube).read(fleet())

    assert [(fact.rule, fact.weight) for fact in reading.facts] == [("traffic-not-moved", Weight.NOTE)]
    assert "HTTPRoute edge/shop" in reading.facts[0].text
    assert "other" not in reading.facts[0].text


def test_sessions_that_outlive_a_weight_of_0_are_told() -> None:
    kube = RouteKube(http_route(PARTED, [ref("red", 1)]))
    assert kube.route is not None
    for rule in kube.route["spec"]["rules"]:
        rule["sessionPersistence"] = {"type": "Cookie"}

    reading = balancer(kube).read(fleet())

    assert [(fact.rule, fact.weight) for fact in reading.facts] == [("session-affinity", Weight.NOTE)]
    assert "rules[0]" in reading.facts[0].text
    assert "rules[1]" not in reading.facts[0].text


@pytest.mark.parametrize(
    ("manager", "is_told"),
    [("argocd-controller", True), ("helm", True), ("upgrader", False), ("kubectl-edit", False)],
)
def test_who_else_writes_the_rules_is_told(manager: str, is_told: bool) -> None:
    fields = [
        {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {"f:rules": {}}}},
        {"manager": "traefik", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
        {"manager": "labeller", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {}}}},
    ]

    reading = balancer(RouteKube(http_route(PARTED, managedFields=fields))).read(fleet())

    told = [fact.text for fact in reading.facts if fact.rule == "weights-owned"]
    assert bool(told) is is_told
    assert all(text.startswith(f"{manager} wrote the rules of HTTPRoute edge/api") for text in told)
