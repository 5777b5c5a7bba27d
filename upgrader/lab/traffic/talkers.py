"""Send messages over long-lived streams on schedule, and account for each message and stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import cycle
from typing import Protocol

from upgrader.lab.traffic import outcome, schedule
from upgrader.lab.traffic.lanes import Lane, Message, Session
from upgrader.lab.traffic.load import Load
from upgrader.lab.traffic.tally import Streams, Tally

_GOODBYE_SECONDS = 2.0
"""How long the streams may take to close in order."""


class Sessions(Protocol):
    """Makes the sessions of one load (`calls.Calls`, `sockets.Sockets`)."""

    def new(self, lane: Lane) -> Session:
        """Return a session for a lane; it is opened by `Session.open`."""

    async def close(self) -> None:
        """Let go what the sessions shared."""


class Talkers:
    """Drive one load of messages to its end.

    Args:
        load: What to send.
        tally: Where each message is counted, and each stream.
        sessions: How a stream is opened.
    """

    def __init__(self, load: Load, *, tally: Tally, sessions: Sessions) -> None:
        self._load, self._tally, self._sessions = load, tally, sessions
        self._streams = tally.streams = Streams()
        self._lanes = [
            Lane(connect=sessions.new, streams=self._streams, on_end=self._end) for _ in range(load.streams)
        ]
        self._turn = cycle(self._lanes)
        self._number = 0

    async def run(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Open all streams, send until the load is over or ``until`` says so, and close them in order."""
        for lane in self._lanes:
            lane.open()
        await self._wait(lambda: all(lane.is_open for lane in self._lanes), self._load.timeout_seconds)
        await schedule.keep(self._load, begin=self._begin, look=self._expire, until=until)
        await schedule.settle(self._load, tally=self._tally, look=self._expire)
        for lane in self._lanes:
            lane.finish()
        await self._wait(lambda: all(lane.is_idle for lane in self._lanes), _GOODBYE_SECONDS)
        for lane in self._lanes:
            lane.give_up(outcome.UNFINISHED)
        await self._sessions.close()

    async def _wait(self, is_so: Callable[[], bool], seconds: float) -> None:
        give_up = time.perf_counter() + seconds
        while not is_so() and time.perf_counter() < give_up:
            await asyncio.sleep(schedule.TICK_SECONDS)

    def _begin(self, due: float) -> None:
        self._tally.start()
        self._number += 1
        next(self._turn).say(Message(f"message {self._number}".encode(), due, time.perf_counter()))

    def _end(self, message: Message, name: str) -> None:
        self._tally.end(name, latency_seconds=time.perf_counter() - message.due)

    def _expire(self, now: float) -> None:
        for lane in self._lanes:
            lane.expire(now, timeout_seconds=self._load.timeout_seconds)
