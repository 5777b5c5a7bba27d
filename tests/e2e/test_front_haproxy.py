"""The lab's HAProxy front as a program: EndpointSlices in, balanced requests and their log out."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.dataplane import get, wait_for
from tests.e2e.haproxy_front import PROGRAM, Gateway
from tests.e2e.listening import listening
from upgrader.adapters.background import BackgroundLoop
from upgrader.adapters.runtime_socket import ask
from upgrader.lab.front.bootstrap import Address
from upgrader.lab.front.haproxy_setup import GREEN, HaproxyFront

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.skipif(PROGRAM is None, reason="HAProxy is not installed (Debian: package haproxy)"),
]
_NETWORK = f"127.78.{os.getpid() % 250}"


@dataclass
class SliceServer:
    """An API server that knows the EndpointSlices of two namespaces; a watch ends when they change."""

    endpoints: dict[str, list[str]] = field(default_factory=dict)
    version: int = 1

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        seen = self.version
        while "watch=true" in target and self.version == seen:
            await asyncio.sleep(0.02)
        body = b"" if "watch=true" in target else json.dumps(self._slices(target.split("/")[5])).encode()
        writer.write(f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode())
        writer.write(body)
        await writer.drain()

    def change(self, namespace: str, gateways: list[Gateway]) -> None:
        self.endpoints[namespace] = [one.address for one in gateways]
        self.version += 1

    def _slices(self, namespace: str) -> dict[str, Any]:
        piece = {
            "metadata": {"name": "a"},
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [one]} for one in self.endpoints.get(namespace, ())],
        }
        return {"metadata": {"resourceVersion": "1"}, "items": [piece]}


@contextmanager
def front_program(folder: Path, port: int, listen: str) -> Iterator[None]:
    """Run the front before namespace blue, and green beside it."""
    named = {"name": "a", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "a", "context": {"cluster": "a", "user": "a"}}
    config = {"clusters": [named], "contexts": [context], "users": [{"name": "a", "user": {}}]}
    (folder / "kubeconfig").write_text(yaml.safe_dump(config | {"current-context": "a"}))
    command = [
        *(sys.executable, "-m", "upgrader.lab.front.haproxy", "--kubeconfig", str(folder / "kubeconfig")),
        *("--namespace", "blue", "--service", "edge", "--green", "green/edge"),
        *("--listen", listen, "--dir", str(folder)),
    ]
    process = subprocess.Popen(command)
    try:
        yield
        process.terminate()
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def background() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop()
    yield loop
    loop.run(_all_ended(), timeout_seconds=5)
    loop.close()


async def _all_ended() -> None:
    """Wait until every connection is closed: what is left open is a warning."""
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)


def test_gateways_come_and_go_and_traffic_moves_to_green(background: BackgroundLoop) -> None:
    gateways = [Gateway(f"{_NETWORK}.{number}") for number in (11, 12, 21)]
    servers = [
        background.run(asyncio.start_server(one, one.address, 8080), timeout_seconds=5) for one in gateways
    ]
    slices, url = SliceServer(), f"http://{_NETWORK}.10:8080/"
    with tempfile.TemporaryDirectory(prefix="front-") as name, listening(background, slices) as port:
        folder = Path(name)
        front = HaproxyFront(Address(f"{_NETWORK}.10", 8080), folder)
        with front_program(folder, port, f"{_NETWORK}.10:8080"):
            slices.change("blue", gateways[:2])
            slices.change("green", gateways[2:])
            stat = f"show stat {GREEN} 4 -1;show stat gateways 4 -1"
            wait_for(lambda: ask(front.socket, stat, 1).body.count(b",UP,") == 3, seconds=15)
            assert [get(url)[0] for _ in range(8)] == [200] * 8
            first = [one.answered for one in gateways]
            assert (min(first[:2]) > 0, sum(first[:2]), first[2]) == (True, 8, 0)

            slices.change("blue", gateways[1:2])
            wait_for(lambda: ask(front.socket, stat, 1).body.count(b",UP,") == 2, seconds=15)
            assert [get(url)[0] for _ in range(4)] == [200] * 4
            assert [one.answered for one in gateways] == [first[0], first[1] + 4, 0]

            ask(front.socket, f"set map {front.map} {GREEN} 10000", 1)
            assert [get(url)[0] for _ in range(4)] == [200] * 4
        slices.version += 1  # ends the watches
        logged = [json.loads(line) for line in (folder / "access.log").read_text().splitlines()]
    for server in servers:
        background.run(_end(server), timeout_seconds=5)

    assert [one.answered for one in gateways] == [first[0], first[1] + 4, 4]
    assert {(line["code"], line["flags"], line["details"]) for line in logged} == {(200, "-", "via_upstream")}
    assert [line["gateway"] for line in logged][-4:] == [f"{gateways[2].address}:8080"] * 4
    assert len(logged) == 16


async def _end(server: asyncio.Server) -> None:
    server.close()
