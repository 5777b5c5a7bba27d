"""Plain HTTP to something with a URL: a balancer's admin page, a provider's API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from upgrader.model.ports import Answer, Request

if TYPE_CHECKING:
    import httpx


class HttpClient:
    """`Http`: connections are kept, redirects are answers, the deadline is of the whole page."""

    def __init__(self) -> None:
        self._client: httpx.Client | None = None

    def close(self) -> None:
        """Close the connections that are kept; the next request opens anew."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def get(self, url: str, *, deadline_seconds: float) -> Answer:
        """Fetch once; no answer is an `Answer` with an error, never an exception."""
        return self.send(Request("GET", url), deadline_seconds=deadline_seconds)

    def send(self, request: Request, *, deadline_seconds: float) -> Answer:
        """Send once, and never again by itself; otherwise as `get`."""
        import httpx

        self._client = self._client or httpx.Client(follow_redirects=False, trust_env=False)
        began = time.monotonic()
        try:
            with self._client.stream(
                request.method,
                request.url,
                content=request.body or None,
                headers=dict(request.headers),
                timeout=deadline_seconds,
            ) as response:
                body = b""
                for part in response.iter_bytes():
                    body += part
                    if time.monotonic() - began > deadline_seconds:
                        raise httpx.ReadTimeout("the page came too slowly")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = (
                f"no answer within {deadline_seconds:g} s"
                if isinstance(error, httpx.TimeoutException)
                else str(error)
            )
            return Answer(0, error=why or type(error).__name__, seconds=time.monotonic() - began)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, body, seconds=time.monotonic() - began, headers=headers)
