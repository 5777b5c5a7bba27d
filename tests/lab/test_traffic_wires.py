"""gRPC and WebSocket as they are on the wire: what the server says becomes what the lane is told."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from websockets.http11 import Request
from websockets.server import ServerProtocol

from upgrader.lab.traffic.calls import Call
from upgrader.lab.traffic.exchanges import request_headers
from upgrader.lab.traffic.http2 import Channel
from upgrader.lab.traffic.kinds import Kind
from upgrader.lab.traffic.lanes import Lane, Session
from upgrader.lab.traffic.load import Load, Target
from upgrader.lab.traffic.pool import Pool
from upgrader.lab.traffic.sockets import Socket

TARGET = Target("127.0.0.1", 8443, "/websocket")


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        """Stay: the server's turn."""

    abort = close

    def take(self) -> bytes:
        data, self.written = self.written, b""
        return data


class Heard:
    """A lane that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_open(self, _session: Session) -> None:
        self.told.append("open")

    def on_message(self, _session: Session, content: bytes) -> None:
        self.told.append(content)

    def on_end(self, _session: Session, name: str) -> None:
        self.told.append(f"end: {name}")


class Calling:
    """A call that was begun, and its server."""

    def __init__(self) -> None:
        self.lane, self.wire = Heard(), Wire()
        load = Load(TARGET, 1.0, 1.0, kind=Kind.GRPC)
        self.channel = Channel(on_leaving=lambda _channel: None)
        self.channel.connection_made(cast(asyncio.Transport, self.wire))
        self.call = Call(
            request_headers(TARGET, load, (), method="POST"), pool=Pool(load), lane=cast(Lane, self.lane)
        )
        self.call.go(self.channel)
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.server.initiate_connection()
        self.server.receive_data(self.wire.take())

    def say(self, data: bytes = b"", *, opened: bool = True, status: int | None = None) -> None:
        if opened:
            self.server.send_headers(1, ((":status", "200"),))
        if data:
            self.server.send_data(1, data)
        if status is not None:
            trailers = (("grpc-status", str(status)),)
            self.server.send_headers(
                1, trailers if opened else ((":status", "200"), *trailers), end_stream=True
            )
        self.channel.data_received(self.server.data_to_send())


def test_messages_of_a_call_are_cut_out_of_its_body() -> None:
    """Two in one piece, and half a third."""
    calling = Calling()
    calling.say(b"\0\0\0\0\x03one" + b"\0\0\0\0\x03two" + b"\0\0\0\0\x05thr")
    assert calling.lane.told == ["open", b"one", b"two"]

    calling.server.send_data(1, b"ee")
    calling.channel.data_received(calling.server.data_to_send())

    assert calling.lane.told == ["open", b"one", b"two", b"three"]


@pytest.mark.parametrize(("status", "name"), [(0, "ended"), (14, "drained"), (13, "grpc_13")])
def test_the_trailers_of_a_call_say_how_it_ended(status: int, name: str) -> None:
    calling = Calling()
    calling.say(status=status)

    assert calling.lane.told == ["open", f"end: {name}"]


@pytest.mark.parametrize("status", [0, 14, 16])
def test_a_call_that_is_refused_was_never_open(status: int) -> None:
    """A gateway without a backend says UNAVAILABLE too, and that is no drain."""
    calling = Calling()
    calling.say(opened=False, status=status)

    assert calling.lane.told == [f"end: grpc_{status}"]


def test_a_call_that_was_dropped_says_no_more() -> None:
    calling = Calling()
    calling.call.abort()
    calling.channel.connection_lost(None)

    assert calling.lane.told == []
    assert not calling.call.send(b"late")


class Upgrading:
    """A WebSocket that was asked for, and its server."""

    def __init__(self) -> None:
        self.lane, self.wire = Heard(), Wire()
        load = Load(TARGET, 1.0, 1.0, kind=Kind.WEBSOCKET)
        self.socket = Socket(load, (("x-api-key", "k"),), lane=cast(Lane, self.lane))
        self.socket.connection_made(cast(asyncio.Transport, self.wire))
        self.server = ServerProtocol()
        self.server.receive_data(self.wire.take())
        (self.request,) = cast(list[Request], self.server.events_received())

    def accept(self) -> None:
        self.server.send_response(self.server.accept(self.request))
        self.tell()

    def tell(self) -> None:
        self.socket.data_received(b"".join(self.server.data_to_send()))


def test_a_websocket_brings_its_key_and_its_messages_back() -> None:
    upgrading = Upgrading()
    upgrading.accept()
    upgrading.socket.send(b"one")
    upgrading.server.receive_data(upgrading.wire.take())
    (frame,) = upgrading.server.events_received()
    upgrading.server.send_binary(b"one")
    upgrading.tell()

    assert upgrading.request.headers["x-api-key"] == "k"
    assert getattr(frame, "data", b"") == b"one"
    assert upgrading.lane.told == ["open", b"one"]


@pytest.mark.parametrize(
    ("code", "name"), [(1000, "ended"), (1001, "drained"), (1012, "drained"), (1011, "closed_1011")]
)
def test_the_close_of_a_websocket_says_how_it_ended(code: int, name: str) -> None:
    upgrading = Upgrading()
    upgrading.accept()
    upgrading.server.send_close(code)
    upgrading.tell()

    assert upgrading.lane.told == ["open", f"end: {name}"]


def test_a_websocket_that_is_refused_ends_with_the_status() -> None:
    upgrading = Upgrading()
    upgrading.server.send_response(upgrading.server.reject(401, "no key"))
    upgrading.tell()

    assert upgrading.lane.told == ["end: http_401"]


@pytest.mark.parametrize(("error", "name"), [(None, "eof"), (ConnectionResetError(104, ""), "reset")])
def test_a_websocket_without_a_close_was_cut(error: Exception | None, name: str) -> None:
    upgrading = Upgrading()
    upgrading.accept()
    upgrading.socket.connection_lost(error)

    assert upgrading.lane.told == ["open", f"end: {name}"]
