"""The demo's data plane: what is lost, who sees it, and that each drill's fault is what it says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.dataplane import KEY, NEW, OLD, Plane, get, wait_for
from upgrader.lab.programs.upstream import set_errors

pytestmark = pytest.mark.envoy


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    it = Plane(tmp_path)
    try:
        it.open()
        for _ in range(3):
            it.start_gateway(OLD)
        it.list_gateways()
        it.wait_until_healthy(3)
        yield it
    finally:
        it.close()


def replace_all(plane: Plane, *, drained: bool) -> None:
    """Replace each gateway, surge 1; the balancer learns that one leaves by its health check alone."""
    for old in list(plane.gateways):
        plane.start_gateway(NEW)
        plane.list_gateways()
        plane.wait_until_healthy(4)
        if drained:
            old.drain()
        else:
            old.end()
        plane.wait_until_healthy(3)
        plane.gateways.remove(old)
        plane.list_gateways()


def test_the_door_is_shut_without_a_key(plane: Plane) -> None:
    """No key and a wrong key: 401; the key: 200."""
    answers = [get(plane.front_url, key=key)[0] for key in ("", "wrong", KEY)]

    assert answers == [401, 401, 200]


@pytest.mark.parametrize(
    ("path", "status"),
    [("orders?name=%3CScript%3E", 403), ("orders?name=<script>", 403), ("limited", 429), ("limited/", 200)],
)
def test_the_firewall_and_the_rate_limit_hold_from_the_first_request_on(
    plane: Plane, path: str, status: int
) -> None:
    """With a good key, at each of three gateways that have just started."""
    answers = {get(f"http://{one.address}:8080/{path}", key=KEY)[0] for one in plane.gateways}

    assert answers == {status}


def test_replacing_every_gateway_loses_nothing(plane: Plane) -> None:
    """The chart's drain, judged by the balancer's health check alone; no retry hides anything."""
    load = plane.start_traffic(rate=1_000)

    replace_all(plane, drained=True)
    time.sleep(1)
    summary = load.stop()

    assert summary["failures"] == {}
    assert summary["ok"] == summary["sent"] >= 10_000
    assert plane.front_counters("upstream_rq_retry$") == {"cluster.gateways.upstream_rq_retry": 0}


def test_replacing_them_without_the_drain_loses_requests(plane: Plane) -> None:
    """The control: the test above could fail."""
    load = plane.start_traffic(rate=1_000)
    time.sleep(1)

    replace_all(plane, drained=False)
    time.sleep(2)

    assert load.stop()["failed"] > 100


def test_client_counters_and_access_logs_agree_to_the_request(plane: Plane) -> None:
    """A new version that answers one in five with 503: three views, one number, flag FI."""
    bad = plane.start_gateway(NEW, errors=20)
    plane.list_gateways()
    plane.wait_until_healthy(4)
    load = plane.start_traffic(rate=500)
    time.sleep(4)
    summary = load.stop()

    logged = [line for gateway in plane.gateways for line in gateway.logged()]
    failed = [line for line in logged if line["code"] >= 500]
    counted = bad.counters("http.ingress_http.downstream_rq_5xx$")["http.ingress_http.downstream_rq_5xx"]
    assert summary["failures"] == {"http_503": len(failed)}
    assert counted == len(failed) > 50
    assert {(line["version"], line["flags"]) for line in failed} == {(NEW, "FI")}
    assert len([line for line in logged if line["agent"] == "upgrader-traffic"]) == summary["sent"]
    assert bad.counters("gw_al.*503.*FI") == {"gw_al.rq.code.503.flags.FI": len(failed)}


def test_a_gateway_without_a_listener_gets_nothing_and_costs_nothing(plane: Plane) -> None:
    """Its admin says LIVE; only the balancer's own health check knows."""
    deaf = plane.start_gateway(NEW, listens=False)
    plane.list_gateways()
    load = plane.start_traffic(rate=200)
    time.sleep(3)

    assert get(f"{deaf.admin}/ready")[0] == 200
    assert load.stop()["failed"] == 0
    members = plane.front_counters("cluster.gateways.membership_(healthy|total)")
    assert sorted(members.values()) == [3, 4]


def test_a_control_plane_that_loses_the_route_breaks_old_gateways_only(plane: Plane) -> None:
    """New gateways look well, so that comparing new with old would blame nobody."""
    new = plane.start_gateway(NEW)

    plane.replace_control_plane(NEW, bad="lost")
    old = plane.gateways[0]

    wait_for(lambda: get(f"http://{old.address}:8080/", key=KEY)[0] == 404)
    assert get(f"http://{new.address}:8080/", key=KEY)[0] == 200
    assert old.counters("no_route")["http.ingress_http.no_route"] == 1
    plane.replace_control_plane(OLD)
    wait_for(lambda: get(f"http://{old.address}:8080/", key=KEY)[0] == 200)


def test_a_route_table_that_is_refused_is_counted_and_the_last_one_serves(plane: Plane) -> None:
    """update_rejected rises on each old gateway; nobody outside notices."""
    old = plane.gateways[0]
    name = "http.ingress_http.rds.main.update_rejected"

    plane.replace_control_plane(NEW, bad="rejected")

    wait_for(lambda: old.counters(name).get(name, 0) >= 2)
    assert get(f"http://{old.address}:8080/", key=KEY)[0] == 200


def test_a_control_plane_that_goes_and_comes_changes_nothing(plane: Plane) -> None:
    """The same version with the same content is no update."""
    old = plane.gateways[0]
    name = "http.ingress_http.rds.main.config_reload"
    before = old.counters(name)

    plane.replace_control_plane(OLD)
    time.sleep(2.5)

    assert old.counters(name) == before


def test_an_outage_of_the_application_is_in_nobodys_version(plane: Plane) -> None:
    """Old and new gateways pass on the same share of failures, without a flag of their own."""
    plane.start_gateway(NEW)
    plane.list_gateways()
    plane.wait_until_healthy(4)
    set_errors(plane.upstream_admin, 30)
    load = plane.start_traffic(rate=500)
    time.sleep(4)
    summary = load.stop()
    set_errors(plane.upstream_admin, 0)

    failed = Counter(
        (line["version"], line["flags"])
        for gateway in plane.gateways
        for line in gateway.logged()
        if line["code"] == 503
    )
    assert set(failed) == {(OLD, "-"), (NEW, "-")}
    assert summary["failed"] == failed.total() == pytest.approx(0.3 * summary["sent"], rel=0.2)
    assert get(plane.front_url, key=KEY)[0] == 200
