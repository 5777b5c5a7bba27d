"""Send a load on its schedule and account for each request."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from itertools import cycle

from upgrader.lab.traffic import outcome
from upgrader.lab.traffic.connection import Connection, Request
from upgrader.lab.traffic.load import Load
from upgrader.lab.traffic.tally import Tally

_TICK_SECONDS = 0.001
"""How often we look which requests are due; the finest that uvloop's timers do."""


class Generator:
    """Drive one load to its end.

    Time is `time.perf_counter`: the clock of uvloop's loop is only brought up to date once a round.

    Args:
        load: What to send.
        tally: Where each request is counted.
    """

    def __init__(self, load: Load, *, tally: Tally) -> None:
        self._load, self._tally = load, tally
        self._contents = cycle(load.requests)
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._waiting: deque[Request] = deque()
        self._queue: deque[Request] = deque()
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Send until the load is over or ``until`` says so, then wait for what is in flight."""
        await asyncio.gather(*(self._connect(None) for _ in range(self._load.connections)))
        started = time.perf_counter()
        sent = 0
        while sent < self._load.total and not until():
            now = time.perf_counter()
            for number in range(sent, self._load.due(now - started)):
                self._begin(due=started + number / self._load.rate)
                sent += 1
            self._expire(now)
            await asyncio.sleep(_TICK_SECONDS)
        await self._finish()

    async def _finish(self) -> None:
        give_up = time.perf_counter() + self._load.grace_seconds
        while self._tally.in_flight and time.perf_counter() < give_up:
            self._expire(time.perf_counter())
            await asyncio.sleep(_TICK_SECONDS)
        for request in self._waiting:
            self._end(request, outcome.UNFINISHED)
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in tuple(self._open):
            connection.abort()

    def _begin(self, *, due: float) -> None:
        request = Request(next(self._contents), due, time.perf_counter())
        self._tally.start()
        self._waiting.append(request)
        self._assign(request)

    def _assign(self, request: Request) -> None:
        while self._idle:
            connection = self._idle.popleft()
            if connection.is_open:
                connection.send(request)
                return
        if len(self._open) + len(self._connecting) >= self._load.max_connections:
            request.queued = True
            self._queue.append(request)
            return
        task = asyncio.get_running_loop().create_task(self._connect(request))
        self._connecting.add(task)
        task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        self._assign_next()

    def _free(self, connection: Connection) -> None:
        self._idle.append(connection)
        self._assign_next()

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._assign_next()

    def _assign_next(self) -> None:
        while self._queue:
            request = self._queue.popleft()
            if not request.ended:
                request.queued = False
                self._assign(request)
                return

    async def _connect(self, request: Request | None) -> None:
        target = self._load.target
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                self._new_connection, target.host, target.port
            )
        except OSError as error:
            if request is not None:
                self._end(request, outcome.of_error(error))
            return
        self._open.add(connection)
        if request is not None and not request.ended:
            connection.send(request)
        else:
            self._free(connection)

    def _new_connection(self) -> Connection:
        return Connection(on_end=self._end, on_idle=self._free, on_lost=self._lost)

    def _end(self, request: Request, name: str) -> None:
        if request.ended:
            return
        request.ended = True
        request.connection = None
        self._tally.end(name, latency_seconds=time.perf_counter() - request.due)

    def _expire(self, now: float) -> None:
        while self._waiting and (
            self._waiting[0].ended or now - self._waiting[0].begun > self._load.timeout_seconds
        ):
            request = self._waiting.popleft()
            if not request.ended:
                connection = request.connection
                self._end(request, outcome.SATURATED if request.queued else outcome.TIMEOUT)
                if connection is not None:
                    connection.abort()
