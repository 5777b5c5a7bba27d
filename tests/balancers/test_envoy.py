from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.signals.fakes import FakeClock, FakeHttp, fleet, pod, ports
from upgrader.balancers.envoy import build
from upgrader.model.backend_health import LOOKS_TO_BELIEVE
from upgrader.model.fleet import Fleet, Side
from upgrader.model.ports import Answer
from upgrader.model.reading import Reading, Weight

OLD, NEW = pod("old-1", address="10.0.0.1"), pod("new-1", Side.NEW, address="10.0.0.2")
BOTH = fleet(OLD, NEW)
ADMIN = "http://lb:9901"


def host(address: str, *, requests: int = 9, **said: Any) -> dict[str, Any]:
    """Return a backend as Envoy 1.40 prints it: zeros have no value, values are texts, marks are left out."""
    stats = {
        "rq_total": requests,
        "rq_error": said.pop("errors", 0),
        "cx_connect_fail": said.pop("refused", 0),
    }
    return {
        "address": {"socket_address": {"address": address, "port_value": 8080}},
        "stats": [{"name": name} | ({"value": str(value)} if value else {}) for name, value in stats.items()],
        "health_status": {"eds_health_status": "HEALTHY"} | said,
        "weight": 1,
    }


class Bench:
    """A balancer whose pages are in the test's hands; a second passes before each look."""

    def __init__(self, settle: float = 0) -> None:
        self.clock, self.http = FakeClock(), FakeHttp()
        settings = {"admin": f"{ADMIN}/", "cluster": "gateways", "settle": timedelta(seconds=settle)}
        self.balancer = build(settings, ports(clock=self.clock, http=self.http))

    def look(
        self, seen: Fleet, *hosts: dict[str, Any], checks: int = 5, retries: int = 0, panic: int = 0
    ) -> Reading:
        self.clock.sleep(1)
        page = {"cluster_statuses": [{"name": "gateways", "host_statuses": list(hosts)}]}
        prefix = "cluster.gateways."
        stats = (
            f"{prefix}health_check.attempt: {checks}\n{prefix}lb_healthy_panic: {panic}\n"
            f"{prefix}upstream_rq_retry: {retries}\n"
        )
        self.http.pages = {
            f"{ADMIN}/clusters?format=json": json.dumps(page).encode(),
            f"{ADMIN}/stats?": stats.encode(),
        }
        return self.balancer.read(seen)

    def looks(self, times: int, seen: Fleet, *hosts: dict[str, Any], **more: int) -> Reading:
        for _ in range(times - 1):
            self.look(seen, *hosts, **more)
        return self.look(seen, *hosts, **more)


def facts(reading: Reading) -> dict[str, Weight]:
    return {fact.rule: fact.weight for fact in reading.facts}


def healthy(reading: Reading) -> tuple[float, float, float]:
    return tuple(reading.values[name] for name in ("old_healthy", "new_healthy", "new_total"))  # type: ignore[return-value]


def test_backends_are_told_old_from_new_by_their_ip() -> None:
    reading = Bench().look(BOTH, host("10.0.0.1"), host("10.0.0.2"))

    assert healthy(reading) == (1, 1, 1)
    assert (reading.error, reading.facts) == ("", ())
    assert reading.source == "http://lb:9901/clusters"


@pytest.mark.parametrize(
    "mark",
    [
        {"failed_active_health_check": True},
        {"failed_outlier_check": True},
        {"pending_active_hc": True},
        {"pending_dynamic_removal": True},
        {"excluded_via_immediate_hc_fail": True},
        {"eds_health_status": "DRAINING"},
        {"eds_health_status": "DEGRADED"},
        {"a_mark_of_a_later_envoy": True},
    ],
    ids=str,
)
def test_a_marked_backend_is_not_healthy(mark: dict[str, Any]) -> None:
    assert healthy(Bench().look(BOTH, host("10.0.0.1"), host("10.0.0.2", **mark))) == (1, 0, 1)


