"""The lab's front balancer before two stub places, each of which can be made to fail its health checks."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.dataplane import get, wait_for
from upgrader.lab.front import envoy
from upgrader.lab.front.bootstrap import CLUSTER, GREEN_CLUSTER, Address, Front, bootstrap
from upgrader.lab.front.endpoints import write_endpoints

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
