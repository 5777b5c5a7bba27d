"""Two ways to read a page of one pod: straight at its IP, and through the API server's proxy."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import aiohttp
from yarl import URL

from upgrader.adapters.api_access import ApiAccess
from upgrader.model.ports import Answer, Endpoint

LARGEST_ANSWER: Final = 8 * 2**20
"""Bytes; more than this is not the filtered page that was asked for."""
DIRECT_AT_ONCE: Final = 200
"""Reads straight at pods at once. More would end together, on a busy machine all after the deadline."""
CONNECT_SECONDS: Final = 0.3
"""Within the pod network; longer, and a pod that is gone keeps others from their turn."""
API_CONNECTIONS: Final = 20
"""Reads through the API server at once: each is a call with a connection of its own to the pod."""
WAIT_SECONDS: Final = 1.0
"""How long to leave the API server alone that asks for it without saying how long."""
_KEPT_SECONDS = 60
_DIRECT_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)


class Way(Protocol):
    """One way to reach a port of a pod; used inside the background loop only."""

    name: str

    async def read(self, endpoint: Endpoint, path: str) -> Answer:
        """Return the page, or an answer with an error; may be cancelled."""

    async def close(self) -> None:
        """Close all connections."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, and for how many seconds the server asks to be left alone (HTTP 429)."""

    answer: Answer
    wait_seconds: float = 0.0


async def fetch(session: aiohttp.ClientSession, url: str, **options: Any) -> Fetched:
    """Fetch once; no answer is an `Answer` with an error. A repeated read on a stale connection is harmless.

    Args:
        session: Its connections are kept.
        url: Already encoded: ``?`` and ``%`` are sent as they stand.
        options: Passed on to aiohttp.
    """
    began = time.monotonic()
    try:
        async with session.get(URL(url, encoded=True), allow_redirects=False, **options) as response:
            body = await response.read()
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Fetched(Answer(0, error=why(error), seconds=time.monotonic() - began))
    seconds = time.monotonic() - began
    if len(body) > LARGEST_ANSWER:
        return Fetched(Answer(0, error=f"answer of {len(body)} bytes", seconds=seconds))
    wait = _asked_wait(response.headers.get("Retry-After", "")) if response.status == 429 else 0.0
    return Fetched(Answer(response.status, body, seconds=seconds), wait)


def _asked_wait(header: str) -> float:
    return float(header) if header.isdigit() else WAIT_SECONDS


def why(error: BaseException) -> str:
    """Return an error as one line, the system's words where there are any."""
    cause = getattr(error, "os_error", None) or error
    words = getattr(cause, "strerror", None) or str(cause)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


class DirectWay:
    """Straight at the pod's IP: from inside the cluster, or where the pod network is routed."""

    name = "direct"

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._few = asyncio.Semaphore(DIRECT_AT_ONCE)

    async def read(self, endpoint: Endpoint, path: str) -> Answer:
        """Return the page over a kept connection."""
        if not endpoint.address:
            return Answer(0, error="the pod has no IP")
        if self._session is None:
            pool = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_SECONDS)
            self._session = aiohttp.ClientSession(connector=pool, timeout=_DIRECT_TIMEOUT)
        host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
        async with self._few:
            fetched = await fetch(self._session, f"http://{host}:{endpoint.port}{path}")
        return fetched.answer

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _with_words(answer: Answer) -> Answer:
    """Add the API server's own words, such as ``error trying to reach service``, to an answer that is bad."""
    if answer.error or answer.status < 400:
        return answer
    try:
        words = json.loads(answer.body)["message"]
    except (ValueError, KeyError, TypeError):
        words = answer.body.decode("utf-8", "replace").strip()
    return replace(answer, error=f"HTTP {answer.status}: {str(words)[:200]}")


class ApiServerWay:
    """Through ``pods/proxy``: needs the right to get it, and a port that is not bound to loopback.

    Source: kubernetes v1.37 ``pkg/registry/core/pod/strategy.go``: the pod's IP, a numeric port.
    """

    name = "apiserver"

    def __init__(self, access: ApiAccess) -> None:
        """Use an access that opens few connections at once: it is what paces the reads."""
        self._access = access
        self._not_before = 0.0

    async def read(self, endpoint: Endpoint, path: str) -> Answer:
        """Return the page; while the API server asks to be left alone, an error."""
        wait = self._not_before - time.monotonic()
        if wait > 0:
            return Answer(0, error=f"the API server asks to wait for {wait:.1f} s more")
        session = await self._access.ready()
        where = f"/api/v1/namespaces/{endpoint.namespace}/pods/{endpoint.pod}:{endpoint.port}/proxy"
        fetched = await fetch(session, self._access.url(where + path), **self._access.options)
        if fetched.wait_seconds:
            self._not_before = time.monotonic() + fetched.wait_seconds
        return _with_words(fetched.answer)

    async def close(self) -> None:
        """Close all connections."""
        await self._access.close()
