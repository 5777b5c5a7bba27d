"""Read one path from many pods at once, straight at their IPs.

Measured (1,000 stub proxies, answers of 2.5 kB, two cores): 0.08-0.1 s and as much CPU a sweep, on kept
connections; the first sweep, which opens them, 0.2 s.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
from yarl import URL

from upgrader.adapters.background import BackgroundLoop
from upgrader.model.ports import Answer, Endpoint

LARGEST_ANSWER: Final = 8 * 2**20
"""Bytes; more than this is not the filtered page that was asked for."""
_GRACE_SECONDS = 0.2
"""How much longer than its deadline a sweep may take to put its answers together."""
_FILES_WANTED = 16384

ReadOne = Callable[[Endpoint, str], Awaitable[Answer]]


async def read_all(
    read: ReadOne, endpoints: Sequence[Endpoint], path: str, *, seconds: float
) -> dict[str, Answer]:
    """Read every endpoint at once; those that have not answered in time get an error.

    One timer serves all: a timer a request costs more than the request.
    """
    if not endpoints:
        return {}
    tasks = {asyncio.ensure_future(read(one, path)): one for one in endpoints}
    done, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    answers = {tasks[task].key: _outcome(task) for task in done}
    no_answer = Answer(0, error=f"no answer within {seconds:g} s", seconds=seconds)
    return answers | {tasks[task].key: no_answer for task in late}


def _outcome(task: asyncio.Future[Answer]) -> Answer:
    error = task.exception()
    return Answer(0, error=f"{type(error).__name__}: {error}") if error else task.result()


async def fetch(session: aiohttp.ClientSession, url: str, **options: Any) -> Answer:
    """Fetch once; no answer is an `Answer` with an error. A repeated read on a stale connection is harmless.

    Args:
        session: Its connections are kept.
        url: Already encoded: ``?`` and ``%`` are sent as they stand.
        options: Passed on to aiohttp.
    """
    began = time.monotonic()
    try:
        async with session.get(URL(url, encoded=True), allow_redirects=False, **options) as response:
            body = (
                await response.content.read(-1) if response.content_length is None else await response.read()
            )
            if len(body) > LARGEST_ANSWER:
                return Answer(0, error=f"answer of {len(body)} bytes", seconds=time.monotonic() - began)
            return Answer(response.status, body, seconds=time.monotonic() - began)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Answer(0, error=_why(error), seconds=time.monotonic() - began)


def _why(error: BaseException) -> str:
    cause = getattr(error, "os_error", None) or error
    words = getattr(cause, "strerror", None) or str(cause)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def kept_connections(limit: int = 0) -> aiohttp.TCPConnector:
    """Return a pool that keeps connections between sweeps; call it inside the loop.

    Args:
        limit: Most connections at once; 0 for no limit.
    """
    return aiohttp.TCPConnector(limit=limit, limit_per_host=limit, keepalive_timeout=60)


class DirectSweep:
    """`Sweep` straight at the pods' IPs: from inside the cluster, or where the pod network is routed."""

    reach = "direct"

    def __init__(self, background: BackgroundLoop) -> None:
        """Keep connections inside that loop."""
        allow_many_files()
        self._background = background
        self._session: aiohttp.ClientSession | None = None

    def read(
        self, endpoints: Sequence[Endpoint], path: str, *, deadline_seconds: float
    ) -> Mapping[str, Answer]:
        """Return an answer for every endpoint, by key; a pod that did not answer has an error."""
        work = self.read_within(endpoints, path, seconds=deadline_seconds)
        return self._background.run(work, timeout_seconds=deadline_seconds + _GRACE_SECONDS + 5)

    async def read_within(
        self, endpoints: Sequence[Endpoint], path: str, *, seconds: float
    ) -> dict[str, Answer]:
        """Do the same inside the background loop."""
        return await read_all(self._read_one, endpoints, path, seconds=seconds)

    async def _read_one(self, endpoint: Endpoint, path: str) -> Answer:
        if not endpoint.address:
            return Answer(0, error="the pod has no IP")
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=kept_connections())
        host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
        return await fetch(self._session, f"http://{host}:{endpoint.port}{path}")

    def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            self._background.run(session.close(), timeout_seconds=5)


def allow_many_files() -> None:
    """Raise this process's limit of open files as far as it may: a connection a pod is kept."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