def test_a_pod_that_is_not_listed_is_not_healthy() -> None:
    assert healthy(Bench().look(BOTH, host("10.0.0.1"))) == (1, 0, 1)


def test_one_bad_port_of_a_pod_is_enough() -> None:
    bad = host("10.0.0.2", failed_active_health_check=True)

    assert healthy(Bench().look(BOTH, host("10.0.0.1"), host("10.0.0.2"), bad)) == (1, 0, 1)


def test_a_backend_that_refuses_connections_is_not_healthy_whatever_its_mark_says() -> None:
    bench = Bench()
    bench.look(BOTH, host("10.0.0.1"), host("10.0.0.2"))

    assert healthy(bench.look(BOTH, host("10.0.0.1"), host("10.0.0.2", refused=1))) == (1, 0, 1)


def test_without_an_active_check_a_backend_is_healthy_once_it_answered() -> None:
    bench = Bench()
    silent = host("10.0.0.2", requests=0)

    reading = bench.looks(LOOKS_TO_BELIEVE, BOTH, host("10.0.0.1"), silent, checks=0)
    answered = bench.look(BOTH, host("10.0.0.1"), host("10.0.0.2"), checks=0)

    assert healthy(reading) == (1, 0, 1)
    assert facts(reading) == {"no-active-check": Weight.NOTE}
    assert healthy(answered) == (1, 1, 1)


FAILING = host("10.0.0.2", failed_active_health_check=True)


def test_no_healthy_new_backend_is_a_breach_after_its_time_while_old_ones_are_healthy() -> None:
    bench = Bench(settle=30)

    early = bench.looks(32, BOTH, host("10.0.0.1"), FAILING)
    late = bench.look(BOTH, host("10.0.0.1"), FAILING)

    assert facts(early) == {}
    assert facts(late) == {"no-healthy-new-backend": Weight.BREACH}
    assert "new-1 (10.0.0.2) is failing there" in late.facts[0].text


def test_a_pod_never_attached_is_a_breach_too() -> None:
    reading = Bench().looks(LOOKS_TO_BELIEVE, BOTH, host("10.0.0.1"))

    assert facts(reading) == {"no-healthy-new-backend": Weight.BREACH}
    assert "is absent there" in reading.facts[0].text


def test_one_healthy_new_backend_is_enough_for_the_fact() -> None:
    pods = fleet(OLD, NEW, pod("new-2", Side.NEW, address="10.0.0.3"))

    reading = Bench().looks(9, pods, host("10.0.0.1"), FAILING, host("10.0.0.3"))

    assert facts(reading) == {}
    assert healthy(reading) == (1, 1, 2)


def test_a_pod_that_turns_ready_late_gets_its_own_time() -> None:
    bench, starting = Bench(settle=30), replace(NEW, ready=False)
    bench.looks(60, fleet(OLD, starting), host("10.0.0.1"))

    assert facts(bench.looks(10, BOTH, host("10.0.0.1"), FAILING)) == {}


def test_a_single_failed_check_is_no_fact() -> None:
    bench = Bench()
    bench.look(BOTH, host("10.0.0.1"), FAILING)
    bench.look(BOTH, host("10.0.0.1"), host("10.0.0.2"))

    assert facts(bench.looks(LOOKS_TO_BELIEVE - 1, BOTH, host("10.0.0.1"), FAILING)) == {}


def test_where_no_old_backend_is_healthy_either_nobody_is_blamed() -> None:
    down = host("10.0.0.1", failed_active_health_check=True)

    reading = Bench().looks(LOOKS_TO_BELIEVE, BOTH, down, FAILING)

    assert facts(reading) == {"no-healthy-backend": Weight.HOLD}


def test_pods_of_workloads_that_are_no_backends_are_not_counted() -> None:
    pods = fleet(OLD, NEW, pod("gloo-new", Side.NEW, workload="gloo", address="10.0.0.9"))

    assert healthy(Bench().look(pods, host("10.0.0.1"), host("10.0.0.2"))) == (1, 1, 1)


