"""Streams of gRPC: calls whose both sides stay open, over a few HTTP/2 connections.

Messages are bytes as they are, without Protocol Buffers: the echo at the other end does not look into them.
Source for framing and status: grpc.io, "gRPC over HTTP2", 2026-11.
"""

from __future__ import annotations

from itertools import cycle

from upgrader.lab.traffic import outcome
from upgrader.lab.traffic.exchanges import request_headers
from upgrader.lab.traffic.http2 import Channel
from upgrader.lab.traffic.lanes import Lane
from upgrader.lab.traffic.load import Headers, Load
from upgrader.lab.traffic.pool import Pool

_STATUS = "grpc-status"
_PREFIX_BYTES = 5
_OK, _UNAVAILABLE = 0, 14


class Call:
    """One call.

    Args:
        headers: Pseudo-headers first.
        pool: Where connections come from.
        lane: Who is told.
    """

    def __init__(self, headers: Headers, *, pool: Pool, lane: Lane) -> None:
        self._headers, self._pool, self._lane = headers, pool, lane
        self._place: tuple[Channel, int] | None = None
        self._is_open = self._is_over = False
        self._rest = b""
        self._name = outcome.GARBLED

    def open(self) -> None:
        """Ask for a connection."""
        self._pool.ask(self)

    def go(self, channel: Channel) -> None:
        """Begin the call (called by the pool)."""
        if not self._is_over:
            self._place = channel, channel.open(self._headers, self, end=False)

    def send(self, content: bytes) -> bool:
        """Send a message; ``False`` when the server takes no more bytes now."""
        return self._write(b"\0" + len(content).to_bytes(4) + content)

    def finish(self) -> None:
        """End our side."""
        self._write(b"", end=True)

    def abort(self) -> None:
        """Cancel the call."""
        self._is_over = True
        if self._place:
            channel, number = self._place
            channel.cancel(number)

    def on_headers(self, headers: dict[str, str]) -> None:
        """The call is open, or here is how it ends (called by the channel)."""
        if _STATUS in headers:
            status = int(headers[_STATUS])
            self._name = of_grpc(status) if self._is_open else f"grpc_{status}"
        elif headers.get(":status") == "200":
            self._is_open = True
            self._lane.on_open(self)
        elif ":status" in headers:
            self._name = outcome.of_status(int(headers[":status"]))

    def on_data(self, data: bytes) -> None:
        """Take messages in (called by the channel)."""
        self._rest += data
        while len(self._rest) >= _PREFIX_BYTES:
            end = _PREFIX_BYTES + int.from_bytes(self._rest[1:_PREFIX_BYTES])
            if len(self._rest) < end:
                return
            content, self._rest = self._rest[_PREFIX_BYTES:end], self._rest[end:]
            self._lane.on_message(self, content)

    def on_end(self) -> None:
        """The server ended the call (called by the channel)."""
        self.on_lost(self._name)

    def on_lost(self, name: str) -> None:
        """The call broke off, or there is no connection for it (called by channel or pool)."""
        if not self._is_over:
            self._is_over = True
            self._lane.on_end(self, name)

    def _write(self, data: bytes, *, end: bool = False) -> bool:
        if self._is_over or not self._place:
            return False
        channel, number = self._place
        return channel.send(number, data, end=end)


class Calls:
    """The calls of one load.

    Args:
        load: Where to and how.
    """

    def __init__(self, load: Load) -> None:
        self._pool = Pool(load)
        own = (("content-type", "application/grpc"), ("te", "trailers"))
        self._headers = cycle(
            [request_headers(load.target, load, (*own, *more), method="POST") for more in load.headers]
        )

    def new(self, lane: Lane) -> Call:
        """Return a call for a lane."""
        return Call(next(self._headers), pool=self._pool, lane=lane)

    async def close(self) -> None:
        """Let the connections go."""
        await self._pool.close()


def of_grpc(status: int) -> str:
    """Return the class of an open call that was ended with this status."""
    return {_OK: outcome.ENDED, _UNAVAILABLE: outcome.DRAINED}.get(status, f"grpc_{status}")
