from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from tests.signals.fakes import FakeClock, fleet, pod, ports
from upgrader.balancers.haproxy import HaproxyTraffic, build
from upgrader.errors import BalancerUnwilling
from upgrader.model.backend_health import LOOKS_TO_BELIEVE
from upgrader.model.fleet import Fleet, Side
from upgrader.model.plugins import Split
from upgrader.model.ports import Answer
from upgrader.model.reading import Reading, Weight

OLD, NEW = pod("old-1", address="10.0.0.1"), pod("new-1", Side.NEW, address="10.0.0.2")
BOTH = fleet(OLD, NEW)
HEADER = "# pxname,svname,stot,wretr,wredis,status,bck,type,check_status,last_chk,addr,"


def server(address: str, status: str = "UP", *, check: str = "L7OK", requests: int = 7) -> str:
    """Return a server's row without the backend's name in front."""
    return f"pod-{address[-1:]},{requests},0,0,{status},0,2,{check},,{address and f'{address}:8080'},"


def stat(name: str, *servers: str, requests: int = 0, retries: int = 0) -> str:
    """Return HAProxy 2.6's answer to ``show stat NAME 6 -1``, most columns left out."""
    rows = [*servers, f"BACKEND,{requests},{retries},0,UP,0,1,,,,"]
    return "\n".join([HEADER, *(f"{name},{row}" for row in rows)]) + "\n\n"


@dataclass
class Runtime:
    """A HAProxy's socket in the test's hands: it answers what is set, by the command's first words."""

    says: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    error: str = ""

    def __call__(self, address: str, command: str, deadline_seconds: float) -> Answer:
        assert (address, deadline_seconds < 1) == ("unix:/run/haproxy.sock", True)
        self.told.append(command)
        if self.error:
            return Answer(0, error=self.error)
        return Answer(200, "".join(self._answer(one) for one in command.split(";")).encode())

    def _answer(self, command: str) -> str:
        return next(said for start, said in self.says.items() if command.startswith(start))


