"""The signals over the demo's real data plane on loopback: what they count is what the client counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from tests.e2e.dataplane import KEY, NEW, OLD, Gateway, Plane, wait_for
from tests.signals.fakes import pod
from upgrader.adapters.clock import SystemClock
from upgrader.adapters.http import HttpClient
from upgrader.adapters.prober import BackgroundProber
from upgrader.adapters.sweep import sweep_by
from upgrader.balancers import envoy as balancer
from upgrader.lab.programs.upstream import set_errors
from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.plugins import Signal
from upgrader.model.ports import Ports
from upgrader.model.reading import Reading, Weight
from upgrader.signals import envoy_stats, synthetic

pytestmark = pytest.mark.envoy

HTTP = HttpClient()
PORTS = Ports(
    clock=SystemClock(),
    kube=cast("Any", None),
    helm=cast("Any", None),
    http=HTTP,
    sweep=lambda reach: sweep_by(reach, cast("Any", None)),
    prober=BackgroundProber,
)


@pytest.fixture(scope="module", autouse=True)
def _connections() -> Iterator[None]:
    """Close them with the module: what is left open makes the tests after it fail."""
    yield
    HTTP.close()


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    it = Plane(tmp_path)
    try:
        it.open()
        for _ in range(2):
            it.start_gateway(OLD)
        it.list_gateways()
        it.wait_until_healthy(2)
        yield it
    finally:
        it.close()


def seen(plane: Plane) -> Fleet:
    """Return the gateways as a watch would show them."""
    return Fleet((), tuple(_pod(gateway) for gateway in plane.gateways))


def _pod(gateway: Gateway) -> Pod:
    side = Side.NEW if gateway.version == NEW else Side.OLD
    return pod(f"gateway-{gateway.address.rpartition('.')[2]}", side, address=gateway.address)


@pytest.fixture
def stats() -> Iterator[Signal]:
    signal = envoy_stats.build({"port": 19000, "reach": "direct"}, PORTS)
    yield signal
    signal.close()


def watch(signal: Signal, plane: Plane, *, seconds: float) -> list[Reading]:
    """Look each quarter of a second; the last look comes when all is over."""
    readings, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        readings.append(signal.read(seen(plane)))
        time.sleep(0.25)
    return [*readings, signal.read(seen(plane))]


def total(readings: list[Reading], name: str) -> int:
    return sum(int(getattr(one.counts, name)) for one in readings if one.counts)


def rules(readings: list[Reading]) -> dict[str, Weight]:
    return {fact.rule: fact.weight for one in readings for fact in one.facts}


def test_what_the_proxies_counted_is_what_the_client_counted(plane: Plane, stats: Signal) -> None:
    """A new version that answers one in five with 503: each failure on the new side, to the request."""
    plane.start_gateway(NEW, errors=20)
    plane.list_gateways()
    plane.wait_until_healthy(3)
    before = [stats.read(seen(plane))]
    load = plane.start_traffic(rate=500)
    readings = before + watch(stats, plane, seconds=4)
    summary = load.stop()
    readings.append(stats.read(seen(plane)))

    assert total(readings, "new_requests") + total(readings, "old_requests") == summary["sent"]
    assert total(readings, "new_failures") == summary["failed"] > 50
    assert total(readings, "old_failures") == 0
    assert all(one.complete and not one.error for one in readings)
    assert rules(readings) == {}


def test_requests_of_a_gateway_first_seen_while_it_started_are_all_counted(
    plane: Plane, stats: Signal
) -> None:
    stats.read(seen(plane))
    bad = plane.start_gateway(NEW, errors=100)
    plane.list_gateways()
    plane.wait_until_healthy(3)
    load = plane.start_traffic(rate=200)
    time.sleep(1)
    summary = load.stop()

    reading = stats.read(seen(plane))

    assert reading.counts is not None
    assert reading.counts.new_failures == reading.counts.new_requests == summary["failed"] > 20
    assert bad in plane.gateways


def test_a_refused_route_table_is_a_breach(plane: Plane, stats: Signal) -> None:
    stats.read(seen(plane))

    plane.replace_control_plane(NEW, bad="rejected")
    readings = watch(stats, plane, seconds=5)

    assert rules(readings)["xds-rejected"] is Weight.BREACH


def test_a_lost_route_is_a_breach_and_the_way_past_the_gateway_shows_it_too(
    plane: Plane, stats: Signal
) -> None:
    upstream = plane.upstream_admin.replace("19000", "8081")
    probe = {"url": plane.front_url, "bypass": upstream, "rate": 20.0, "headers": {"x-api-key": KEY}}
    door = synthetic.build(probe | {"name": "door"}, PORTS)
    load = plane.start_traffic(rate=200)
    healthy = watch(stats, plane, seconds=2)
    healthy_door = [door.read(seen(plane)), door.read(seen(plane))]

    plane.replace_control_plane(NEW, bad="lost")
    readings = watch(stats, plane, seconds=4)
    broken_door = door.read(seen(plane))
    door.close()
    load.stop()

    assert rules(healthy) == {}
    assert rules(readings)["routes-lost"] is Weight.BREACH
    assert total(healthy_door, "new_failures") == total(healthy_door, "old_failures") == 0
    assert broken_door.counts is not None
    assert broken_door.values["failed_http_404"] == broken_door.counts.new_failures > 20
    assert broken_door.counts.old_failures == 0


def test_a_control_plane_that_goes_and_comes_is_no_fact(plane: Plane, stats: Signal) -> None:
    stats.read(seen(plane))

    plane.replace_control_plane(OLD)

    assert rules(watch(stats, plane, seconds=4)) == {}


def test_an_outage_of_the_application_is_on_both_sides(plane: Plane, stats: Signal) -> None:
    plane.start_gateway(NEW)
    plane.list_gateways()
    plane.wait_until_healthy(3)
    stats.read(seen(plane))
    set_errors(plane.upstream_admin, 30)
    load = plane.start_traffic(rate=500)
    readings = watch(stats, plane, seconds=3)
    summary = load.stop()
    readings.append(stats.read(seen(plane)))
    set_errors(plane.upstream_admin, 0)

    new, old = total(readings, "new_failures"), total(readings, "old_failures")
    assert new + old == summary["failed"]
    assert new / total(readings, "new_requests") == pytest.approx(0.3, abs=0.1)
    assert old / total(readings, "old_requests") == pytest.approx(0.3, abs=0.1)
    assert rules(readings) == {}


def front(plane: Plane, *, settle: float) -> Signal:
    settings = {"admin": plane.front_admin, "cluster": "gateways", "settle": timedelta(seconds=settle)}
    return balancer.build(settings, PORTS)


def test_the_balancer_takes_a_good_gateway_in(plane: Plane) -> None:
    view = front(plane, settle=5)
    plane.start_gateway(NEW)
    plane.list_gateways()

    wait_for(lambda: view.read(seen(plane)).values.get("new_healthy") == 1)
    reading = view.read(seen(plane))

    assert (reading.values["old_healthy"], reading.values["new_total"], reading.facts) == (2, 1, ())


def test_a_gateway_without_a_listener_is_a_breach_once_its_time_is_over(plane: Plane) -> None:
    """Its admin page says LIVE, Kubernetes may say Ready, no client notices: the balancer knows."""
    view = front(plane, settle=2)
    plane.start_gateway(NEW, listens=False)
    plane.list_gateways()
    began = time.monotonic()

    readings = watch(view, plane, seconds=5)

    assert rules(readings) == {"no-healthy-new-backend": Weight.BREACH}
    first = next(number for number, one in enumerate(readings) if one.facts)
    assert first * 0.25 >= 2
    assert time.monotonic() - began < 10


def test_a_balancer_that_is_gone_is_an_error(plane: Plane) -> None:
    nowhere = balancer.build({"admin": "http://127.0.0.1:1", "cluster": "gateways"}, PORTS)

    reading = nowhere.read(seen(plane))

    assert reading.error
    assert dict(reading.values) == {}
