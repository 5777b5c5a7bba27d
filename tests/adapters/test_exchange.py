from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from upgrader.adapters.exchange import BrokenOff, HttpStream, NotHttp, Page, port_of, target_of
from upgrader.adapters.prober import reason_of

T = TypeVar("T")


@dataclass
class FakeStream:
    """A stream that says its pieces one read at a time, then ends; an exception among them is raised."""

    pieces: list[bytes | Exception]
    written: list[bytes] = field(default_factory=list)
    closed: bool = False

    async def read(self) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    async def write(self, data: bytes) -> None:
        self.written.append(data)

    async def close(self) -> None:
        self.closed = True


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def get(*pieces: bytes | Exception) -> Page:
    return run(HttpStream(FakeStream(list(pieces)), "pod:19000").get("/stats?a=%5E"))


def test_a_request_is_sent_as_it_stands() -> None:
    stream = FakeStream([b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"])

    run(HttpStream(stream, "pod:19000").get("/stats?a=%5E", headers={"X-Key": "k"}, keep=False))

    sent = b"".join(stream.written)
    assert sent.startswith(b"GET /stats?a=%5E HTTP/1.1\r\n")
    assert b"host: pod:19000\r\n" in sent.lower()
    assert b"x-key: k\r\n" in sent.lower()
    assert b"connection: close\r\n" in sent.lower()


def test_a_host_header_of_the_callers_wins() -> None:
    stream = FakeStream([b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"])

    run(HttpStream(stream, "10.0.0.1").get("/", headers={"Host": "api.example"}))

    assert b"".join(stream.written).lower().count(b"host: ") == 1


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy"], id="at once"),
        pytest.param([b"HTTP/1.1 50", b"3 No\r\ncontent-length: 4\r\n", b"\r\nbu", b"sy"], id="in pieces"),
        pytest.param(
            [b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nbu\r\n", b"2\r\nsy\r\n0\r\n\r\n"],
            id="chunked",
        ),
        pytest.param([b"HTTP/1.1 503 No\r\n\r\nbusy"], id="until the end"),
        pytest.param(
            [b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy"], id="after 100"
        ),
    ],
)
def test_an_answer_is_read_whole(pieces: list[bytes]) -> None:
    assert get(*pieces) == Page(503, b"busy")


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        pytest.param([], BrokenOff, id="closed without an answer"),
        pytest.param([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"], BrokenOff, id="half a body"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nbu\r\n"],
            BrokenOff,
            id="half the chunks",
        ),
        pytest.param([b"HTTP/1.1 200 O"], BrokenOff, id="half a head"),
        pytest.param([b"SSH-2.0-OpenSSH_9\r\n\r\n"], NotHttp, id="another protocol"),
        pytest.param([ConnectionResetError()], ConnectionResetError, id="reset"),
    ],
)
def test_a_broken_answer_is_an_error_and_the_request_was_sent_once(
    pieces: list[bytes | Exception], error: type[Exception]
) -> None:
    stream = FakeStream(pieces)

    with pytest.raises(error):
        run(HttpStream(stream, "pod").get("/"))

    assert b"".join(stream.written).count(b"GET ") == 1


def test_requests_follow_each_other_over_one_stream() -> None:
    page = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"
    http = HttpStream(FakeStream([page + b"a", page + b"b"]), "pod")

    async def both() -> list[Page]:
        first = await http.get("/")
        assert http.is_reusable
        return [first, await http.get("/")]

    assert [one.body for one in run(both())] == [b"a", b"b"]


def test_a_stream_the_server_will_close_is_not_reusable() -> None:
    http = HttpStream(
        FakeStream([b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"]), "pod"
    )

    run(http.get("/"))

    assert not http.is_reusable


@pytest.mark.parametrize(
    ("url", "port", "target"),
    [
        ("http://a.example", 80, "/"),
        ("https://a.example/x?y=%26", 443, "/x?y=%26"),
        ("http://[::1]:9901/stats#part", 9901, "/stats"),
    ],
)
def test_where_a_url_points(url: str, port: int, target: str) -> None:
    parts = urlsplit(url)

    assert (port_of(parts), target_of(parts)) == (port, target)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (TimeoutError(), "timeout"),
        (BrokenOff("half"), "eof"),
        (NotHttp("ssh"), "not_http"),
        (ConnectionResetError(), "reset"),
        (ssl.SSLCertVerificationError("bad"), "tls"),
        (OSError(113, "No route to host"), "unreachable"),
        (ValueError("odd"), "ValueError"),
    ],
)
def test_why_a_probe_failed_is_one_word(error: BaseException, word: str) -> None:
    assert reason_of(error) == word
