"""WebSockets, one connection each. The package ``websockets`` speaks the protocol; connections are ours."""

from __future__ import annotations

import asyncio
from itertools import cycle
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from upgrader.lab.traffic import outcome
from upgrader.lab.traffic.lanes import Lane
from upgrader.lab.traffic.load import Headers, Load

_ASKED_TO_GO = (CloseCode.GOING_AWAY, CloseCode.SERVICE_RESTART)


class Socket(asyncio.Protocol):
    """One WebSocket.

    Args:
        load: Where to and how.
        headers: Headers of our own.
        lane: Who is told.
    """

    def __init__(self, load: Load, headers: Headers, *, lane: Lane) -> None:
        self._load, self._lane = load, lane
        scheme = "wss" if load.target.tls else "ws"
        self._protocol = ClientProtocol(parse_uri(f"{scheme}://{load.target.authority}{load.target.path}"))
        self._request = self._protocol.connect()
        for name, value in (("user-agent", load.kind.agent), *headers):
            self._request.headers[name] = value
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_over = False

    def open(self) -> None:
        """Begin to connect."""
        self._task = asyncio.get_running_loop().create_task(self._connect())

    def send(self, content: bytes) -> bool:
        """Send a message; the kernel and we hold what the server does not take yet."""
        self._protocol.send_binary(content)
        self._flush()
        return True

    def finish(self) -> None:
        """Begin to close."""
        self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
        self._flush()

    def abort(self) -> None:
        """Drop the connection."""
        self._is_over = True
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade (called by asyncio)."""
        self._transport = cast(asyncio.Transport, transport)
        self._protocol.send_request(self._request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take what came in (called by asyncio)."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._take_response(event)
            elif isinstance(event, Frame):
                self._take_frame(event)
        self._flush()
        if self._protocol.parser_exc is not None:
            self._end(outcome.GARBLED)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is open (called by asyncio)."""
        self._transport = None
        self._end(outcome.of_error(exc) if isinstance(exc, OSError) else outcome.EOF)

    async def _connect(self) -> None:
        target, loop = self._load.target, asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, target.host, target.port, ssl=self._load.context)
        except OSError as error:
            self._end(outcome.of_error(error))

    def _take_response(self, response: Response) -> None:
        refused = self._protocol.handshake_exc
        if refused is None:
            self._lane.on_open(self)
        elif isinstance(refused, InvalidStatus):
            self._end(outcome.of_status(response.status_code))
        else:
            self._end(outcome.GARBLED)

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE and self._protocol.close_rcvd:
            self._end(of_close(self._protocol.close_rcvd.code))
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY) and not self._is_over:
            self._lane.on_message(self, bytes(frame.data))

    def _end(self, name: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._lane.on_end(self, name)
        if self._transport is not None:  # proxies on the way wait for either side, so why not ours
            self._flush()
            self._transport.close()

    def _flush(self) -> None:
        if self._transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()


class Sockets:
    """The WebSockets of one load.

    Args:
        load: Where to and how.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._headers = cycle(load.headers)

    def new(self, lane: Lane) -> Socket:
        """Return a WebSocket for a lane."""
        return Socket(self._load, next(self._headers), lane=lane)

    async def close(self) -> None:
        """Give the last goodbyes a moment; nothing is shared."""
        await asyncio.sleep(0.05)


def of_close(code: int) -> str:
    """Return the class of a WebSocket closed with this code. Source: RFC 6455, 7.4; IANA, 2026-11."""
    if code in _ASKED_TO_GO:
        return outcome.DRAINED
    in_order = code in (CloseCode.NORMAL_CLOSURE, CloseCode.NO_STATUS_RCVD)
    return outcome.ENDED if in_order else f"closed_{int(code)}"
