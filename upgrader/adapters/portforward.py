"""Reach a port of a pod as kubectl port-forward does, ports bound to the pod's loopback too.

One WebSocket to the API server is one connection to one port of one pod. It stays open between sweeps, so
that a read costs the API server some bytes and not a call. Protocol ``v4.channel.k8s.io``: each message has a
first byte that names its channel, 0 data and 1 errors; the first message of each says the port only.

Source: ``k8s.io/cri-streaming`` v0.37.2, ``pkg/streaming/portforward/websocket.go``, read 2026-11-24. The
rights: ``get`` and, since Kubernetes 1.35, ``create`` on ``pods/portforward``.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from upgrader.adapters.api_access import ApiAccess
from upgrader.adapters.exchange import HttpStream, Page
from upgrader.adapters.ways import why
from upgrader.model.ports import Answer, Endpoint

PROTOCOL: Final = "v4.channel.k8s.io"
OPENED_AT_ONCE: Final = 10
"""Forwards that are being opened at the same time: each is a call that goes on to a kubelet."""
UNUSED_SECONDS: Final = 60.0
"""A forward not read for so long belongs to a pod that is gone, or that is no longer sampled."""
_DATA, _ERROR = 0, 1
_CLOSE_SECONDS = 0.5


class ForwardedStream:
    """`ByteStream` through one WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._named: set[int] = set()

    async def read(self) -> bytes:
        """Return what came; nothing once the forward has ended."""
        while True:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                data = self._data(message.data)
                if data:
                    return data
            elif message.type is aiohttp.WSMsgType.ERROR:
                raise ConnectionError(str(message.data))
            else:
                return b""

    def _data(self, message: bytes) -> bytes:
        """Return the data in a message; `ConnectionError` where it tells of an error."""
        channel, rest = message[0], message[1:]
        if channel not in self._named:
            self._named.add(channel)
            return b""
        if channel == _ERROR and rest:
            raise ConnectionError(rest.decode("utf-8", "replace"))
        return rest if channel == _DATA else b""

    async def write(self, data: bytes) -> None:
        """Send it all."""
        await self._socket.send_bytes(bytes([_DATA]) + data)

    async def close(self) -> None:
        """End the forward."""
        await self._socket.close()


@dataclass(slots=True)
class _Forward:
    http: HttpStream
    used_at: float


class PortForwardWay:
    """Through ``pods/portforward``, one open forward a pod."""

    name = "portforward"

    def __init__(self, access: ApiAccess) -> None:
        """Use an access with as many connections as there are forwards."""
        self._access = access
        self._forwards: dict[tuple[str, int], _Forward] = {}
        self._opening = asyncio.Semaphore(OPENED_AT_ONCE)

    async def read(self, endpoint: Endpoint, path: str) -> Answer:
        """Return the page over the pod's forward; one that broke since the last read is opened anew."""
        began = time.monotonic()
        try:
            page = await self._page(endpoint, path)
        except aiohttp.WSServerHandshakeError as error:
            return Answer(0, error=f"port-forward: HTTP {error.status} {error.message}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(0, error=why(error), seconds=time.monotonic() - began)
        return Answer(page.status, page.body, seconds=time.monotonic() - began)

    async def _page(self, endpoint: Endpoint, path: str) -> Page:
        await self._close_unused()
        kept = self._forwards.pop((endpoint.key, endpoint.port), None)
        if kept is not None:
            try:
                return await self._read_through(kept.http, endpoint, path)
            except (aiohttp.ClientError, OSError):
                pass  # it broke while nobody read it: reading once more is harmless
        return await self._read_through(await self._opened(endpoint), endpoint, path)

    async def _read_through(self, http: HttpStream, endpoint: Endpoint, path: str) -> Page:
        """Read, and keep the forward if another request may follow; else, or when cancelled, close it."""
        is_kept = False
        try:
            page = await http.get(path)
            is_kept = http.is_reusable
        finally:
            if is_kept:
                self._forwards[endpoint.key, endpoint.port] = _Forward(http, time.monotonic())
            else:
                await http.close()
        return page

    async def _opened(self, endpoint: Endpoint) -> HttpStream:
        async with self._opening:
            session = await self._access.ready()
            where = f"/api/v1/namespaces/{endpoint.namespace}/pods/{endpoint.pod}/portforward"
            url = self._access.url(f"{where}?ports={endpoint.port}")
            timeout = aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS)
            socket = await session.ws_connect(
                URL(url, encoded=True),
                protocols=(PROTOCOL,),
                timeout=timeout,
                max_msg_size=0,
                **self._access.options,
            )
        return HttpStream(ForwardedStream(socket), f"localhost:{endpoint.port}")

    async def _close_unused(self) -> None:
        limit = time.monotonic() - UNUSED_SECONDS
        for key, forward in list(self._forwards.items()):
            if forward.used_at < limit:
                del self._forwards[key]
                await forward.http.close()

    async def close(self) -> None:
        """Close all forwards."""
        forwards, self._forwards = list(self._forwards.values()), {}
        await asyncio.gather(*(one.http.close() for one in forwards), return_exceptions=True)
        await self._access.close()
