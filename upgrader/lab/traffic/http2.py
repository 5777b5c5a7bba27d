"""One HTTP/2 connection that tells how each of its streams ended, and serves GOAWAY to the letter.

The protocol is `h2`'s. Why not a whole client: httpx and aiohttp's neighbours send a stream again that GOAWAY
or REFUSED_STREAM turned away, as gRPC's own library does, and tell nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import FrameTooLargeError, ProtocolError

from upgrader.lab.traffic import outcome
from upgrader.lab.traffic.load import Headers

_HEAD_BYTES = 9
_MOST_BYTES = 16_384
_GOAWAY = 7
"""A frame's header, its longest body where nobody agreed on more, and a type. Source: RFC 9113, 4 and 6.8."""


class Stream(Protocol):
    """Who is told what becomes of a stream."""

    def on_headers(self, headers: dict[str, str]) -> None:
        """Take the answer's headers, or its trailers."""

    def on_data(self, data: bytes) -> None:
        """Take a piece of the answer's body."""

    def on_end(self) -> None:
        """The server ended the stream in order; nothing comes after it."""

    def on_lost(self, name: str) -> None:
        """The stream broke off, in this class; nothing comes after it."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """The server takes no more streams.

    Args:
        last_stream: Those after this number are not served.
    """

    last_stream: int


class Frames:
    """Takes GOAWAY out of what comes in.

    h2 closes its connection at a GOAWAY and refuses all that follows, but the streams that it promises to
    serve are still to be answered. Source: h2 4.4.1, ``H2ConnectionStateMachine``, 2026-11-24.
    """

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, data: bytes) -> Iterator[bytes | GoAway]:
        """Yield the whole frames in order, those for h2 as bytes; half a frame is kept for the next time.

        Raises:
            FrameTooLargeError: A frame is longer than we allow, as what is no HTTP/2 seems to be.
        """
        data, begin, end = self._rest + data, 0, 0
        while len(data) - end >= _HEAD_BYTES:
            length = int.from_bytes(data[end : end + 3])
            after = end + _HEAD_BYTES + length
            if length > _MOST_BYTES:
                raise FrameTooLargeError("what came is no HTTP/2")
            if after > len(data):
                break
            if data[end + 3] == _GOAWAY and length >= 8:
                if begin < end:
                    yield data[begin:end]
                last = int.from_bytes(data[end + _HEAD_BYTES : end + _HEAD_BYTES + 4])
                yield GoAway(last & 0x7FFF_FFFF)
                begin = after
            end = after
        self._rest = data[end:]
        if begin < end:
            yield data[begin:end]


class Channel(asyncio.Protocol):
    """Many streams over one connection.

    Args:
        on_leaving: Called once when it takes no more streams: at GOAWAY, or when the connection is lost.
    """

    def __init__(self, *, on_leaving: Callable[[Channel], None]) -> None:
        self._on_leaving = on_leaving
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._frames = Frames()
        self._streams: dict[int, Stream] = {}
        self._transport: asyncio.Transport | None = None
        self._is_told_to_go = False
        self._has_left = False

    @property
    def is_open(self) -> bool:
        """Whether it takes streams, but for their number."""
        return self._transport is not None and not self._has_left

    @property
    def is_full(self) -> bool:
        """Whether the server allows no more streams at once."""
        return len(self._streams) >= self._h2.remote_settings.max_concurrent_streams

    def open(self, headers: Headers, stream: Stream, *, end: bool) -> int:
        """Begin a stream and return its number.

        Args:
            headers: Pseudo-headers first.
            stream: Who is told of it.
            end: Whether that is all we send.
        """
        number = self._h2.get_next_available_stream_id()
        self._streams[number] = stream
        self._h2.send_headers(number, headers, end_stream=end)
        self._flush()
        return number

    def send(self, number: int, data: bytes, *, end: bool = False) -> bool:
        """Send on a stream that is open; ``False`` when the server takes no more bytes now."""
        if self._h2.local_flow_control_window(number) < len(data):
            return False
        self._h2.send_data(number, data, end_stream=end)
        self._flush()
        return True

    def cancel(self, number: int) -> None:
        """Give a stream up; nobody is told of it any more."""
        if self._streams.pop(number, None):
            self._h2.reset_stream(number, ErrorCodes.CANCEL)
            self._flush()
            self._close_when_done()

    def close(self) -> None:
        """Close the connection; streams that are open are lost."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to speak (called by asyncio)."""
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take what came in (called by asyncio)."""
        try:
            for piece in self._frames.cut(data):
                if isinstance(piece, GoAway):
                    self._go_away(piece)
                else:
                    self._take(piece)
        except ProtocolError:
            self._lose(outcome.GARBLED)
            self._abort()
            return
        self._flush()
        self._close_when_done()

    def connection_lost(self, exc: Exception | None) -> None:
        """Lose what is open (called by asyncio)."""
        self._transport = None
        broken = outcome.of_error(exc) if isinstance(exc, OSError) else outcome.EOF
        self._lose(outcome.GOAWAY_CUT if self._is_told_to_go else broken)

    def _take(self, piece: bytes) -> None:
        for event in self._h2.receive_data(piece):
            self._tell(event)

    def _tell(self, event: events.Event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        match event:
            case events.DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if stream:
                    stream.on_data(event.data)
            case events.ResponseReceived() | events.TrailersReceived() if stream:
                stream.on_headers({str(name): str(value) for name, value in event.headers})
            case events.StreamEnded() if stream:
                del self._streams[event.stream_id]
                stream.on_end()
            case events.StreamReset() if stream:
                del self._streams[event.stream_id]
                stream.on_lost(outcome.of_reset(int(event.error_code)))

    def _go_away(self, said: GoAway) -> None:
        self._is_told_to_go = True
        self._leave()
        for number in [number for number in self._streams if number > said.last_stream]:
            self._streams.pop(number).on_lost(outcome.GOAWAY)

    def _lose(self, name: str) -> None:
        self._leave()
        while self._streams:
            self._streams.popitem()[1].on_lost(name)

    def _leave(self) -> None:
        if not self._has_left:
            self._has_left = True
            self._on_leaving(self)

    def _close_when_done(self) -> None:
        if self._has_left and not self._streams:
            self.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if (data := self._h2.data_to_send()) and self._transport is not None:
            self._transport.write(data)
