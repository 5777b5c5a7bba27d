"""The demo gateway's control plane: serves each proxy its listeners, routes and clusters (xDS over REST).

Also ``GET /readyz`` and ``GET /version``. Proxies ask each second and get the whole each time, never a 304:
a proxy that refused an update would not count the one it had before as accepted again.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

from upgrader.lab.programs._xds import Node, Settings, resources, version_of

_PREFIX = "/v3/discovery:"


def read_keys(folder: Path) -> dict[str, str]:
    """Return the API keys of a mounted Secret, by file name; the volume's own hidden files are no keys."""
    files = (file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith("."))
    return {file.name: file.read_text().strip() for file in files}


class ControlPlane:
    """Answer discovery requests; pure but for the keys, read anew each time so that a new one is known.

    Args:
        settings: Everything but the keys.
        keys_folder: The mounted Secret; ``None`` for no keys, so that every request is answered 401.
    """

    def __init__(self, settings: Settings, *, keys_folder: Path | None) -> None:
        self._settings, self._keys_folder = settings, keys_folder

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and body for a GET."""
        if path == "/readyz":
            return 200, {"ready": True}
        if path == "/version":
            return 200, {"version": self._settings.version}
        return 404, {}

    def discover(self, path: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return status and body for a discovery request."""
        keys = read_keys(self._keys_folder) if self._keys_folder else {}
        settings = replace(self._settings, keys=keys)
        try:
            found = resources(path.removeprefix(_PREFIX), Node.of(request), settings)
        except KeyError:
            return 404, {}
        version = version_of(found, settings)
        return 200, {"version_info": version, "resources": found, "type_url": request.get("type_url", "")}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], control_plane: ControlPlane) -> None:
        super().__init__(address, _Handler)
        self.control_plane = control_plane


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # headers and body in one packet: the second of two would wait for an acknowledgement
    server: _Server

    def do_GET(self) -> None:
        self._answer(*self.server.control_plane.get(self.path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            request = json.loads(body)
        except ValueError:
            self._answer(400, {})
            return
        self._answer(*self.server.control_plane.discover(self.path, request))

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing for each request."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ends the process with status 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="control-plane", description=__doc__)
    parser.add_argument("--version", required=True)
    parser.add_argument("--listen", default="0.0.0.0", help="address (default all)")
    parser.add_argument("--port", type=int, default=9977)
    parser.add_argument("--upstream", required=True, help="HOST:PORT of the application")
    parser.add_argument("--keys", type=Path, help="folder of the mounted Secret, one API key a file")
    parser.add_argument(
        "--bad-xds",
        default="",
        choices=["", "lost", "rejected"],
        help="spoil the routes of other versions' proxies",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    options = parse(arguments)
    host, _, port = options.upstream.rpartition(":")
    settings = Settings(options.version, host, int(port), options.bad_xds)
    server = _Server((options.listen, options.port), ControlPlane(settings, keys_folder=options.keys))
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"control plane {options.version} serves on port {options.port}\n")
    sys.stdout.flush()
    stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
