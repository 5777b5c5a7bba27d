"""A few HTTP/2 connections that streams are dealt to in turn; one that leaves is replaced at once."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from upgrader.lab.traffic import outcome
from upgrader.lab.traffic.http2 import Channel
from upgrader.lab.traffic.load import Load

SIZE = 4
"""Connections; a browser opens one, a gateway in front of another one a worker. Our choice."""


class Waiter(Protocol):
    """Who wants a connection."""

    def go(self, channel: Channel) -> None:
        """Take one that is open; called at most once, at once or later."""

    def on_lost(self, name: str) -> None:
        """There is none, in this class."""


class Pool:
    """The connections of one load.

    Args:
        load: Where to, how, and how long a connection may take.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._channels: deque[Channel] = deque()
        self._waiting: list[Waiter] = []
        self._connecting: set[asyncio.Task[None]] = set()

    async def fill(self) -> None:
        """Open all connections that can be."""
        self._top_up()
        await asyncio.gather(*self._connecting)

    def ask(self, waiter: Waiter) -> None:
        """Give a connection to somebody: now, where one is open."""
        self._top_up()
        if not self._channels:
            self._waiting.append(waiter)
            return
        for _ in range(len(self._channels)):
            self._channels.rotate(-1)
            if not self._channels[0].is_full:
                waiter.go(self._channels[0])
                return
        waiter.on_lost(outcome.SATURATED)

    async def close(self) -> None:
        """Let all connections go."""
        for task in tuple(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for channel in tuple(self._channels):
            channel.close()
        await asyncio.sleep(0.05)  # the goodbyes of TLS

    def _top_up(self) -> None:
        while len(self._channels) + len(self._connecting) < SIZE:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        target, loop = self._load.target, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._load.timeout_seconds):
                transport, channel = await loop.create_connection(
                    self._new_channel, target.host, target.port, ssl=self._load.context
                )
        except TimeoutError:
            self._fail(outcome.TIMEOUT)
        except OSError as error:
            self._fail(outcome.of_error(error))
        else:
            tls = transport.get_extra_info("ssl_object")
            if tls is None or tls.selected_alpn_protocol() == self._load.kind.alpn:
                self._take(channel)
            else:
                transport.abort()
                self._fail(outcome.GARBLED)

    def _new_channel(self) -> Channel:
        return Channel(on_leaving=self._left)

    def _take(self, channel: Channel) -> None:
        if not channel.is_open:  # told to go with its first bytes
            self._fail(outcome.EOF)
            return
        self._channels.append(channel)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            self.ask(waiter)

    def _left(self, channel: Channel) -> None:
        if channel in self._channels:
            self._channels.remove(channel)

    def _fail(self, name: str) -> None:
        if self._channels:
            return
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.on_lost(name)
