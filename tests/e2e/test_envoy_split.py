"""The envoy balancer parts the traffic of a real Envoy: what is set is what clients get; back is at once."""

from __future__ import annotations

import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from tests.e2e.dataplane import get, wait_for
from tests.signals.fakes import pod
from upgrader.adapters.clock import SystemClock
from upgrader.adapters.http import HttpClient
from upgrader.balancers import envoy as balancers
from upgrader.balancers.envoy import EnvoyTraffic
from upgrader.errors import BalancerUnwilling
from upgrader.lab.front import envoy
from upgrader.lab.front.bootstrap import CLUSTER, GREEN_CLUSTER, SPLIT, Address, Front, bootstrap
from upgrader.lab.front.endpoints import write_endpoints
from upgrader.lab.rehearse.access_logs import OK, Line, Tail, read_line
from upgrader.model.fleet import Fleet, Side
from upgrader.model.plugins import Split
from upgrader.model.ports import Ports

pytestmark = pytest.mark.envoy

_NETWORK = f"127.{200 + os.getpid() // 250 % 50}.{os.getpid() % 250 + 1}"
"""Addresses of our own, so that two runs on one machine do not meet."""
FRONT, ADMIN = Address(f"{_NETWORK}.10", 8080), Address(f"{_NETWORK}.10", 9901)
PLACES = {"blue": Address(f"{_NETWORK}.21", 8080), "green": Address(f"{_NETWORK}.22", 8080)}
PODS = Fleet(
    (),
    (
        pod("edge-blue", Side.OLD, address=PLACES["blue"].host),
        pod("edge-green", Side.NEW, address=PLACES["green"].host),
    ),
)
HTTP = HttpClient()
PORTS = Ports(
    clock=SystemClock(),
    kube=cast("Any", None),
    helm=cast("Any", None),
    http=HTTP,
    sweep=cast("Any", None),
    prober=cast("Any", None),
)
REQUEST = f"GET / HTTP/1.1\r\nhost: {FRONT.host}\r\nuser-agent: counting\r\n\r\n".encode()


def stubs() -> dict[str, Any]:
    """Return an Envoy that answers on both places' addresses by the place's name."""
    kind = "type.googleapis.com/envoy.extensions.filters."
    listeners = []
    for name, address in PLACES.items():
        answer = {"status": 200, "body": {"inline_string": f"<{name}>"}}
        routes = [{"match": {"prefix": "/"}, "direct_response": answer}]
        manager = {
            "@type": f"{kind}network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            "http_filters": [{"name": "router", "typed_config": {"@type": f"{kind}http.router.v3.Router"}}],
        }
        filters = [{"name": "http", "typed_config": manager}]
        listeners.append(
            {"name": name, "address": address.as_envoy(), "filter_chains": [{"filters": filters}]}
        )
    return {"static_resources": {"listeners": listeners}}


@pytest.fixture(scope="module", autouse=True)
def _connections() -> Iterator[None]:
    """Close them with the module: what is left open makes the tests after it fail."""
    yield
    HTTP.close()


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    it = Front(
        FRONT, ADMIN, tmp_path / "blue.json", tmp_path / "access.log", green_file=tmp_path / "green.json"
    )
    write_endpoints(it.endpoints_file, [PLACES["blue"]])
    write_endpoints(tmp_path / "green.json", [PLACES["green"]], cluster=GREEN_CLUSTER)
    processes = [envoy.start(stubs()), envoy.start(bootstrap(it))]
    try:
        wait_for(lambda: counters("membership_healthy") == {CLUSTER: 1, GREEN_CLUSTER: 1})
        yield it
    finally:
        for process in processes:
            process.kill()
            process.wait()


def counters(name: str) -> dict[str, int]:
    """Return one counter of both clusters, as the front says it."""
    body = get(f"http://{ADMIN.host}:{ADMIN.port}/stats?filter=^cluster[.]gateways(-green)?[.]{name}$")[1]
    return {line.split(".")[1]: int(line.rpartition(" ")[2]) for line in body.splitlines()}


