"""Plain HTTP to something with a URL: a balancer's admin page, a provider's API."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from upgrader.adapters.background import BackgroundLoop
from upgrader.adapters.exchange import Page, connected, target_of
from upgrader.model.ports import Answer

_GRACE_SECONDS = 5.0
"""For the background thread to say that the deadline is over."""


class HttpClient:
    """`Http`: each page over a connection of its own, within one deadline for the whole of it.

    Nothing is kept open, so there is nothing to close; redirects are answers.
    """

    def __init__(self, background: BackgroundLoop | None = None) -> None:
        self._background = background or BackgroundLoop("upgrader-http")

    def get(self, url: str, *, deadline_seconds: float) -> Answer:
        """Fetch once; no answer is an `Answer` with an error, never an exception."""
        began = time.monotonic()
        try:
            work = _fetch(url, deadline_seconds)
            page = self._background.run(work, timeout_seconds=deadline_seconds + _GRACE_SECONDS)
        except TimeoutError:
            why = f"no answer within {deadline_seconds:g} s"
        except (OSError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
        else:
            return Answer(page.status, page.body, seconds=time.monotonic() - began)
        return Answer(0, error=why, seconds=time.monotonic() - began)


async def _fetch(url: str, seconds: float) -> Page:
    parts = urlsplit(url)
    async with asyncio.timeout(seconds):
        http = await connected(parts)
        try:
            return await http.get(target_of(parts), keep=False)
        finally:
            await http.close()
