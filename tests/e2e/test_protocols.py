"""Load over TLS with HTTP/2, gRPC streams and WebSockets: nothing is lost when each gateway is replaced."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.dataplane import NEW, OLD, Plane

pytestmark = pytest.mark.envoy


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


def replace_one(plane: Plane) -> None:
    """Replace a gateway; the balancer learns that it leaves by its health check alone."""
    old = plane.gateways[0]
    plane.start_gateway(NEW)
    plane.list_gateways()
    plane.wait_until_healthy(3)
    old.drain()
    plane.wait_until_healthy(2)
    plane.gateways.remove(old)
    plane.list_gateways()


KINDS = ("http1", "h2", "grpc", "websocket")


def test_replacing_a_gateway_loses_nothing(plane: Plane) -> None:
    """Of no kind; long-lived streams move on, and each message of theirs comes back."""
    plane.start_echo()
    loads = {kind: plane.start_traffic(rate=200, kind=kind) for kind in KINDS}
    replace_one(plane)
    time.sleep(1)
    ended = {kind: load.stop() for kind, load in loads.items()}

    assert {kind: one["failures"] for kind, one in ended.items()} == {kind: {} for kind in KINDS}
    assert all(one["ok"] == one["sent"] >= 1_000 for one in ended.values())
    for kind in ("grpc", "websocket"):
        streams = ended[kind]["streams"]
        assert streams["lost"] == {}
        assert streams["moved"] >= 20
        assert streams["opened"] == streams["moved"] + streams["closed"]
        assert streams["closed"] == 20


def test_a_drain_shorter_than_the_streams_cuts_them_and_says_so(plane: Plane) -> None:
    """The control: requests lose nothing all the same, so only the long-lived kinds can see it."""
    plane.start_echo("--age", "60")
    loads = {kind: plane.start_traffic(rate=200, kind=kind) for kind in KINDS}
    replace_one(plane)
    time.sleep(0.5)
    ended = {kind: load.stop() for kind, load in loads.items()}

    assert [ended[kind]["failures"] for kind in ("http1", "h2")] == [{}, {}]
    lost = {kind: ended[kind]["streams"]["lost"] for kind in ("grpc", "websocket")}
    assert lost["grpc"].keys() == {"stream_reset"}
    assert lost["websocket"].keys() <= {"reset", "eof"}
    assert 0 < sum(lost["websocket"].values()) <= 20
    assert [ended[kind]["streams"]["moved"] for kind in ("grpc", "websocket")] == [0, 0]
