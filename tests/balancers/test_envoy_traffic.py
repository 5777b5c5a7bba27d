"""An Envoy that moves traffic between two places: it is asked before it is trusted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.signals.fakes import FakeClock, FakeHttp, fleet, pod, ports
from upgrader.balancers.envoy import DEADLINE_SECONDS, LOOK_SECONDS, ROUTES_SECONDS, EnvoyTraffic, build
from upgrader.errors import BalancerUnwilling
from upgrader.model.backend_health import LOOKS_TO_BELIEVE
from upgrader.model.fleet import Side
from upgrader.model.plugins import Split
from upgrader.model.ports import Answer, Request
from upgrader.model.reading import Reading, Weight

ADMIN = "http://lb:9901"
BOTH = fleet(
    pod("blue-1", Side.OLD, address="10.0.0.1"), pod("green-1", Side.NEW, address="10.0.0.2", namespace="gw2")
)


def cluster(name: str, address: str, *, requests: int = 9, **health: Any) -> dict[str, Any]:
    host = {
        "address": {"socket_address": {"address": address, "port_value": 8080}},
        "stats": [{"name": "rq_total", "value": str(requests)}],
        "health_status": {"eds_health_status": "HEALTHY"} | health,
    }
    return {"name": name, "host_statuses": [host]}


BLUE, GREEN = cluster("edge", "10.0.0.1"), cluster("edge-green", "10.0.0.2")
CLUSTERS, STATS = f"{ADMIN}/clusters?", f"{ADMIN}/stats?"
RUNTIME, MODIFY = f"{ADMIN}/runtime?", f"{ADMIN}/runtime_modify?"
BOOTSTRAP, STATIC, DYNAMIC = (
    f"{ADMIN}/config_dump?{what}"
    for what in (
        "mask=bootstrap.layered_runtime",
        "resource=static_route_configs",
        "resource=dynamic_route_configs",
    )
)


def pages(**runtime: int) -> dict[str, Answer | bytes]:
    """Return the pages of an Envoy 1.40 with both places, configured 100 to 0."""
    names = ("health_check.attempt: 5", "lb_healthy_panic: 0", "upstream_rq_retry: 0")
    stats = [f"cluster.{one}.{name}\n" for one in ("edge", "edge-green") for name in names]
    clusters = [{"name": "edge", "weight": 100}, {"name": "edge-green", "weight": 0}]
    route = {"weighted_clusters": {"clusters": clusters, "runtime_key_prefix": "front"}}
    config = {"virtual_hosts": [{"routes": [{"match": {"prefix": "/"}, "route": route}]}]}
    layers = [{"name": "admin", "admin_layer": {}}]
    entries = {
        f"front.{key.replace('_', '-')}": {"final_value": str(value)} for key, value in runtime.items()
    }
    told = {
        CLUSTERS: {"cluster_statuses": [BLUE, GREEN]},
        BOOTSTRAP: {"configs": [{"bootstrap": {"layered_runtime": {"layers": layers}}}]},
        STATIC: {},
        DYNAMIC: {"configs": [{"route_config": config}]},
        RUNTIME: {"layers": ["admin"], "entries": entries},
    }
    return {
        STATS: "".join(stats).encode(),
        MODIFY: b"OK\n",
        **{url: json.dumps(page).encode() for url, page in told.items()},
    }


class Bench:
    """A balancer whose pages are in the test's hands."""

    def __init__(self) -> None:
        self.clock, self.http = FakeClock(), FakeHttp(pages())
        settings = {"admin": ADMIN, "cluster": "edge", "green": "edge-green", "split": "front"}
        made = build(settings, ports(clock=self.clock, http=self.http))
        assert isinstance(made, EnvoyTraffic)
        self.balancer = made

    def look(self) -> Reading:
        self.clock.sleep(1)
        self.http.asked.clear()
        return self.balancer.read(BOTH)

    def dumps(self) -> list[str]:
        """Look, and return which pages of configuration were asked for."""
        self.look()
        return [url for url in self.http.asked if "config_dump" in url]

    def posted(self) -> list[str]:
        return [one.url for one in self.http.sent if one.method == "POST"]


def rules(reading: Reading) -> dict[str, Weight]:
    return {fact.rule: fact.weight for fact in reading.facts}


def test_without_green_it_tells_health_only() -> None:
    made = build({"admin": ADMIN, "cluster": "edge", "green": None, "split": None}, ports())

    assert not hasattr(made, "move")


