"""HTTP/2 requests: each ends once, in the class that the server's last word asks for."""

from __future__ import annotations

from typing import cast

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from upgrader.lab.traffic.exchanges import Exchange, request_headers
from upgrader.lab.traffic.http2 import Channel, Frames, GoAway
from upgrader.lab.traffic.kinds import Kind
from upgrader.lab.traffic.load import Load, Target

TARGET = Target("127.0.0.1", 8443, "/", tls=True)
HEADERS = request_headers(TARGET, Load(TARGET, 1.0, 1.0, kind=Kind.H2), ())
ANSWER = ((":status", "200"),)


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close


class Talk:
    """A channel, the server at its other end, and how each request ended."""

    def __init__(self, requests: int) -> None:
        self.left = 0
        self.wire = Wire()
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.server.initiate_connection()
        self.channel = Channel(on_leaving=self._leaving)
        self.channel.connection_made(cast("object", self.wire))  # type: ignore[arg-type]
        self.ends: dict[int, str] = {}
        self.exchanges = [self._ask(number) for number in range(requests)]
        asked = self.server.receive_data(self.wire.written)
        self.numbers = [event.stream_id or 0 for event in asked if isinstance(event, RequestReceived)]
        self.tell()

    def tell(self) -> None:
        """Hand what the server said to the channel."""
        self.channel.data_received(self.server.data_to_send())

    def answer(self, number: int) -> None:
        self.server.send_headers(number, ANSWER)
        self.server.send_data(number, b"served", end_stream=True)

    def _ask(self, number: int) -> Exchange:
        def end(_exchange: Exchange, name: str) -> None:
            assert number not in self.ends
            self.ends[number] = name

        exchange = Exchange(HEADERS, due=0.0, begun=0.0, on_end=end)
        exchange.go(self.channel)
        return exchange

    def _leaving(self, _channel: Channel) -> None:
        self.left += 1


def goaway(last: int) -> bytes:
    return b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + last.to_bytes(4) + (0).to_bytes(4)


def test_an_answer_is_in_the_class_of_its_status() -> None:
    talk = Talk(2)
    talk.answer(talk.numbers[0])
    talk.server.send_headers(talk.numbers[1], ((":status", "503"),), end_stream=True)
    talk.tell()

    assert talk.ends == {0: "ok", 1: "http_503"}
    assert talk.channel.is_open


def test_a_goaway_refuses_what_came_late_and_lets_the_rest_be_answered() -> None:
    """As a balancer does with connections that are too old: no request that it took is lost."""
    talk = Talk(3)
    talk.channel.data_received(goaway(talk.numbers[1]))

    assert talk.ends == {2: "goaway"}
    assert (talk.channel.is_open, talk.left, talk.wire.closed) == (False, 1, False)

    talk.answer(talk.numbers[0])
    talk.answer(talk.numbers[1])
    talk.tell()

    assert talk.ends == {0: "ok", 1: "ok", 2: "goaway"}
    assert talk.wire.closed


def test_a_first_goaway_only_announces() -> None:
    """Graceful shutdown: 2^31-1 first, the real number later."""
    talk = Talk(1)
    talk.channel.data_received(goaway(2**31 - 1) + goaway(talk.numbers[0]))
    talk.answer(talk.numbers[0])
    talk.tell()

    assert (talk.ends, talk.left) == ({0: "ok"}, 1)


def test_a_connection_that_ends_after_its_goaway_breaks_a_promise() -> None:
    talk = Talk(2)
    talk.channel.data_received(goaway(talk.numbers[0]))
    talk.channel.connection_lost(None)

    assert talk.ends == {0: "goaway_cut", 1: "goaway"}


@pytest.mark.parametrize(
    ("error", "name"),
    [(None, "eof"), (ConnectionResetError(104, ""), "reset"), (BrokenPipeError(32, ""), "reset")],
)
def test_a_connection_that_ends_loses_all_that_it_carried(error: Exception | None, name: str) -> None:
    talk = Talk(2)
    talk.channel.connection_lost(error)

    assert talk.ends == {0: name, 1: name}
    assert talk.left == 1


@pytest.mark.parametrize(("code", "name"), [(7, "stream_refused"), (2, "stream_reset"), (8, "stream_reset")])
def test_a_stream_that_is_reset_leaves_the_others_alone(code: int, name: str) -> None:
    talk = Talk(2)
    talk.server.reset_stream(talk.numbers[0], code)
    talk.answer(talk.numbers[1])
    talk.tell()

    assert talk.ends == {0: name, 1: "ok"}


def test_an_answer_after_its_time_is_not_counted_again() -> None:
    talk = Talk(2)
    talk.exchanges[0].give_up("timeout")
    talk.answer(talk.numbers[0])
    talk.answer(talk.numbers[1])
    talk.tell()

    assert talk.ends == {0: "timeout", 1: "ok"}


def test_what_is_no_http2_is_garbled() -> None:
    talk = Talk(1)
    talk.channel.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    assert talk.ends == {0: "garbled"}


@pytest.mark.parametrize("size", [1, 3, 9, 16, 1_000])
def test_a_goaway_is_found_however_the_bytes_come(size: int) -> None:
    """Before and after it, all bytes are there and in order."""
    ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"12345678"
    data, frames = ping + goaway(5) + ping + ping, Frames()

    cut = [piece for start in range(0, len(data), size) for piece in frames.cut(data[start : start + size])]

    at = cut.index(GoAway(5))
    assert b"".join(piece for piece in cut[:at] if isinstance(piece, bytes)) == ping
    assert b"".join(piece for piece in cut[at + 1 :] if isinstance(piece, bytes)) == ping + ping
