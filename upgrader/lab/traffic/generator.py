"""Send a load of HTTP/1.1 requests on its schedule and account for each."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from itertools import cycle

from upgrader.lab.traffic import outcome, schedule
from upgrader.lab.traffic.connection import Connection, Request
from upgrader.lab.traffic.load import Load
from upgrader.lab.traffic.tally import Tally


class Generator:
    """Drive one load to its end.

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
        await schedule.keep(self._load, begin=self._begin, look=self._expire, until=until)
        await self._finish()

    async def _finish(self) -> None:
        await schedule.settle(self._load, tally=self._tally, look=self._expire)
        for request in self._waiting:
            self._end(request, outcome.UNFINISHED)
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in tuple(self._open):
            connection.abort()

    def _begin(self, due: float) -> None:
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
                self._new_connection, target.host, target.port, ssl=self._load.context
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