def test_both_places_are_read_off_one_page_with_the_split() -> None:
    bench = Bench()

    reading = bench.look()

    assert (reading.error, reading.facts) == ("", ())
    assert {name: reading.values[name] for name in ("old_healthy", "new_healthy", "green_ratio")} == {
        "old_healthy": 1,
        "new_healthy": 1,
        "green_ratio": 0,
    }
    assert bench.http.asked[0] == f"{CLUSTERS}format=json&filter=%5E%28%3F%3Aedge%7Cedge%5C-green%29%24"


def test_an_empty_green_place_that_was_never_checked_is_nothing_to_be_told() -> None:
    """Before the second installation there is nobody to check."""
    bench = Bench()
    empty = {"name": "edge-green"}
    bench.http.pages[CLUSTERS] = json.dumps({"cluster_statuses": [BLUE, empty]}).encode()
    stats = bench.http.pages[STATS]
    assert isinstance(stats, bytes)
    bench.http.pages[STATS] = stats.replace(
        b"edge-green.health_check.attempt: 5", b"edge-green.membership: 0"
    )

    reading = bench.balancer.read(fleet(BOTH.pods[0]))

    assert (reading.values["old_healthy"], reading.facts) == (1, ())


def test_requests_of_each_side_are_counted_in_its_own_cluster() -> None:
    bench = Bench()
    bench.look()
    grown = [cluster("edge", "10.0.0.1", requests=29), cluster("edge-green", "10.0.0.2", requests=14)]
    bench.http.pages[CLUSTERS] = json.dumps({"cluster_statuses": grown}).encode()

    values = bench.look().values

    assert (values["old_requests"], values["new_requests"]) == (20, 5)


@pytest.mark.parametrize("without", ["edge", "edge-green"])
def test_a_cluster_that_is_missing_is_an_error(without: str) -> None:
    bench = Bench()
    left = [one for one in (BLUE, GREEN) if one["name"] != without]
    bench.http.pages[CLUSTERS] = json.dumps({"cluster_statuses": left}).encode()

    assert bench.look().error == f"no cluster {without} on its page"


def test_both_weights_are_set_in_one_call() -> None:
    bench = Bench()

    bench.balancer.move(0.001)

    assert bench.posted() == [f"{MODIFY}front.edge=9990&front.edge-green=10"]


def test_an_operator_can_do_the_same_by_hand() -> None:
    """The query holds a character that means something to a shell."""
    command = Bench().balancer.by_hand(0)

    assert command.endswith(f"--request POST '{MODIFY}front.edge=10000&front.edge-green=0'")


def test_what_is_in_force_is_read_back() -> None:
    bench = Bench()
    bench.balancer.move(0.25)
    bench.http.pages |= pages(edge=7_500, edge_green=2_500)

    assert bench.balancer.split() == Split(0.25)


def test_that_a_restart_would_change_the_split_is_noted() -> None:
    bench = Bench()
    bench.http.pages |= pages(edge=0, edge_green=10_000)

    reading = bench.look()

    assert reading.values["green_ratio"] == 1
    assert rules(reading) == {"split-not-lasting": Weight.NOTE}
    assert reading.facts[0].text.endswith("its configured weights: green 0.00%")


def test_a_prefix_that_no_route_obeys_is_refused_before_anything_is_sent() -> None:
    bench = Bench()
    bench.http.pages[DYNAMIC] = b"{}"

    with pytest.raises(BalancerUnwilling, match="no route of it parts traffic") as refused:
        bench.balancer.move(0.25)

    assert "runtime_key_prefix: front" in refused.value.remedy
    assert bench.balancer.split().green_ratio is None
    assert bench.posted() == []


def test_an_envoy_whose_keys_cannot_be_set_says_so_before_the_first_move() -> None:
    bench = Bench()
    bench.http.pages[BOOTSTRAP] = b'{"configs": [{"bootstrap": {}}]}'

    assert bench.balancer.split().error.startswith("its runtime keys cannot be set; add an admin_layer")


def test_routes_are_proven_once_and_then_now_and_then() -> None:
    bench = Bench()

    first, second = bench.dumps(), bench.dumps()
    bench.clock.sleep(ROUTES_SECONDS)
    later = bench.dumps()

    assert [first, second, later] == [[BOOTSTRAP, STATIC, DYNAMIC], [], [BOOTSTRAP, STATIC, DYNAMIC]]


def test_a_page_of_routes_that_fails_later_leaves_what_was_proven() -> None:
    bench = Bench()
    bench.look()
    bench.http.pages[DYNAMIC] = Answer(0, error="no answer within 0.9 s")
    bench.clock.sleep(ROUTES_SECONDS)

    assert bench.look().values["green_ratio"] == 0


