"""Ask a program by its command socket, such as HAProxy's: one line out, then all it says till it hangs up."""

from __future__ import annotations

import socket
import time
from typing import Final

from upgrader.model.ports import Answer

LARGEST_ANSWER: Final = 8 * 2**20
"""Bytes; a longer one is broken off."""
_CHUNK = 65536
_UNIX = "unix:"


def ask(address: str, command: str, deadline_seconds: float) -> Answer:
    """Send one line once and return what came back; no whole answer is an error, never an exception.

    Without an answer the command may have been done all the same.

    Args:
        address: ``unix:/run/haproxy/admin.sock`` or ``HOST:PORT``.
        command: One line, without its end.
        deadline_seconds: Of connecting, sending and reading together, > 0.

    Returns:
        Status 200 for an answer that ended, whatever it says: such a socket has no statuses of its own.
        One that hangs up without a byte has not answered: HAProxy says at least an empty line.
    """
    began = time.monotonic()

    def left() -> float:
        seconds = began + deadline_seconds - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    try:
        with _connected(address, left()) as connection:
            connection.sendall(command.encode() + b"\n")
            body = b""
            while part := _received(connection, left()):
                body += part
                if len(body) > LARGEST_ANSWER:
                    raise OSError(f"its answer is longer than {LARGEST_ANSWER} bytes")
            if not body:
                raise OSError("it hung up without a word")
    except TimeoutError:
        return Answer(0, error=f"{address}: no answer within {deadline_seconds:g} s")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return Answer(0, error=f"{address}: {why}", seconds=time.monotonic() - began)
    return Answer(200, body, seconds=time.monotonic() - began)


def _connected(address: str, seconds: float) -> socket.socket:
    if not address.startswith(_UNIX):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout=seconds)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(address.removeprefix(_UNIX))
    except BaseException:
        connection.close()
        raise
    return connection


def _received(connection: socket.socket, seconds: float) -> bytes:
    connection.settimeout(seconds)
    return connection.recv(_CHUNK)
