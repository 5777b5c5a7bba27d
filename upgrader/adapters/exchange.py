"""HTTP/1.1 over any stream of bytes, each request sent exactly once.

Client libraries replay an idempotent request when a connection breaks under it: aiohttp does so even on one
it has just opened (3.14.5, ``force_close=True``: a server that reset every request saw 100 where the caller
heard of 50). Whoever counts failures, or has no socket, needs this instead.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import SplitResult

import h11

LARGEST_BODY: Final = 8 * 2**20
"""Bytes; a longer answer is broken off."""
_CHUNK = 65536


class ByteStream(Protocol):
    """Two-way bytes; raises `ConnectionError` or `OSError` when they end badly."""

    async def read(self) -> bytes:
        """Return what came, at least one byte; nothing once the other side has ended."""

    async def write(self, data: bytes) -> None:
        """Send it all."""

    async def close(self) -> None:
        """End both ways."""


class BrokenOff(ConnectionError):
    """The other side ended before its answer was whole."""


class NotHttp(ConnectionError):
    """What came was no HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Page:
    """A whole answer.

    Args:
        status: HTTP status.
        body: The body.
    """

    status: int
    body: bytes


class HttpStream:
    """Requests one after another over one stream.

    Args:
        stream: The bytes.
        host: What the ``Host`` header says.
    """

    def __init__(self, stream: ByteStream, host: str) -> None:
        self._stream = stream
        self._host = host
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_CHUNK)
        self._has_ended = False

    async def get(self, target: str, *, headers: Mapping[str, str] | None = None, keep: bool = True) -> Page:
        """Send one GET and return its whole answer; nothing is ever sent again.

        Args:
            target: Path and query, encoded.
            headers: Sent along; ``Host`` among them wins.
            keep: Ask for the connection to stay open.

        Raises:
            BrokenOff: The answer was not whole.
            ConnectionError: The stream broke.
            NotHttp: What came was no HTTP.
        """
        if self._state.our_state is h11.DONE:
            self._state.start_next_cycle()
        await self._send(h11.Request(method="GET", target=target, headers=self._headers(headers or {}, keep)))
        await self._send(h11.EndOfMessage())
        return await self._answer()

    @property
    def is_reusable(self) -> bool:
        """Tell whether another request may follow."""
        return self._state.our_state is h11.DONE and self._state.their_state is h11.DONE

    async def close(self) -> None:
        """End the stream."""
        await self._stream.close()

    def _headers(self, extra: Mapping[str, str], keep: bool) -> list[tuple[str, str]]:
        given = {name.lower() for name in extra}
        ours = {"host": self._host, "user-agent": "upgrader", "accept": "*/*"}
        if not keep:
            ours["connection"] = "close"
        return [pair for pair in ours.items() if pair[0] not in given] + list(extra.items())

    async def _send(self, event: h11.Request | h11.EndOfMessage) -> None:
        data = self._state.send(event)
        if data:
            await self._stream.write(data)

    async def _answer(self) -> Page:
        status, parts, size = 0, [], 0
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                size += len(event.data)
                if size > LARGEST_BODY:
                    raise BrokenOff(f"answer longer than {LARGEST_BODY} bytes")
        return Page(status, b"".join(parts))

    async def _next_event(self) -> object:
        while (event := self._event()) is h11.NEED_DATA:
            data = await self._stream.read()
            self._has_ended = not data
            self._state.receive_data(data)
        return event

    def _event(self) -> object:
        try:
            return self._state.next_event()
        except h11.RemoteProtocolError as error:
            raise BrokenOff(str(error)) if self._has_ended else NotHttp(str(error)) from error


async def connected(url: SplitResult, *, address: str = "", tls: ssl.SSLContext | None = None) -> HttpStream:
    """Open a connection to where a URL points; the caller closes it.

    Args:
        url: Its scheme, host and port.
        address: An IP to use instead of looking the host up.
        tls: For ``https``; the system's trust by default.
    """
    if url.scheme == "https":
        context = tls or await asyncio.to_thread(ssl.create_default_context)
        options: dict[str, Any] = {"ssl": context, "server_hostname": url.hostname}
    else:
        options = {}
    reader, writer = await asyncio.open_connection(address or url.hostname, port_of(url), **options)
    return HttpStream(SocketStream(reader, writer), url.netloc.rpartition("@")[2])


def port_of(url: SplitResult) -> int:
    """Return the port of a URL, written or implied."""
    return url.port or (443 if url.scheme == "https" else 80)


def target_of(url: SplitResult) -> str:
    """Return the path and query of a URL."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


class SocketStream:
    """`ByteStream` over an asyncio connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return what came."""
        return await self._reader.read(_CHUNK)

    async def write(self, data: bytes) -> None:
        """Send it all."""
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """End it at once; what was not sent is dropped."""
        self._writer.transport.abort()
