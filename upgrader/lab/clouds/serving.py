"""A cloud's HTTP server in the lab: threads, JSON in and out, and the control path that sets its fault."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from upgrader.lab.clouds.front_view import Faults

CONTROL: Final = "/_lab/faults"
"""POST sets the fault (`Faults.read`), GET tells what came in (`Faults.told`); no provider has it."""
LONGEST_BODY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Args:
        method: ``GET``, ``POST`` …
        target: Path and query.
        body: Its body.
    """

    method: str
    target: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Told:
    """One answer.

    Args:
        status: HTTP status; 0 closes the connection without an answer.
        body: JSON data.
        headers: Further headers.
    """

    status: int
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class CloudServer:
    """Serves until it is closed.

    Args:
        address: Host and port; port 0 takes a free one.
        answer: Answers each request that is not for `CONTROL`; called by several threads at once.
        faults: What the control path sets.
        stopped: Set once it is closed: what an answer that hangs waits for.
    """

    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[Asked], Told],
        *,
        faults: Faults,
        stopped: threading.Event,
    ) -> None:
        self._stopped = stopped
        self._server = ThreadingHTTPServer(address, _requests_to(_controlled(answer, faults)))
        self._server.daemon_threads = True
        self.url = f"http://{self._server.server_address[0]!s}:{self._server.server_address[1]}"
        """Where it listens."""

    def start(self) -> None:
        """Serve in the background."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop serving, and let go of what hangs."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()


def _controlled(answer: Callable[[Asked], Told], faults: Faults) -> Callable[[Asked], Told]:
    def control(asked: Asked) -> Told:
        if asked.target != CONTROL:
            return answer(asked)
        if asked.method == "POST":
            try:
                faults.read(asked.body)
            except (ValueError, AttributeError, TypeError) as error:
                return Told(400, {"error": str(error)})
        return Told(200, faults.told())

    return control


def _requests_to(answer: Callable[[Asked], Told]) -> type[BaseHTTPRequestHandler]:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else each small answer waits 40 ms for an acknowledgement.
        disable_nagle_algorithm = True
        wbufsize = -1

        def _answer(self) -> None:
            length = min(int(self.headers.get("Content-Length") or 0), LONGEST_BODY)
            told = answer(Asked(self.command, self.path, self.rfile.read(length)))
            if not told.status:
                self.close_connection = True
                return
            body = json.dumps(told.body).encode()
            self.send_response(told.status)
            for name, value in {"Content-Type": "application/json", **told.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the test or the rehearsal that started it asks for counts."""

    return Requests
