from __future__ import annotations

import json
from typing import Any

import pytest

from tests.signals.fakes import FakeClock
from upgrader.lab.clouds.front_view import BLUE, GREEN, Fault, Faults, FrontView, Pace, Standing


class FakeFront:
    """The front's admin page, with what a test puts on it."""

    def __init__(self) -> None:
        self.clusters: dict[str, dict[str, dict[str, Any]]] = {BLUE: {}, GREEN: {}}
        self.told: list[str] = []
        self.is_down = False

    def ask(self, method: str, path: str) -> bytes:
        if self.is_down:
            raise OSError("refused")
        if method == "POST":
            self.told.append(path)
            return b"OK"
        return json.dumps(
            {
                "cluster_statuses": [
                    {"name": name, "host_statuses": [_host(*one) for one in hosts.items()]}
                    for name, hosts in self.clusters.items()
                ]
            }
        ).encode()


def _host(address: str, marks: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": {"socket_address": {"address": address, "port_value": 8080}},
        "health_status": {"eds_health_status": "HEALTHY"} | marks,
    }


class Bench:
    def __init__(self, **pace: float) -> None:
        self.front, self.clock = FakeFront(), FakeClock()
        self.view = FrontView(
            self.front.ask, pace=Pace(**({"delay_seconds": 0} | pace)), clock=self.clock.monotonic
        )

    def after(self, seconds: float) -> dict[str, Standing]:
        """Let time pass, a look each second."""
        for _ in range(int(seconds)):
            self.clock.sleep(1)
            self.view.turn()
        return {one.address: one.standing for one in self.view.seen(BLUE)}


@pytest.mark.parametrize(
    ("marks", "standing"),
    [
        ({}, Standing.HEALTHY),
        ({"failed_active_health_check": True}, Standing.FAILED),
        ({"failed_active_health_check": True, "pending_active_hc": True}, Standing.UNCHECKED),
        ({"eds_health_status": "DRAINING"}, Standing.LEAVING),
        ({"failed_outlier_check": True}, Standing.FAILED),
    ],
    ids=str,
)
def test_a_backend_stands_as_the_fronts_marks_say(marks: dict[str, Any], standing: Standing) -> None:
    bench = Bench()
    bench.front.clusters[BLUE] = {"10.0.0.1": marks}

    assert bench.after(1) == {"10.0.0.1": standing}
    assert bench.view.seen(GREEN) == ()


def test_a_backend_that_left_is_leaving_for_the_drain_time() -> None:
    bench = Bench(drain_seconds=5)
    bench.front.clusters[BLUE] = {"10.0.0.1": {}}
    bench.after(1)
    bench.front.clusters[BLUE] = {}

    assert bench.after(5) == {"10.0.0.1": Standing.LEAVING}
    assert bench.after(1) == {}


def test_a_weight_comes_into_force_after_its_delay() -> None:
    bench = Bench(delay_seconds=10)
    bench.view.move(0.001)

    bench.after(9)
    early = (list(bench.front.told), bench.view.is_moving, bench.view.green_ratio)
    bench.after(1)

    assert early == ([], True, None)
    assert bench.front.told == ["/runtime_modify?front.split.gateways=99900&front.split.gateways-green=100"]
    assert (bench.view.is_moving, bench.view.green_ratio) == (False, 0.001)


def test_a_front_that_was_away_is_told_its_weights_again() -> None:
    bench = Bench()
    bench.view.move(0.5)
    bench.after(1)
    bench.front.is_down = True
    bench.after(1)
    error, bench.front.is_down = bench.view.error, False
    bench.after(1)

    assert error == "the front: refused"
    assert (bench.view.error, len(bench.front.told)) == ("", 2)


def test_a_lag_tells_health_as_it_was_and_moves_later() -> None:
    bench = Bench()
    bench.front.clusters[BLUE] = {"10.0.0.1": {}}
    bench.after(10)
    bench.view.faults.read(b'{"fault": "lag", "seconds": 5}')
    bench.front.clusters[BLUE] = {"10.0.0.1": {"failed_active_health_check": True}}
    bench.view.move(1.0)

    assert bench.after(5) == {"10.0.0.1": Standing.HEALTHY}
    assert bench.view.green_ratio == 1.0
    assert bench.after(1) == {"10.0.0.1": Standing.FAILED}


def test_a_lie_moves_nothing() -> None:
    bench = Bench()
    bench.view.faults.read(b'{"fault": "lie"}')
    bench.view.move(1.0)
    bench.after(3)

    assert (bench.front.told, bench.view.green_ratio) == ([], None)


def test_a_lag_that_begins_takes_back_nothing_that_was_told() -> None:
    """An API that is late stands still first; it does not go back to before the new pods were there."""
    bench = Bench()
    bench.after(3)
    bench.front.clusters[BLUE] = {"10.0.0.1": {}}
    told = bench.after(3)
    bench.view.faults.read(b'{"fault": "lag", "seconds": 60}')

    assert bench.after(3) == told == {"10.0.0.1": Standing.HEALTHY}


def test_an_older_change_that_lags_never_takes_the_place_of_a_newer_one() -> None:
    bench = Bench()
    bench.view.faults.read(b'{"fault": "lag", "seconds": 5}')
    bench.view.move(1.0)
    bench.view.faults.read(b"{}")
    bench.view.move(0.0)

    bench.after(1)
    early = bench.view.green_ratio
    bench.after(9)

    assert (early, bench.view.green_ratio) == (0.0, 0.0)
    assert len(bench.front.told) == 1


def test_a_fault_that_no_answer_shows_is_counted_where_it_met_somebody() -> None:
    """A drill whose fault nobody met has proven nothing."""
    bench = Bench()
    for fault in (b'{"fault": "unknown"}', b'{"fault": "lie"}', b'{"fault": "throttle"}', b"{}"):
        bench.view.faults.read(fault)
        bench.view.faults.strike(is_write=True)
        bench.view.move(1.0)
        bench.view.seen(BLUE)

    assert bench.view.faults.told()["met"] == {"unknown": 1, "lie": 1, "throttle": 1}


def test_a_fault_meets_the_calls_it_is_set_on() -> None:
    faults = Faults()
    faults.read(b'{"fault": "throttle", "on": "write"}')

    assert (faults.strike(is_write=True), faults.strike(is_write=False)) == (Fault.THROTTLE, None)
    faults.read(b"{}")
    assert faults.strike(is_write=True) is None
    assert faults.calls == {"read": 1, "write": 2}


@pytest.mark.parametrize("body", [b'{"fault": "fire"}', b'{"on": "x"}', b"{", b'{"falt": "lie"}'])
def test_what_is_no_fault_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Faults().read(body)
