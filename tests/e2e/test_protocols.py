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


def replace_one(plane: Plane, *, drained: bool) -> None:
    """Replace a gateway; the balancer learns that it leaves by its health check alone."""
    old = plane.gateways[0]
    plane.start_gateway(NEW)
    plane.list_gateways()
    plane.wait_until_healthy(3)
    if drained:
        old.drain()
    else:
        old.end()
    plane.wait_until_healthy(2)
    plane.gateways.remove(old)
    plane.list_gateways()


def test_replacing_a_gateway_loses_nothing(plane: Plane) -> None:
    load = plane.start_traffic(rate=300, kind="h2")
    time.sleep(8)
    replace_one(plane, drained=True)
    time.sleep(1)
    summary = load.stop()
    print(summary)
    print(
        plane.front_counters(
            "http.front.downstream_cx_(http2|http1|ssl|max|drain|total)|gateways.upstream_cx_(http2|http1|total)"
        )
    )

    assert summary["failures"] == {}
    assert summary["ok"] == summary["sent"] >= 1_500
