"""Plain HTTP to something with a URL: a balancer's admin page, a provider's API."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from upgrader.adapters.background import BackgroundLoop
from upgrader.adapters.sweep import fetch, kept_connections
from upgrader.model.ports import Answer

_GRACE_SECONDS = 5.0


class PlainHttp:
    """`Http` on a background loop; connections are kept. The deadline is of the whole answer."""

    def __init__(self, background: BackgroundLoop) -> None:
        self._background = background
        self._session: aiohttp.ClientSession | None = None

    def get(self, url: str, *, deadline_seconds: float) -> Answer:
        """Fetch once; no answer is an `Answer` with an error, never an exception."""
        began = time.monotonic()
        try:
            work = self._get(url, deadline_seconds)
            return self._background.run(work, timeout_seconds=deadline_seconds + _GRACE_SECONDS)
        except TimeoutError:
            return Answer(
                0, error=f"no answer within {deadline_seconds:g} s", seconds=time.monotonic() - began
            )

    async def _get(self, url: str, seconds: float) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=kept_connections())
        async with asyncio.timeout(seconds):
            return await fetch(self._session, url)

    def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            self._background.run(session.close(), timeout_seconds=_GRACE_SECONDS)
