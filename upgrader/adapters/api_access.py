"""Speak to the API server from inside the background loop, with the rights of the Kubernetes client."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import aiohttp

CREDENTIALS_SECONDS: Final = 30.0
"""How long an ``Authorization`` header is used before it is asked for anew; tokens live for minutes."""


class ApiConnection(Protocol):
    """How the API server is reached; `upgrader.adapters.kube_rest.Connection` is one."""

    @property
    def host(self) -> str:
        """``https://…`` without a slash at the end."""

    @property
    def proxy(self) -> str:
        """URL of an HTTP proxy, or empty."""

    @property
    def server_name(self) -> str:
        """TLS server name where it differs from the host, or empty."""

    @property
    def authorization(self) -> Callable[[], str]:
        """A function that returns the ``Authorization`` header as of now; empty for none."""

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context with the CA and the client certificate."""


class ApiAccess:
    """A session to the API server, made when it is first needed; used inside the loop only.

    Args:
        connection: How to reach it.
        connections: Most connections at once.
    """

    def __init__(self, connection: ApiConnection, *, connections: int) -> None:
        self._connection = connection
        self._limit = connections
        self._session: aiohttp.ClientSession | None = None
        self._authorization = ""
        self._asked_at = -CREDENTIALS_SECONDS
        self._lock = asyncio.Lock()

    async def ready(self) -> aiohttp.ClientSession:
        """Return the session, with credentials that are fresh."""
        async with self._lock:
            if self._session is None:
                context = await asyncio.to_thread(self._connection.ssl_context)
                connector = aiohttp.TCPConnector(limit=self._limit, ssl=context, keepalive_timeout=60)
                self._session = aiohttp.ClientSession(connector=connector)
            if time.monotonic() - self._asked_at >= CREDENTIALS_SECONDS:
                self._authorization = await asyncio.to_thread(self._connection.authorization)
                self._asked_at = time.monotonic()
            return self._session

    def url(self, path: str) -> str:
        """Return a path of the API as a URL."""
        return self._connection.host.rstrip("/") + path

    @property
    def options(self) -> dict[str, Any]:
        """What each request is sent with; ask `ready` first."""
        options: dict[str, Any] = {"headers": {"User-Agent": "upgrader"}}
        if self._authorization:
            options["headers"]["Authorization"] = self._authorization
        if self._connection.proxy:
            options["proxy"] = self._connection.proxy
        if self._connection.server_name:
            options["server_hostname"] = self._connection.server_name
        return options

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
