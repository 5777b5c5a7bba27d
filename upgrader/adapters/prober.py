"""Send one kind of request at a steady rate, each over a connection of its own and exactly once."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import threading
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

from upgrader.adapters.background import BackgroundLoop
from upgrader.adapters.exchange import BrokenOff, NotHttp, connected, port_of, target_of
from upgrader.model.ports import ProbeCounts, ProbeSpec

_REASONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (TimeoutError, "timeout"),
    (ConnectionRefusedError, "refused"),
    (ConnectionResetError, "reset"),
    (BrokenPipeError, "reset"),
    (BrokenOff, "eof"),
    (NotHttp, "not_http"),
    (socket.gaierror, "dns"),
    (ssl.SSLError, "tls"),
    (OSError, "unreachable"),
)
"""Why a probe got no answer: the first class that fits. `ssl.SSLError` and the like are `OSError` too."""


def reason_of(error: BaseException) -> str:
    """Return the one word for why a probe got no answer."""
    return next((word for kind, word in _REASONS if isinstance(error, kind)), type(error).__name__)


class BackgroundProber:
    """`Prober` on a background loop.

    Probes are due on an absolute schedule: a slow answer delays none of the others, and one that could not be
    sent in its turn is left out, never sent late in a burst.
    """

    def __init__(self, spec: ProbeSpec, background: BackgroundLoop | None = None) -> None:
        """Remember what to send; nothing is sent yet.

        Args:
            spec: The probe.
            background: Where it waits; one of its own by default.
        """
        self._spec = spec
        self._background = background or BackgroundLoop("upgrader-probe")
        self._owns_background = background is None
        self._url = urlsplit(spec.url)
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._lock = threading.Lock()
        self._sent = 0
        self._failures: Counter[str] = Counter()
        self._turn = 0
        self._sending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; a second call does nothing."""
        if self._sending is None:
            self._sending = self._background.run(self._begin(), timeout_seconds=5)

    def take(self) -> ProbeCounts:
        """Return what ended since the last call."""
        with self._lock:
            sent, failures = self._sent, self._failures
            self._sent, self._failures = 0, Counter()
        return ProbeCounts(sent, failures.total(), dict(failures))

    def close(self) -> None:
        """Stop and forget what is in flight."""
        sending, self._sending = self._sending, None
        if sending is not None:
            self._background.run(_cancel(sending), timeout_seconds=5)
        if self._owns_background:
            self._background.close()

    async def _begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._send_steadily())

    async def _send_steadily(self) -> None:
        rate = self._spec.rate_per_second
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        async with asyncio.TaskGroup() as probes:
            while True:
                probes.create_task(self._probe())
                number = max(number + 1, math.ceil((loop.time() - began) * rate))
                await asyncio.sleep(began + number / rate - loop.time())

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(self._spec.timeout_seconds):
                status = await self._ask()
        except (OSError, ValueError) as error:
            self._count(reason_of(error))
        else:
            self._count("" if status == self._spec.expect else f"http_{status}")

    def _count(self, failure: str) -> None:
        with self._lock:
            self._sent += 1
            if failure:
                self._failures[failure] += 1

    async def _ask(self) -> int:
        http = await connected(self._url, address=await self._next_address(), tls=self._tls)
        try:
            page = await http.get(target_of(self._url), headers=self._spec.headers, keep=False)
        finally:
            await http.close()
        return page.status

    async def _next_address(self) -> str:
        """Return the host's addresses in turn: trying a second one would hide that the first is dead."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._url.hostname, port_of(self._url), type=socket.SOCK_STREAM)
        self._turn += 1
        return str(found[self._turn % len(found)][4][0])


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