def requests(count: int, *, connections: int = 10, together: int = 50) -> Counter[str]:
    """Send so many, ``together`` at a time over each connection, and count who answered."""
    answered: Counter[str] = Counter()
    with ExitStack() as stack:
        where = (FRONT.host, FRONT.port)
        opened = [stack.enter_context(socket.create_connection(where, 5)) for _ in range(connections)]
        for _ in range(count // (connections * together)):
            for connection in opened:
                connection.sendall(REQUEST * together)
            for connection in opened:
                answered += _answers(connection, together)
    return answered


def _answers(connection: socket.socket, count: int) -> Counter[str]:
    """Read whole answers, so many; each body is a place's name in angle brackets."""
    text = b""
    while text.count(b">") < count:
        text += connection.recv(262_144)
    return Counter(name.decode() for name in re.findall(rb"<(\w+)>", text))


def logged(front: Front, count: int) -> list[Line | None]:
    """Return the lines of the front's access log, as the rehearsal reads them, once so many are there."""
    log, lines = Tail(front.access_log), list[str]()

    def is_whole() -> bool:
        lines.extend(log.lines())
        return len(lines) >= count

    wait_for(is_whole)  # Envoy writes its log each 100 ms
    log.close()
    assert len(lines) == count
    return [read_line(line) for line in lines]


def traffic(**changes: str) -> EnvoyTraffic:
    settings = {"admin": f"http://{ADMIN.host}:{ADMIN.port}", "cluster": CLUSTER, "green": GREEN_CLUSTER}
    made = balancers.build(settings | {"split": SPLIT} | changes, PORTS)
    assert isinstance(made, EnvoyTraffic)
    return made


def test_traffic_follows_each_share_and_is_back_at_once(front: Front) -> None:
    """0, 0.1 %, 25 %, 100 % and back: split, clients, the front's counters and its access log agree."""
    balancer, sent = traffic(), Counter[str]()
    found: dict[float, float] = {}

    for share, count in ((0, 2_000), (0.001, 16_000), (0.25, 4_000), (1, 2_000), (0, 2_000)):
        balancer.move(share)
        time.sleep(balancer.delay_seconds)
        assert balancer.split() == Split(share)
        assert balancer.read(PODS).values["green_ratio"] == share
        answered = requests(count)
        sent += answered
        found[share] = answered["green"] / count
        assert share not in (0, 1) or answered == {("green" if share else "blue"): count}

    assert 0 < found[0.001] < 0.004  # none of 16,000: once in 8 million runs
    assert found[0.25] == pytest.approx(0.25, abs=0.04)  # six standard deviations
    assert counters("upstream_rq_total") == {CLUSTER: sent["blue"], GREEN_CLUSTER: sent["green"]}
    lines = logged(front, sent.total())
    assert all(line and line.outcome == OK and line.answered for line in lines)


def test_both_places_are_healthy_before_green_gets_anything(front: Front) -> None:
    """The configured weights are in force until the first move, and one look tells both places' pods."""
    began = time.monotonic()
    reading = traffic().read(PODS)
    seconds = time.monotonic() - began

    values = {name: reading.values[name] for name in ("old_healthy", "new_healthy", "green_ratio")}
    assert values == {"old_healthy": 1, "new_healthy": 1, "green_ratio": 0}
    assert (reading.error, reading.facts) == ("", ())
    assert seconds < 1


def test_a_prefix_that_no_route_obeys_is_refused(front: Front) -> None:
    """Envoy itself would take the keys without a word."""
    balancer = traffic(split="front.spilt")

    split = balancer.split()
    with pytest.raises(BalancerUnwilling, match=r"no route of it parts traffic by .*front\.spilt"):
        balancer.move(0.25)

    assert split.green_ratio is None
    assert "runtime_key_prefix: front.spilt" in split.error
    assert "front.spilt" not in get(f"http://{ADMIN.host}:{ADMIN.port}/runtime")[1]
