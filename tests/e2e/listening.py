"""Servers on loopback whose manners a test chooses."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from upgrader.adapters.background import BackgroundLoop

Speaker = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def listening(background: BackgroundLoop, speak: Speaker, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    async def speak_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await speak(reader, writer)
        writer.close()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(speak_and_close, "127.0.0.1", 0, ssl=tls)

    async def end(server: asyncio.Server) -> None:
        server.close()

    server = background.run(listen(), timeout_seconds=5)
    yield server.sockets[0].getsockname()[1]
    background.run(end(server), timeout_seconds=5)


class Pages:
    """An admin port that remembers what it was asked, and over how many connections."""

    def __init__(self, body: bytes = b"server.uptime: 1\n") -> None:
        self.body = body
        self.asked: list[str] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            self.asked.append(head.split(b" ")[1].decode())
            size = f"{len(self.body):x}".encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                + size + b"\r\n" + self.body + b"\r\n0\r\n\r\n"
            )  # fmt: skip


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def abrupt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
