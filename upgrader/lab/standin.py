"""A program for images nobody has here: answers 200 on every port its pod declares.

The process runtime names the ports in ``UPGRADER_LAB_PORTS``. A port taken already is left alone:
another container of the pod serves it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORTS_VARIABLE = "UPGRADER_LAB_PORTS"

_FALLBACK_PORT = 8080


class _Answer(BaseHTTPRequestHandler):
    """Says 200 to everything."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer, having read the body so that the connection stays usable."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815 - the names http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent."""


def ports(environment: Mapping[str, str]) -> tuple[int, ...]:
    """Return the ports to serve, in order; 8080 when the pod declares none."""
    words = environment.get(PORTS_VARIABLE, "").replace(",", " ").split()
    return tuple(sorted({int(word) for word in words})) or (_FALLBACK_PORT,)


def main() -> None:
    """Serve until told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for port in ports(os.environ):
        try:
            server = ThreadingHTTPServer(("0.0.0.0", port), _Answer)
        except OSError as error:
            print(f"port {port} is left to another: {error}", flush=True)
            continue
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"serving 200 on port {port}", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
