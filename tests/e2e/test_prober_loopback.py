"""The prober over real connections on loopback."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.listening import Speaker, abrupt, listening, silent
from upgrader.adapters.background import BackgroundLoop
from upgrader.adapters.prober import BackgroundProber
from upgrader.model.ports import ProbeCounts, ProbeSpec

ENOUGH_SECONDS = 10.0


@pytest.fixture
def background() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop("test-io")
    yield loop
    loop.close()


class Door:
    """Answers each request with what it was given, and counts requests and connections."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        if self.answer:
            writer.write(self.answer)
            await writer.drain()
        else:
            writer.transport.abort()


def probe(background: BackgroundLoop, url: str, *, at_least: int = 3, **spec: object) -> ProbeCounts:
    """Probe until so many have ended, and return them all."""
    fields = {"rate_per_second": 100.0, "expect": 200, "timeout_seconds": 2.0} | spec
    prober = BackgroundProber(ProbeSpec(url=url, **fields), background)  # type: ignore[arg-type]
    prober.start()
    sent, reasons, until = 0, Counter[str](), time.monotonic() + ENOUGH_SECONDS
    while sent < at_least and time.monotonic() < until:
        time.sleep(0.02)
        taken = prober.take()
        sent += taken.sent
        reasons.update(taken.reasons)
    prober.close()
    last = prober.take()
    reasons.update(last.reasons)
    return ProbeCounts(sent + last.sent, reasons.total(), dict(reasons))


def answer(status: int, body: bytes = b"ok", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} Said\r\ncontent-length: {size}\r\n\r\n".encode() + body


def test_a_right_answer_is_no_failure_and_each_probe_has_its_own_connection(
    background: BackgroundLoop,
) -> None:
    door = Door(answer(200))
    with listening(background, door) as port:
        counts = probe(background, f"http://127.0.0.1:{port}/orders?a=b", headers={"x-key": "k"})

    assert counts.sent >= 3
    assert counts.failed == 0
    assert door.connections >= len(door.heads) >= counts.sent
    assert door.heads[0].startswith(b"GET /orders?a=b HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{port}\r\n".encode() in door.heads[0].lower()
    assert b"x-key: k\r\n" in door.heads[0].lower()
    assert b"connection: close\r\n" in door.heads[0].lower()


def test_no_probe_is_ever_sent_twice(background: BackgroundLoop) -> None:
    """A server that resets every request sees as many as are told to have failed."""
    door = Door(b"")
    with listening(background, door) as port:
        counts = probe(background, f"http://127.0.0.1:{port}/", at_least=20, rate_per_second=40.0)

    assert counts.sent == counts.failed
    assert counts.sent <= len(door.heads) <= counts.sent + 1, "one may be cut off when probing ends"


def test_a_door_that_must_be_shut_is_right_when_it_says_so(background: BackgroundLoop) -> None:
    with listening(background, Door(answer(401))) as port:
        counts = probe(background, f"http://127.0.0.1:{port}/", expect=401)

    assert counts.failed == 0


@pytest.mark.parametrize(
    ("speak", "reason"),
    [
        pytest.param(Door(answer(503)), "http_503", id="another status"),
        pytest.param(Door(answer(302)), "http_302", id="a redirect is not followed"),
        pytest.param(Door(answer(200, b"half", length=9)), "eof", id="half an answer"),
        pytest.param(Door(b"SSH-2.0-OpenSSH\r\n\r\n"), "not_http", id="another protocol"),
        pytest.param(silent, "timeout", id="no answer in time"),
        pytest.param(abrupt, "reset", id="reset"),
    ],
)
def test_each_failure_has_its_reason(background: BackgroundLoop, speak: Speaker, reason: str) -> None:
    with listening(background, speak) as port:
        counts = probe(background, f"http://127.0.0.1:{port}/", timeout_seconds=0.3)

    assert set(counts.reasons) == {reason}
    assert counts.failed == counts.sent


def test_a_refused_connection_is_a_failure(background: BackgroundLoop) -> None:
    with listening(background, silent) as port:
        pass

    assert set(probe(background, f"http://127.0.0.1:{port}/").reasons) == {"refused"}


def test_plain_text_where_tls_was_expected_is_a_failure(background: BackgroundLoop) -> None:
    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200))
        await reader.read()

    with listening(background, greets) as port:
        counts = probe(background, f"https://127.0.0.1:{port}/")

    assert set(counts.reasons) == {"tls"}
    assert counts.failed == counts.sent


def test_a_slow_answer_delays_no_other_probe(background: BackgroundLoop) -> None:
    with listening(background, silent) as port:
        counts = probe(
            background, f"http://127.0.0.1:{port}/", at_least=30, rate_per_second=100.0, timeout_seconds=0.5
        )

    assert counts.sent >= 30, "one after the other would have taken 15 s"


def test_a_prober_can_be_closed_twice_and_before_it_began(background: BackgroundLoop) -> None:
    prober = BackgroundProber(ProbeSpec("http://127.0.0.1:1/", 1.0, 200), background)

    prober.close()
    prober.start()
    prober.start()
    prober.close()
    prober.close()

    assert prober.take().sent <= 1
