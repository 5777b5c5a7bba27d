"""Many stub proxies in one process: ``python -m tests.benchmarks.stub_proxies FIRST HOW_MANY``.

Each answers any request on its own loopback address with the page a busy Envoy gives to the signal's filter,
with counters that grow. Prints ``ready`` and the page's size when all listen.
"""

from __future__ import annotations

import asyncio
import sys
import time

PORT = 19000
COUNTED = ("completed", "1xx", "5xx", "rx_reset", "response_before_rq_complete")
BEGAN = time.monotonic()


def address(number: int) -> str:
    """Return the address of one of up to 62,500 stubs."""
    return f"127.60.{number // 250}.{number % 250 + 1}"


def page() -> bytes:
    """Return what Envoy says: three prefixes, eight route tables, refused endpoints of twenty clusters."""
    counters = [
        f"http.{prefix}.downstream_rq_{name}"
        for prefix in ("ingress_http", "ingress_https", "admin")
        for name in COUNTED
    ]
    routes = [f"http.ingress_https.rds.routes-{n}.update_success" for n in range(8)]
    refused = [
        f"cluster.outbound|8080||service-{n}.default.svc.cluster.local.update_rejected" for n in range(20)
    ]
    seconds = int(time.monotonic() - BEGAN)
    lines = [f"{name}: {1_000_000 + seconds * 100}" for name in counters]
    lines += [f"{name}: 3" for name in (*routes, *refused)]
    lines += [f"server.uptime: {1000 + seconds}", "listener_manager.total_listeners_active: 2"]
    lines += ["cluster_manager.active_clusters: 500", "control_plane.connected_state: 1"]
    return ("\n".join(lines) + "\n").encode()


class Stub(asyncio.Protocol):
    """One connection to a stub; requests have no body, so an empty line ends each."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        body = page()
        for _ in range(data.count(b"\r\n\r\n")):
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=UTF-8\r\nserver: envoy\r\n"
                b"cache-control: no-cache, max-age=0\r\nx-content-type-options: nosniff\r\n"
                b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            )


async def serve(first: int, how_many: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    for number in range(first, first + how_many):
        await loop.create_server(Stub, address(number), PORT, backlog=4)
    print("ready", len(page()), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
