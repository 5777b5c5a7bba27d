from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import aiohttp
import pytest

from upgrader.adapters.api_access import ApiAccess
from upgrader.adapters.portforward import PortForwardWay
from upgrader.adapters.ways import ApiServerWay, Fetched
from upgrader.model.ports import Answer, Endpoint

T = TypeVar("T")
POD = Endpoint("uid-a", "gw", "proxy-a", "10.0.0.1", 19000)
PORT = (19000).to_bytes(2, "little")
PAGE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def said(message: bytes) -> aiohttp.WSMessage:
    return aiohttp.WSMessage(aiohttp.WSMsgType.BINARY, message, None)


def data(body: bytes) -> aiohttp.WSMessage:
    return said(b"\x00" + body)


def error(words: str) -> aiohttp.WSMessage:
    return said(b"\x01" + words.encode())


NAMED = [data(PORT), said(b"\x01" + PORT)]
ENDED = aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, None, None)


@dataclass
class FakeSocket:
    """A WebSocket that says what it was given, then has ended."""

    says: list[aiohttp.WSMessage]
    sent: list[bytes] = field(default_factory=list)
    closed: bool = False

    async def receive(self) -> aiohttp.WSMessage:
        return self.says.pop(0) if self.says else ENDED

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)

    async def close(self) -> None:
        self.closed = True


@dataclass
class FakeAccess:
    """An API server that opens one socket after the other."""

    sockets: list[FakeSocket | Exception]
    urls: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    async def ready(self) -> FakeAccess:
        return self

    def url(self, path: str) -> str:
        return f"https://api:6443{path}"

    async def ws_connect(self, url: object, **options: object) -> FakeSocket:
        self.urls.append(str(url))
        assert options["protocols"] == ("v4.channel.k8s.io",)
        socket = self.sockets.pop(0)
        if isinstance(socket, Exception):
            raise socket
        return socket

    async def close(self) -> None:
        return None


def way(*sockets: FakeSocket | Exception) -> tuple[PortForwardWay, FakeAccess]:
    access = FakeAccess(list(sockets))
    return PortForwardWay(cast("ApiAccess", access)), access


def reads(forward: PortForwardWay, times: int) -> list[Answer]:
    async def all_of_them() -> list[Answer]:
        return [await forward.read(POD, "/stats?usedonly") for _ in range(times)]

    return run(all_of_them())


def test_a_page_comes_through_a_forward_to_the_pods_port() -> None:
    socket = FakeSocket([*NAMED, data(PAGE[:10]), data(PAGE[10:])])
    forward, access = way(socket)

    (answer,) = reads(forward, 1)

    assert (answer.status, answer.body, answer.error) == (200, b"ok", "")
    assert access.urls == ["https://api:6443/api/v1/namespaces/gw/pods/proxy-a/portforward?ports=19000"]
    assert all(message.startswith(b"\x00") for message in socket.sent)
    assert b"GET /stats?usedonly HTTP/1.1\r\n" in b"".join(message[1:] for message in socket.sent)


def test_a_forward_stays_open_between_sweeps() -> None:
    forward, access = way(FakeSocket([*NAMED, data(PAGE), data(PAGE), data(PAGE)]))

    answers = reads(forward, 3)

    assert [one.status for one in answers] == [200, 200, 200]
    assert len(access.urls) == 1


def test_a_forward_that_broke_between_sweeps_is_opened_anew() -> None:
    broken = FakeSocket([*NAMED, data(PAGE)])
    forward, access = way(broken, FakeSocket([*NAMED, data(PAGE)]))

    answers = reads(forward, 2)

    assert [one.status for one in answers] == [200, 200]
    assert len(access.urls) == 2
    assert broken.closed


def test_a_port_nobody_listens_on_is_an_error_with_the_kubelets_words() -> None:
    socket = FakeSocket([*NAMED, error("error forwarding port 19000: connection refused")])

    (answer,) = reads(way(socket)[0], 1)

    assert answer.status == 0
    assert "connection refused" in answer.error
    assert socket.closed


def test_a_forward_that_ends_without_an_answer_is_an_error() -> None:
    (answer,) = reads(way(FakeSocket(list(NAMED)))[0], 1)

    assert answer.error.startswith("BrokenOff")


def test_a_forward_that_is_not_allowed_says_so() -> None:
    request = cast("Any", None)
    refused = aiohttp.WSServerHandshakeError(request, (), status=403, message="Forbidden")

    (answer,) = reads(way(refused)[0], 1)

    assert answer.error == "port-forward: HTTP 403 Forbidden"


def test_a_cancelled_read_closes_its_forward() -> None:
    class Hanging(FakeSocket):
        async def receive(self) -> aiohttp.WSMessage:
            await asyncio.Event().wait()
            raise AssertionError

    socket = Hanging([])
    forward, _ = way(socket)

    async def give_up() -> None:
        task = asyncio.ensure_future(forward.read(POD, "/stats"))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    run(give_up())

    assert socket.closed


def test_closing_closes_every_forward() -> None:
    socket = FakeSocket([*NAMED, data(PAGE)])
    forward, _ = way(socket)
    reads(forward, 1)

    run(forward.close())

    assert socket.closed


@dataclass
class FakePages:
    """A session that answers each GET with the next page."""

    pages: list[tuple[int, bytes, dict[str, str]]]
    urls: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    async def ready(self) -> FakePages:
        return self

    def url(self, path: str) -> str:
        return f"https://api:6443{path}"

    def get(self, url: object, **options: object) -> FakePage:
        self.urls.append(str(url))
        return FakePage(*self.pages.pop(0))

    async def close(self) -> None:
        return None


@dataclass
class FakePage:
    """One answer."""

    status: int
    body: bytes
    headers: dict[str, str]

    async def __aenter__(self) -> FakePage:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    async def read(self) -> bytes:
        return self.body


def through_api(*pages: tuple[int, bytes, dict[str, str]]) -> tuple[list[Answer], list[str]]:
    access = FakePages(list(pages))
    api = ApiServerWay(cast("ApiAccess", access))

    async def all_of_them() -> list[Answer]:
        return [await api.read(POD, "/stats?filter=%5Ehttp") for _ in range(len(pages))]

    return run(all_of_them()), access.urls


def test_the_query_reaches_the_pod_as_it_stands() -> None:
    (answer,), urls = through_api((200, b"server.uptime: 1", {}))

    assert answer.body == b"server.uptime: 1"
    assert urls == ["https://api:6443/api/v1/namespaces/gw/pods/proxy-a:19000/proxy/stats?filter=%5Ehttp"]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            503,
            json.dumps({"message": "error trying to reach service: refused"}).encode(),
            "reach service: refused",
        ),
        (403, b'{"message": "pods \\"proxy-a\\" is forbidden"}', "is forbidden"),
        (502, b"<html>bad gateway</html>", "bad gateway"),
    ],
)
def test_a_bad_answer_has_the_api_servers_words(status: int, body: bytes, words: str) -> None:
    (answer,), _ = through_api((status, body, {}))

    assert answer.status == status
    assert words in answer.error


def test_an_api_server_that_asks_to_wait_is_left_alone() -> None:
    busy = (429, b"", {"Retry-After": "7"})

    answers, urls = through_api(busy, (200, b"", {}))

    assert len(urls) == 1
    assert "asks to wait for 7.0 s more" in answers[1].error


def test_a_fetched_answer_asks_for_no_wait_by_default() -> None:
    assert Fetched(Answer(200)).wait_seconds == 0
