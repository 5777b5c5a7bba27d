"""The lab's front balancer before two stub places, each of which can be made to fail its health checks."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.dataplane import get, wait_for
from upgrader.errors import BalancerUnwilling
from upgrader.lab.clouds.serving import CONTROL
from upgrader.lab.front import envoy
from upgrader.lab.front.bootstrap import CLUSTER, GREEN_CLUSTER, Address, Front, bootstrap
from upgrader.lab.front.endpoints import write_endpoints
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Signal, Traffic

_NETWORK = f"127.{150 + os.getpid() // 250 % 50}.{os.getpid() % 250 + 1}"
"""Addresses of our own, so that two runs on one machine do not meet."""
PORT = 8080


class _Place(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    name = ""
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.name)))
        self.end_headers()
        self.wfile.write(self.name.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass
class Places:
    """A running front with blue and green behind it; everything ends with `close`."""

    folder: Path
    front: Front = field(init=False)
    blue = f"{_NETWORK}.21"
    green = f"{_NETWORK}.22"
    admin = f"http://{_NETWORK}.10:9901"

    def open(self) -> None:
        self._answers = {
            name: type(name, (_Place,), {"name": name, "status": 200}) for name in ("blue", "green")
        }
        self._servers = [
            ThreadingHTTPServer((address, PORT), self._answers[name])
            for name, address in (("blue", self.blue), ("green", self.green))
        ]
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.front = Front(
            Address(f"{_NETWORK}.10", PORT),
            Address(f"{_NETWORK}.10", 9901),
            self.folder / "blue.json",
            self.folder / "front.log",
            check_interval_seconds=0.2,
            green_file=self.folder / "green.json",
        )
        self.list_blue(self.blue)
        write_endpoints(self.folder / "green.json", [Address(self.green, PORT)], cluster=GREEN_CLUSTER)
        self._process: subprocess.Popen[bytes] = envoy.start(bootstrap(self.front))
        wait_for(
            lambda: all(self.counter(name, "membership_healthy") == 1 for name in (CLUSTER, GREEN_CLUSTER))
        )

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def list_blue(self, *addresses: str) -> None:
        """Tell the front which backends blue has."""
        write_endpoints(self.front.endpoints_file, [Address(one, PORT) for one in addresses])

    def fail(self, name: str, *, fails: bool = True) -> None:
        """Let a place answer 503, or 200 again; the front notices by its checks."""
        self._answers[name].status = 503 if fails else 200  # type: ignore[attr-defined]

    def counter(self, cluster: str, name: str) -> int:
        """Return one counter of the front's cluster; -1 when it has none yet."""
        lines = get(f"{self.admin}/stats?filter=^cluster[.]{cluster}[.]{name}$")[1].split()
        return int(lines[1]) if len(lines) == 2 else -1

    def answered(self, count: int) -> Counter[str]:
        """Send requests through the front over one connection, and count who answered."""
        connection = HTTPConnection(self.front.listen.host, self.front.listen.port, timeout=5)
        found: Counter[str] = Counter()
        for _ in range(count):
            connection.request("GET", "/")
            found[connection.getresponse().read().decode()] += 1
        connection.close()
        return found


def set_fault(url: str, name: str, **more: object) -> None:
    """Have a cloud of the lab go wrong; the empty name heals it."""
    body = json.dumps({"fault": name, **more} if name else {}).encode()
    urllib.request.urlopen(urllib.request.Request(url + CONTROL, body), timeout=5).close()


@dataclass(frozen=True)
class Refusal:
    """A way in which a cloud says no, and the words it must be told by."""

    url: str
    fault: str
    words: str


class Movable(Signal, Traffic, Protocol):
    """A balancer that moves traffic; it has one name as both."""

    name: str


def require_refused(traffic: Movable, fleet: Fleet, refusal: Refusal, *, within_seconds: float) -> None:
    """Read, read back and move: each says so within its time, and none is ever a fact or a value."""
    assert traffic.read(fleet).error == ""
    set_fault(refusal.url, refusal.fault, seconds=30)

    began = time.monotonic()
    reading, split = traffic.read(fleet), traffic.split()
    took = time.monotonic() - began
    with pytest.raises(BalancerUnwilling) as refused:
        traffic.move(0.5)
    set_fault(refusal.url, "")

    assert refusal.words in reading.error
    assert (reading.facts, dict(reading.values)) == ((), {})
    assert (split.green_ratio, refusal.words in split.error) == (None, True)
    assert refusal.words in refused.value.what
    assert took < within_seconds
    assert traffic.split().green_ratio == 0