class Bench:
    """A balancer of one place, or of two with ``green``; a second passes before each look."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.runtime = FakeClock(), Runtime()
        given = {
            "socket": "unix:/run/haproxy.sock",
            "backend": "blue",
            "green": None,
            "map": None,
            "settle": timedelta(0),
            "delay": timedelta(0),
        }
        world = replace(ports(clock=self.clock), runtime=self.runtime)
        self.balancer = build(given | settings, world)

    def look(self, seen: Fleet, *servers: str, retries: int = 0) -> Reading:
        self.clock.sleep(1)
        self.runtime.says["show stat blue"] = stat("blue", *servers, retries=retries)
        return self.balancer.read(seen)


class TwoPlaces(Bench):
    """The balancer that moves."""

    def __init__(self) -> None:
        super().__init__(green="green", map="/etc/haproxy/green.map")
        self.traffic = cast("HaproxyTraffic", self.balancer)
        self.set("0x55 green 100")

    def set(self, page: str) -> None:
        self.runtime.says["show map /etc/haproxy/green.map"] = f"{page}\n\n"

    def read(self, *, blue: int = 0, green: int = 0) -> Reading:
        self.clock.sleep(1)
        self.runtime.says["show stat blue"] = stat("blue", server("10.0.0.1"), requests=blue)
        self.runtime.says["show stat green"] = stat("green", server("10.0.0.2"), requests=green)
        return self.balancer.read(BOTH)


def facts(reading: Reading) -> dict[str, Weight]:
    return {fact.rule: fact.weight for fact in reading.facts}


def healthy(reading: Reading) -> tuple[float, float]:
    return reading.values["old_healthy"], reading.values["new_healthy"]


def test_pods_are_told_by_their_servers_addresses() -> None:
    bench = Bench()

    reading = bench.look(BOTH, server("10.0.0.1"), server("10.0.0.2", "DOWN", check="L4CON"), server(""))

    assert healthy(reading) == (1, 0)
    assert (reading.error, reading.source) == ("", "unix:/run/haproxy.sock")
    assert bench.runtime.told == ["show stat blue 6 -1"]


def test_one_bad_port_of_a_pod_is_enough() -> None:
    reading = Bench().look(BOTH, server("10.0.0.1"), server("10.0.0.2"), server("10.0.0.2", "DOWN"))

    assert healthy(reading) == (1, 0)


def test_a_new_pod_that_fails_its_checks_is_a_breach_in_time() -> None:
    bench = Bench(settle=timedelta(seconds=30))
    servers = (server("10.0.0.1"), server("10.0.0.2", "DOWN", check="L7STS"))

    early = [bench.look(BOTH, *servers) for _ in range(32)][-1]

    assert facts(early) == {}
    assert facts(bench.look(BOTH, *servers)) == {"no-healthy-new-backend": Weight.BREACH}


def test_a_pod_in_drain_is_waited_for() -> None:
    bench = Bench()

    readings = [bench.look(BOTH, server("10.0.0.1"), server("10.0.0.2", "DRAIN")) for _ in range(9)]

    assert facts(readings[-1]) == {}
    assert healthy(readings[-1]) == (1, 0)


def test_a_server_without_a_check_is_never_healthy_and_that_is_said() -> None:
    bench, unchecked = Bench(), server("10.0.0.2", "no check", check="")

    readings = [bench.look(BOTH, server("10.0.0.1"), unchecked) for _ in range(9)]

    assert healthy(readings[-1]) == (1, 0)
    assert facts(readings[-1]) == {"no-active-check": Weight.NOTE}


def test_a_state_of_a_later_version_holds_and_is_said() -> None:
    bench = Bench()
    servers = (server("10.0.0.1"), server("10.0.0.2", "MELTING"))

    reading = [bench.look(BOTH, *servers) for _ in range(LOOKS_TO_BELIEVE)][-1]

    assert facts(reading) == {"backend-unknown": Weight.HOLD, "unknown-health-word": Weight.NOTE}
    assert "'MELTING'" in reading.facts[-1].text


def test_a_retry_is_noted_and_lasting_retries_hold() -> None:
    bench = Bench()
    servers = (server("10.0.0.1"), server("10.0.0.2"))

    weights = [
        [fact.weight for fact in bench.look(BOTH, *servers, retries=count).facts]
        for count in (5, 6, 7, 8, 8, 2)
    ]

    assert weights == [[], [Weight.NOTE], [Weight.NOTE], [Weight.HOLD], [], [Weight.NOTE]]


def test_requests_are_told_by_side_since_the_last_look() -> None:
    bench = Bench()
    counts = [((100, 10), (0, 0)), ((190, 10), (90, 0)), ((195, 12), (5, 2)), ((3, 0), (3, 0))]

    for (old, new), grown in counts:
        servers = (server("10.0.0.1", requests=old), server("10.0.0.2", requests=new))
        values = bench.look(BOTH, *servers).values
        assert (values["old_requests"], values["new_requests"]) == grown


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("No such proxy.\n\n", "no backend blue on its page: No such proxy."),
        ("SSH-2.0-OpenSSH\r\n", "none of HAProxy's, or was cut off: 'SSH-2.0-OpenSSH'"),
        (stat("blue", server("10.0.0.1"))[:-4], "was cut off"),
        (stat("blue", server("10.9.9.9")), "none of its 1 servers is a pod of the gateway"),
        (stat("blue", server("")), "none of its 1 servers shows an address"),
        (stat("blue"), "none of its 0 servers is a pod of the gateway"),
    ],
)
def test_a_page_that_does_not_tell_is_an_error(says: str, words: str) -> None:
    bench = Bench()
    bench.runtime.says["show stat blue"] = says

    reading = bench.balancer.read(BOTH)

    assert words in reading.error
    assert (reading.data_time, dict(reading.values)) == (None, {})


def test_a_haproxy_that_does_not_answer_is_an_error() -> None:
    bench = Bench()
    bench.runtime.error = "lb: no answer within 0.4 s"

    assert bench.balancer.read(BOTH).error == "lb: no answer within 0.4 s"


def test_without_a_green_backend_it_moves_nothing() -> None:
    assert not hasattr(Bench().balancer, "move")


def test_both_places_and_the_share_are_read_at_once() -> None:
    bench = TwoPlaces()

    reading = bench.read(blue=990, green=10)

    assert healthy(reading) == (1, 1)
    assert reading.values["green_ratio"] == 0.01
    assert bench.runtime.told == ["show stat blue 6 -1;show stat green 6 -1;show map /etc/haproxy/green.map"]


def test_a_share_that_cannot_be_read_holds_and_health_is_still_told() -> None:
    bench = TwoPlaces()
    bench.set("0x55 other 7")

    readings = [bench.read() for _ in range(LOOKS_TO_BELIEVE)]

    assert healthy(readings[-1]) == (1, 1)
    assert "green_ratio" not in readings[-1].values
    assert [facts(one) for one in readings] == [{}, {}, {"split-unknown": Weight.HOLD}]
    assert bench.traffic.split() == Split(None, "its map has no entry green")


def test_traffic_that_is_not_parted_as_set_holds() -> None:
    bench = TwoPlaces()
    bench.read(blue=1000, green=1000)

    reading = bench.read(blue=1100, green=1900)

    assert facts(reading) == {"split-not-followed": Weight.HOLD}


@pytest.mark.parametrize(("ratio", "parts"), [(0.0, 0), (0.001, 10), (0.5, 5000), (1.0, 10_000), (1e-6, 1)])
def test_a_move_is_one_command(ratio: float, parts: int) -> None:
    bench = TwoPlaces()
    bench.runtime.says["set map"] = "\n"

    bench.traffic.move(ratio)

    assert bench.runtime.told == [f"set map /etc/haproxy/green.map green {parts}"]


@pytest.mark.parametrize(
    ("socket", "where"),
    [
        ("unix:/run/haproxy.sock", "UNIX-CONNECT:/run/haproxy.sock"),
        ("[fd00::5]:9999", "'TCP:[fd00::5]:9999'"),
    ],
)
def test_the_same_can_be_done_by_hand(socket: str, where: str) -> None:
    traffic = cast("HaproxyTraffic", Bench(green="green", map="/green.map", socket=socket).balancer)

    assert traffic.by_hand(0.001) == f"echo 'set map /green.map green 10' | socat - {where}"


@pytest.mark.parametrize(
    ("says", "remedy"),
    [
        ("entry not found.\n\n", "needs the line `green 0`"),
        ("Unknown map identifier. Please use #<id> or <file>.\n\n", "map_str_int"),
        ("Permission denied\n\n", "`level admin`"),
        ("Out of memory error.\n\n", "by hand: set map /etc/haproxy/green.map green 5000"),
    ],
)
def test_a_move_that_is_refused_says_why_and_what_to_do(says: str, remedy: str) -> None:
    bench = TwoPlaces()
    bench.runtime.says["set map"] = says

    with pytest.raises(BalancerUnwilling) as refused:
        bench.traffic.move(0.5)

    assert says.strip() in str(refused.value)
    assert remedy in refused.value.remedy
    assert len(bench.runtime.told) == 1


def test_a_move_without_an_answer_is_unwilling_and_never_sent_again() -> None:
    bench = TwoPlaces()
    bench.runtime.error = "lb: refused"

    with pytest.raises(BalancerUnwilling, match="lb: refused"):
        bench.traffic.move(0.5)

    assert len(bench.runtime.told) == 1
    assert bench.traffic.split() == Split(None, "lb: refused")


def test_a_new_server_that_was_sent_no_request_is_waited_for() -> None:
    bench = Bench()
    bench.look(BOTH, server("10.0.0.1"), server("10.0.0.2", requests=0))

    silent = bench.look(BOTH, server("10.0.0.1", requests=9), server("10.0.0.2", requests=0))
    served = bench.look(BOTH, server("10.0.0.1", requests=19), server("10.0.0.2", requests=1))

    assert facts(silent) == {"no-traffic-yet": Weight.WAIT}
    assert (facts(served), served.values["new_requests"]) == ({}, 1)
