"""The balancer ``haproxy`` against the real program on loopback."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from tests.e2e.dataplane import get, wait_for
from tests.e2e.haproxy_front import BLUE, GREEN, PROGRAM, Front, Gateway
from tests.e2e.listening import listening
from tests.signals.fakes import fleet, pod, ports
from upgrader.adapters.clock import SystemClock
from upgrader.adapters.runtime_socket import ask
from upgrader.balancers.haproxy import HaproxyTraffic, build
from upgrader.errors import BalancerUnwilling
from upgrader.model.fleet import Fleet, Side
from upgrader.model.plugins import Split
from upgrader.model.reading import Weight

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.skipif(PROGRAM is None, reason="HAProxy is not installed (Debian: package haproxy)"),
]
REQUESTS_PER_SECOND = 600


@dataclass
class Bench:
    """A HAProxy and our balancer over it."""

    front: Front
    balancer: HaproxyTraffic

    def fleet(self) -> Fleet:
        old = [pod(f"old-{one.address}", address=one.address) for one in self.front.blue]
        return fleet(*old, *(pod("new", Side.NEW, address=one.address) for one in self.front.green))

    def healthy(self) -> tuple[float, float]:
        reading = self.balancer.read(self.fleet())
        assert not reading.error
        return reading.values["old_healthy"], reading.values["new_healthy"]

    def facts(self) -> list[tuple[str, Weight]]:
        """Return what it says of the gateway at one more look, but for what a gate only waits for."""
        said = self.balancer.read(self.fleet()).facts
        return [(fact.rule, fact.weight) for fact in said if fact.weight is not Weight.WAIT]


def balancer(front: Front, **settings: Any) -> HaproxyTraffic:
    given = {
        "socket": front.socket,
        "backend": BLUE,
        "green": GREEN,
        "map": front.map,
        "settle": timedelta(milliseconds=1),
        "delay": timedelta(milliseconds=100),
    }
    world = replace(ports(), clock=SystemClock(), runtime=ask)
    return cast("HaproxyTraffic", build(given | settings, world))


@contextmanager
def opened(**changes: Any) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="haproxy-") as folder:  # a socket's path may have 100 characters
        front = Front(Path(folder), **changes)
        try:
            front.open()
            bench = Bench(front, balancer(front))
            wait_for(lambda: bench.healthy() == (2, 1), seconds=10)
            yield bench
        finally:
            front.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with opened() as it:
        yield it


def answered(gateways: tuple[Gateway, ...]) -> int:
    return sum(one.answered for one in gateways)


@contextmanager
def traffic(front: Front) -> Iterator[Callable[[], dict[str, Any]]]:
    """Send an even load; what is yielded ends it and returns its account."""
    report = front.folder / "load"
    command = [
        *(sys.executable, "-m", "upgrader.lab.traffic", "--url", f"http://{front.listen}/"),
        *("--rate", str(REQUESTS_PER_SECOND), "--seconds", "30", "--report", str(report)),
    ]
    process = subprocess.Popen(command)

    def stop() -> dict[str, Any]:
        process.terminate()
        assert process.wait(timeout=10) == 0
        return cast("dict[str, Any]", json.loads(report.read_text().splitlines()[-1]))

    try:
        wait_for(lambda: report.exists() and bool(report.stat().st_size), seconds=10)
        yield stop
    finally:
        process.kill()
        process.wait()


def test_health_is_haproxys_own_word_both_ways(bench: Bench) -> None:
    bench.front.green[0].is_well = False
    breach = [("no-healthy-new-backend", Weight.BREACH)]
    wait_for(lambda: bench.facts() == breach, seconds=5)
    assert bench.healthy() == (2, 0)

    bench.front.green[0].is_well = True
    wait_for(lambda: bench.healthy() == (2, 1), seconds=5)
    assert bench.facts() == []


def test_a_server_in_drain_or_maintenance_is_leaving_and_no_fact(bench: Bench) -> None:
    bench.front.tell(f"set server {GREEN}/pod-0 state drain;set server {BLUE}/pod-1 state maint")

    readings = [bench.balancer.read(bench.fleet()) for _ in range(4)]

    assert (readings[-1].values["old_healthy"], readings[-1].values["new_healthy"]) == (1, 0)
    assert not [fact for reading in readings for fact in reading.facts]


def test_traffic_follows_each_move_and_no_request_is_lost(bench: Bench) -> None:
    with traffic(bench.front) as stop:
        for ratio in (0.0, 0.01, 0.5, 1.0, 0.0):
            bench.balancer.move(ratio)
            assert bench.balancer.split() == Split(ratio)
            time.sleep(0.1)
            blue, green = answered(bench.front.blue), answered(bench.front.green)
            time.sleep(1)
            to_green = answered(bench.front.green) - green
            total = to_green + answered(bench.front.blue) - blue
            assert total > REQUESTS_PER_SECOND / 2
            assert abs(to_green - total * ratio) <= 5 * math.sqrt(total * ratio * (1 - ratio))
            assert bench.facts() == []
        account = stop()

    assert account["sent"] > 3000
    assert account["failed"] == 0


def test_a_tenth_of_a_percent_moves_a_tenth_of_a_percent(bench: Bench) -> None:
    bench.balancer.move(0.001)

    assert bench.front.tell(f"show map {bench.front.map}").split()[1:] == [GREEN, "10"]
    assert bench.balancer.split() == Split(0.001)


def test_what_was_saved_survives_a_reload(bench: Bench) -> None:
    bench.balancer.move(0.25)
    bench.front.tell(f"set server {BLUE}/pod-1 state maint")

    bench.front.save()
    bench.front.reload()
    wait_for(lambda: bench.healthy() == (1, 1), seconds=5)

    assert bench.balancer.split() == Split(0.25)


def test_what_was_not_saved_is_lost_by_a_reload_and_seen_to_be(bench: Bench) -> None:
    bench.balancer.move(0.25)

    bench.front.reload()

    assert bench.balancer.split() == Split(0.0)


def test_a_place_without_a_server_that_is_up_gets_nothing_and_that_holds(bench: Bench) -> None:
    bench.balancer.move(0.5)
    bench.front.green[0].is_well = False
    wait_for(lambda: ",DOWN," in bench.front.tell(f"show stat {GREEN} 2 -1"), seconds=5)
    bench.facts()
    time.sleep(0.15)
    bench.facts()

    statuses = {get(f"http://{bench.front.listen}/")[0] for _ in range(100)}

    assert statuses == {200}
    assert ("split-not-followed", Weight.HOLD) in bench.facts()


@pytest.mark.parametrize(
    ("rule", "ratio"),
    [
        pytest.param("rand(100),sub(txn.green) lt 0", 0.01, id="the rule counts in percent"),
        pytest.param("hdr(x-canary) -m found", 0.5, id="nothing heeds the map"),
    ],
)
def test_a_configuration_that_does_not_heed_the_share_is_found(rule: str, ratio: float) -> None:
    with opened(rule=rule) as bench:
        bench.balancer.move(ratio)
        bench.balancer.read(bench.fleet())
        time.sleep(0.15)
        bench.balancer.read(bench.fleet())
        for _ in range(100):
            assert get(f"http://{bench.front.listen}/")[0] == 200

        assert bench.facts() == [("split-not-followed", Weight.HOLD)]


def test_a_socket_of_the_lowest_level_tells_no_addresses(bench: Bench) -> None:
    low = balancer(bench.front, socket=f"unix:{bench.front.folder}/user.sock")

    assert "level operator" in low.read(bench.fleet()).error


def test_a_name_that_haproxy_does_not_know_is_said_in_its_words(bench: Bench) -> None:
    wrong_backend = balancer(bench.front, backend="nobody")
    wrong_map = balancer(bench.front, map="/none.map")
    wrong_entry = balancer(bench.front, green="nobody")

    with pytest.raises(BalancerUnwilling, match=r"Unknown map identifier.*\n?.*map_str_int"):
        wrong_map.move(0.5)
    with pytest.raises(BalancerUnwilling, match=r"entry not found.*\n?.*nobody 0"):
        wrong_entry.move(0.5)
    assert wrong_backend.read(bench.fleet()).error == "no backend nobody on its page: No such proxy."
    assert wrong_map.split() == Split(None, "Unknown map identifier. Please use #<id> or <file>.")
    assert wrong_entry.split() == Split(None, "its map has no entry nobody")


def test_a_haproxy_that_hangs_is_an_error_within_a_second(bench: Bench) -> None:
    worker = bench.front.worker()
    os.kill(worker, signal.SIGSTOP)
    try:
        began = time.monotonic()
        reading = bench.balancer.read(bench.fleet())
        took = time.monotonic() - began
        split = bench.balancer.split()
        with pytest.raises(BalancerUnwilling, match=r"no answer within 0\.5 s"):
            bench.balancer.move(0.5)
    finally:
        os.kill(worker, signal.SIGCONT)

    assert "no answer within 0.4 s" in reading.error
    assert took < 1
    assert split.green_ratio is None


def test_a_haproxy_that_is_gone_or_another_program_is_an_error(bench: Bench) -> None:
    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SSH-2.0-OpenSSH\r\n")

    with listening(bench.front.background, greets) as port:
        other = balancer(bench.front, socket=f"127.0.0.1:{port}")
        readings = [other.read(bench.fleet()).error, other.split().error]
        with pytest.raises(BalancerUnwilling, match="SSH"):
            other.move(0.5)
    with pytest.raises(BalancerUnwilling, match="refused"):
        other.move(0.5)
    gone = balancer(bench.front, socket=f"unix:{bench.front.folder}/none.sock")

    assert ["none of HAProxy's" in error and "SSH" in error for error in readings] == [True, True]
    assert "refused" in other.read(bench.fleet()).error
    assert "No such file" in gone.read(bench.fleet()).error