def test_routes_that_change_later_are_noticed() -> None:
    bench = Bench()
    bench.look()
    bench.http.pages[DYNAMIC] = b"{}"
    bench.clock.sleep(ROUTES_SECONDS)

    assert "green_ratio" not in bench.look().values


@pytest.mark.parametrize(
    ("url", "page", "words"),
    [
        (RUNTIME, Answer(0, error="no answer within 0.4 s"), "no answer within 0.4 s"),
        (RUNTIME, Answer(403, b"request to path /runtime not allowed"), "HTTP 403: request to path /runtime"),
        (RUNTIME, b"<html>", "no runtime on its page"),
        (STATIC, Answer(0, error="refused"), "its routes are not known: refused"),
        (DYNAMIC, b"<html>", "its routes are not known: no routes on its page"),
        (BOOTSTRAP, Answer(400, b"FieldMask"), "its routes are not known: HTTP 400: FieldMask"),
    ],
)
def test_a_split_that_cannot_be_read_is_never_a_value_and_holds_when_it_lasts(
    url: str, page: Answer | bytes, words: str
) -> None:
    bench = Bench()
    bench.http.pages[url] = page

    split = bench.balancer.split()
    readings = [bench.look() for _ in range(LOOKS_TO_BELIEVE)]

    assert split.green_ratio is None
    assert words in split.error
    assert all("green_ratio" not in reading.values and not reading.error for reading in readings)
    assert [rules(reading) for reading in readings] == [{}, {}, {"split-unknown": Weight.HOLD}]
    assert words in readings[-1].facts[0].text


def test_the_way_back_does_not_hang_on_the_page_of_routes() -> None:
    bench = Bench()
    bench.http.pages[DYNAMIC] = Answer(0, error="no answer within 0.9 s")

    bench.balancer.move(0)

    assert bench.posted() == [f"{MODIFY}front.edge=10000&front.edge-green=0"]


def test_the_way_back_does_not_hang_on_a_route_that_somebody_added() -> None:
    """The split is not known any more; what obeys still goes back."""
    bench = Bench()
    past = {"match": {"prefix": "/new"}, "route": {"cluster": "edge-green"}}
    bench.http.pages[STATIC] = json.dumps({"configs": [{"route_config": {"routes": [past]}}]}).encode()

    bench.balancer.move(0)

    assert "past the split" in bench.balancer.split().error
    assert bench.posted() == [f"{MODIFY}front.edge=10000&front.edge-green=0"]


@pytest.mark.parametrize(
    ("answer", "words", "remedy"),
    [
        (Answer(503, b"No admin layer specified"), "HTTP 503: No admin layer", "add an admin_layer"),
        (Answer(403, b"request to path not allowed"), "HTTP 403: request to path", "admin.allow_paths"),
        (Answer(405), "HTTP 405", "POST /runtime_modify"),
        (Answer(0, error="no answer within 0.4 s"), "no answer within 0.4 s", "in force all the same"),
        (Answer(429, b"slow down"), "HTTP 429: slow down", ""),
    ],
)
def test_a_move_that_is_not_taken_says_why_and_is_not_tried_again(
    answer: Answer, words: str, remedy: str
) -> None:
    bench = Bench()
    bench.http.pages[MODIFY] = answer

    with pytest.raises(BalancerUnwilling, match=words) as refused:
        bench.balancer.move(0.5)

    assert remedy in refused.value.remedy
    assert len(bench.posted()) == 1


class SlowHttp(FakeHttp):
    """Every page takes all the time that it is given."""

    clock: FakeClock

    def send(self, request: Request, *, deadline_seconds: float) -> Answer:
        self.clock.sleep(deadline_seconds)
        return super().send(request, deadline_seconds=deadline_seconds)


def test_a_look_at_slow_pages_is_over_within_its_second() -> None:
    """What there is no time for is not asked, and is not known."""
    http = SlowHttp(pages())
    http.clock = FakeClock()
    settings = {"admin": ADMIN, "cluster": "edge", "green": "edge-green", "split": "front"}
    balancer = build(settings, ports(clock=http.clock, http=http))
    began = http.clock.time

    reading = balancer.read(BOTH)

    assert http.clock.time - began == pytest.approx(LOOK_SECONDS)
    assert reading.values["new_healthy"] == 1
    assert "green_ratio" not in reading.values
    assert len(http.asked) == LOOK_SECONDS // DEADLINE_SECONDS + 1