def test_panic_holds_and_makes_nobody_healthy() -> None:
    bench = Bench()
    bench.look(BOTH, host("10.0.0.1"), FAILING)

    reading = bench.look(BOTH, host("10.0.0.1"), FAILING, panic=7)

    assert facts(reading) == {"balancer-panic": Weight.HOLD}
    assert healthy(reading) == (1, 0, 1)


def test_a_retry_is_noted_and_lasting_retries_hold() -> None:
    bench, hosts = Bench(), (host("10.0.0.1"), host("10.0.0.2"))
    weights = [
        [fact.weight for fact in bench.look(BOTH, *hosts, retries=count).facts] for count in (5, 6, 7, 8, 8)
    ]

    assert weights == [[], [Weight.NOTE], [Weight.NOTE], [Weight.HOLD], []]


def test_errors_as_the_balancer_counts_them_are_told_by_side() -> None:
    bench = Bench()
    bench.look(BOTH, host("10.0.0.1", requests=100), host("10.0.0.2", requests=10))

    values = bench.look(BOTH, host("10.0.0.1", requests=190), host("10.0.0.2", requests=20, errors=4)).values

    assert (values["old_requests"], values["old_errors"]) == (90, 0)
    assert (values["new_requests"], values["new_errors"]) == (10, 4)


def test_a_balancer_that_does_not_answer_is_an_error() -> None:
    bench = Bench()
    bench.http.pages = {ADMIN: Answer(0, error="no answer within 0.4 s")}

    reading = bench.balancer.read(BOTH)

    assert reading.error == "no answer within 0.4 s"
    assert (reading.data_time, dict(reading.values)) == (None, {})


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Answer(503, b""), "HTTP 503"),
        (Answer(200, b"<html>"), "no cluster gateways on its page"),
        (Answer(200, b'{"cluster_statuses": [{"name": "other"}]}'), "no cluster gateways on its page"),
    ],
)
def test_a_page_without_the_cluster_is_an_error(page: Answer, words: str) -> None:
    bench = Bench()
    bench.http.pages = {ADMIN: page}

    assert bench.balancer.read(BOTH).error == words


def test_a_cluster_of_which_no_backend_is_ours_is_an_error() -> None:
    assert "none of its 1 backends" in Bench().look(BOTH, host("10.9.9.9")).error


def test_the_cluster_is_asked_for_exactly() -> None:
    bench = Bench()
    bench.http.pages = {ADMIN: Answer(500)}

    bench.balancer.read(BOTH)

    assert bench.http.asked == [f"{ADMIN}/clusters?format=json&filter=%5Egateways%24"]


def test_a_new_backend_that_was_sent_no_request_is_waited_for() -> None:
    """By its own counters, from when it is first listed."""
    bench = Bench()
    bench.look(BOTH, host("10.0.0.1", requests=9))

    silent = bench.look(BOTH, host("10.0.0.1", requests=19), host("10.0.0.2", requests=0))
    served = bench.look(BOTH, host("10.0.0.1", requests=29), host("10.0.0.2", requests=1))

    assert facts(silent) == {"no-traffic-yet": Weight.WAIT}
    assert silent.facts[0].text == "envoy gateways: no traffic yet on 1 of 1 new pods: new-1"
    assert facts(served) == {}


def test_a_pod_that_ended_and_is_still_healthy_there_holds() -> None:
    bench, alone = Bench(), fleet(NEW)
    pages = (host("10.0.0.1"), host("10.0.0.2", requests=9))
    bench.look(BOTH, *pages)

    early = bench.looks(2, alone, *pages)
    late = bench.look(alone, host("10.0.0.2"))

    assert facts(early) == {"ended-before-let-go": Weight.HOLD, "not-let-go": Weight.WAIT}
    assert facts(late) == {"ended-before-let-go": Weight.HOLD}
    assert late.values["drain_slack_seconds"] == -3
