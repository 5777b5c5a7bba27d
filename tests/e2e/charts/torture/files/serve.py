"""The workload: says what its container sees, and behaves as it is told.

``/``: environment and files; ``/ready``, ``/live``, ``/started``: for probes;
``POST /fail/live``: never live again; ``/resolve?name=``: a name's addresses;
``/fetch?url=``: a plain GET's status and body; ``/note?text=``: a line in the diary,
which also gets the start and SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PORT = int(os.environ.get("PORT", "8080"))
LOOPBACK_PORT = int(os.environ.get("LOOPBACK_PORT", "0"))
SLOW_START_SECONDS = float(os.environ.get("SLOW_START_SECONDS", "0"))
DIARY = os.environ.get("DIARY", "")
SHOWN = Path("/etc/torture")

BEGAN = time.monotonic()
failing: set[str] = set()


def note(text: str) -> None:
    """Append a line to the diary, where there is one."""
    if DIARY:
        with Path(DIARY).open("a") as diary:
            diary.write(f"{text}\n")


def seen() -> dict[str, Any]:
    """Return what the container sees of its pod."""
    folders = os.walk(SHOWN, followlinks=True)  # the kubelet shows folders of a volume as links
    paths = [Path(folder) / name for folder, _, names in folders for name in names]
    files = {str(path.relative_to(SHOWN)): path.read_text() for path in paths}
    return {"env": dict(os.environ), "files": files, "hostname": socket.gethostname(), "dir": str(Path.cwd())}


def resolve(name: str) -> list[str]:
    """Return a name's IPv4 addresses; empty when there is no such name."""
    try:
        return sorted({str(found[4][0]) for found in socket.getaddrinfo(name, None, socket.AF_INET)})
    except socket.gaierror:
        return []


def fetch(url: str) -> dict[str, Any]:
    """Return status and body of a GET; status 0 when nobody answered."""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return {"status": answer.status, "body": answer.read().decode()}
    except urllib.error.HTTPError as refused:
        return {"status": refused.code, "body": ""}
    except OSError as error:
        return {"status": 0, "body": str(error)}


class Handler(BaseHTTPRequestHandler):
    """Answers with JSON."""

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        asked = {name: values[0] for name, values in urllib.parse.parse_qs(url.query).items()}
        if url.path == "/started" and time.monotonic() - BEGAN < SLOW_START_SECONDS:
            self._say(503, "not yet")
        elif url.path.strip("/") in failing:
            self._say(500, "failing")
        elif url.path == "/resolve":
            self._say(200, resolve(asked["name"]))
        elif url.path == "/fetch":
            self._say(200, fetch(asked["url"]))
        elif url.path == "/note":
            note(asked["text"])
            self._say(200, asked)
        else:
            self._say(200, seen())

    def do_POST(self) -> None:
        failing.add(self.path.removeprefix("/fail/"))
        self._say(200, sorted(failing))

    def log_message(self, format: str, *args: object) -> None:
        print(f"asked: {format % args}", flush=True)

    def _say(self, status: int, what: object) -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def stop(*_: object) -> None:
    """End as a program that was asked to."""
    note("term")
    Path("/dev/termination-log").write_text("asked to stop")
    sys.exit(0)


def main() -> None:
    """Serve until told to stop."""
    signal.signal(signal.SIGTERM, stop)
    note("start")
    servers = [ThreadingHTTPServer(("0.0.0.0", PORT), Handler)]
    if LOOPBACK_PORT:
        servers.append(ThreadingHTTPServer(("127.0.0.1", LOOPBACK_PORT), Handler))
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("serving", flush=True)
    print("complaining", file=sys.stderr, flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
