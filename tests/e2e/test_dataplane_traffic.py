"""The load generator against servers that misbehave, on loopback."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Server:
    """Answer the first request of each connection; end the second as ``second`` says."""

    second: str
    seen: int = 0
    broken: int = 0
    port: int = 0
    _listener: socket.socket = field(default_factory=socket.socket)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def open(self) -> None:
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _talk(self, connection: socket.socket) -> None:
        answered = False
        while self._asked(connection):
            with self._lock:
                self.seen += 1
                self.broken += answered and self.second != "answer"
            if answered and self.second != "answer":
                self._break(connection)
                break
            connection.sendall(ANSWER)
            answered = True
        connection.close()

    def _asked(self, connection: socket.socket) -> bool:
        try:
            return bool(connection.recv(4096))
        except OSError:
            return False

    def _break(self, connection: socket.socket) -> None:
        if self.second == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self.second == "garble":
            connection.sendall(b"what?\r\n\r\n")
        elif self.second == "hang":
            time.sleep(3)
        elif self.second == "cut":
            connection.sendall(ANSWER[:-1])


@contextmanager
def server(second: str) -> Iterator[Server]:
    it = Server(second)
    it.open()
    try:
        yield it
    finally:
        it.close()


def traffic(url: str, *options: str, report: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "upgrader.lab.traffic", "--url", url, "--report", str(report), *options]
    return subprocess.Popen(command)


def records(report: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.read_text().splitlines()]


@pytest.mark.parametrize(
    ("second", "name"),
    [("reset", "reset"), ("close", "eof"), ("cut", "eof"), ("garble", "garbled"), ("hang", "timeout")],
)
def test_each_broken_second_request_is_counted_and_none_is_sent_again(
    tmp_path: Path, second: str, name: str
) -> None:
    """What the server broke is what the report says, and the server saw each request once."""
    report = tmp_path / "report"
    with server(second) as it:
        process = traffic(
            f"http://127.0.0.1:{it.port}/", "--rate", "200", "--seconds", "2", "--timeout", "1", report=report
        )
        assert process.wait(timeout=30) == 0

    summary = records(report)[-1]
    assert it.broken > 50
    assert summary["failures"] == {name: it.broken}
    assert summary["sent"] == it.seen == summary["ok"] + summary["failed"] == 400


def test_nobody_listening_is_refused_and_counted(tmp_path: Path) -> None:
    """A dead balancer costs every request that was due."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    report = tmp_path / "report"

    assert (
        traffic(f"http://127.0.0.1:{port}/", "--rate", "100", "--seconds", "1", report=report).wait(30) == 0
    )

    assert records(report)[-1]["failures"] == {"refused": 100}


def test_a_gateway_that_hangs_costs_what_was_due_and_no_more_connections_than_allowed(tmp_path: Path) -> None:
    """Beyond the limit of connections requests wait, and end as saturated when their time is over."""
    report = tmp_path / "report"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(4096)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert (
            traffic(url, "--rate", "3000", "--seconds", "1.5", "--timeout", "2", report=report).wait(60) == 0
        )

    failures = records(report)[-1]["failures"]
    assert set(failures) == {"timeout", "saturated"}
    assert sum(failures.values()) == 4_500
    assert 2_000 <= failures["timeout"] < 4_500


@pytest.mark.parametrize("how", ["signal", "file"])
def test_stopping_early_leaves_an_exact_account(tmp_path: Path, how: str) -> None:
    """SIGTERM or the file: what was sent is accounted for, and the seconds add up to the whole."""
    report, stop = tmp_path / "report", tmp_path / "stop"
    with server("answer") as it:
        process = traffic(
            f"http://127.0.0.1:{it.port}/", "--rate", "500", "--until-file", str(stop), report=report
        )
        time.sleep(3)
        if how == "signal":
            process.send_signal(signal.SIGTERM)
        else:
            stop.touch()
        assert process.wait(timeout=30) == 0

    *seconds, summary = records(report)
    assert summary["sent"] == it.seen == summary["ok"]
    assert summary["in_flight"] == summary["failed"] == 0
    assert 200 < sum(second["sent"] for second in seconds) <= summary["sent"]
