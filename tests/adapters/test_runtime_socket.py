"""The command socket over loopback; the real HAProxy behind it is in tests/e2e/test_haproxy.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.listening import Speaker, abrupt, listening, silent
from upgrader.adapters.background import BackgroundLoop
from upgrader.adapters.runtime_socket import LARGEST_ANSWER, ask


@pytest.fixture
def background() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop("test-io")
    yield loop
    loop.run(_all_ended(), timeout_seconds=5)
    loop.close()


async def _all_ended() -> None:
    """Wait until every connection is closed: what is left open is a warning."""
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)


class Program:
    """Answers its one line in two pieces and hangs up; it remembers what it was told."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.told: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.told.append(await reader.readline())
        for piece in self.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)


def test_one_line_is_sent_once_and_all_that_comes_back_is_the_answer(background: BackgroundLoop) -> None:
    program = Program(b"# pxname", b",svname\n\n")

    with listening(background, program) as port:
        answer = ask(f"127.0.0.1:{port}", "show stat;show info", 2)

    assert (answer.status, answer.body, answer.error) == (200, b"# pxname,svname\n\n", "")
    assert program.told == [b"show stat;show info\n"]


async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


async def flooding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(LARGEST_ANSWER // 2**20 + 1):
        writer.write(bytes(2**20))
        await writer.drain()


@pytest.mark.parametrize(
    ("speak", "words", "seconds"),
    [
        pytest.param(silent, "no answer within 0.3 s", 0.3, id="silent"),
        pytest.param(trickling, "no answer within 0.3 s", 0.3, id="the deadline is of the whole answer"),
        pytest.param(Program(), "hung up without a word", 2.0, id="nothing"),
        pytest.param(abrupt, ": ", 2.0, id="abrupt, seen as an end or as a reset"),
        pytest.param(flooding, "longer than", 5.0, id="endless"),
    ],
)
def test_no_whole_answer_is_an_error(
    background: BackgroundLoop, speak: Speaker, words: str, seconds: float
) -> None:
    with listening(background, speak) as port:
        answer = ask(f"127.0.0.1:{port}", "show info", seconds)

    assert (answer.status, answer.body) == (0, b"")
    assert words in answer.error
    assert answer.error.startswith(f"127.0.0.1:{port}: ")


def test_a_socket_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert "No such file" in ask(f"unix:{tmp_path}/none.sock", "show info", 1).error
    assert "refused" in ask("127.0.0.1:1", "show info", 1).error


@pytest.mark.parametrize("address", ["nothing", "host:port", "unix:/" + "x" * 200])
def test_an_address_that_is_none_is_an_error_too(address: str) -> None:
    assert ask(address, "show info", 1).error
