"""One HTTP/1.1 connection that carries one request at a time and never sends it again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httptools

from upgrader.lab.traffic import outcome


@dataclass(slots=True, eq=False)
class Request:
    """One request of the load.

    Args:
        content: Its bytes.
        due: When it was to be sent (`time.perf_counter`).
        begun: When it was taken up.
        ended: Whether it is in a class already; it must not be counted again.
        connection: What carries it, once connected.
        queued: Whether it waits for one of the connections to become free.
    """

    content: bytes
    due: float
    begun: float
    ended: bool = False
    connection: Connection | None = None
    queued: bool = False


class Connection(asyncio.Protocol):
    """Send requests one after the other and tell how each ended.

    Args:
        on_end: Called once for each request sent, with its class.
        on_idle: Called when another request may be sent.
        on_lost: Called once when the connection is gone, after the request it carried was ended.
    """

    def __init__(
        self,
        *,
        on_end: Callable[[Request, str], None],
        on_idle: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._on_end, self._on_idle, self._on_lost = on_end, on_idle, on_lost
        self._request: Request | None = None
        self._closed_as = outcome.EOF
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent on it."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: Request) -> None:
        """Put one request on the wire; on a connection that was closed meanwhile it ends at once."""
        if self._request is not None:
            raise RuntimeError("a connection carries one request at a time")
        if self._transport is None or self._transport.is_closing():
            self._on_end(request, self._closed_as)
            return
        self._request = request
        request.connection = self
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request.content)

    def abort(self) -> None:
        """Drop the connection at once; what it carried must have been ended by the caller."""
        self._request = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by asyncio; uvloop's is a stream but no subclass of asyncio's)."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came in (called by asyncio)."""
        if self._request is None:
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(outcome.GARBLED)
            self.abort()

    def on_message_complete(self) -> None:
        """End the request with its status (called by the parser)."""
        keep = self._parser.should_keep_alive() and self.is_open
        self._end(outcome.of_status(self._parser.get_status_code()))
        if keep:
            self._on_idle(self)
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request that was on its way (called by asyncio)."""
        if isinstance(exc, OSError):
            self._closed_as = outcome.of_error(exc)
        self._end(self._closed_as)
        self._transport = None
        self._on_lost(self)

    def _end(self, name: str) -> None:
        request, self._request = self._request, None
        if request is not None:
            self._on_end(request, name)
