"""Send a load of HTTP/2 requests on its schedule and account for each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from itertools import cycle

from upgrader.lab.traffic import outcome, schedule
from upgrader.lab.traffic.http2 import Channel
from upgrader.lab.traffic.load import Headers, Load, Target
from upgrader.lab.traffic.pool import Pool
from upgrader.lab.traffic.tally import Tally


class Exchange:
    """One request and its answer; never sent again.

    Args:
        headers: Pseudo-headers first.
        due: When it was to be sent (`time.perf_counter`).
        begun: When it was taken up.
        on_end: Called once, with its class.
    """

    def __init__(
        self, headers: Headers, *, due: float, begun: float, on_end: Callable[[Exchange, str], None]
    ) -> None:
        self._headers, self._on_end = headers, on_end
        self.due, self.begun = due, begun
        self.is_over = False
        self._status = 0
        self._sent: tuple[Channel, int] | None = None

    def go(self, channel: Channel) -> None:
        """Send it."""
        if not self.is_over:
            self._sent = channel, channel.open(self._headers, self, end=True)

    def on_headers(self, headers: dict[str, str]) -> None:
        """Keep the status; trailers have none."""
        self._status = int(headers.get(":status", self._status))

    def on_data(self, data: bytes) -> None:
        """Let the body be."""

    def on_end(self) -> None:
        """End with the status."""
        self.on_lost(outcome.of_status(self._status))

    def on_lost(self, name: str) -> None:
        """End in this class."""
        if not self.is_over:
            self.is_over = True
            self._on_end(self, name)

    def give_up(self, name: str) -> None:
        """End it from our side; the server is told, where it knows of it."""
        self.on_lost(name)
        if self._sent:
            channel, number = self._sent
            channel.cancel(number)


class Exchanges:
    """Drive one load of HTTP/2 requests to its end.

    Args:
        load: What to send.
        tally: Where each request is counted.
    """

    def __init__(self, load: Load, *, tally: Tally) -> None:
        self._load, self._tally = load, tally
        self._headers = cycle([request_headers(load.target, load, more) for more in load.headers])
        self._pool = Pool(load)
        self._waiting: deque[Exchange] = deque()

    async def run(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Send until the load is over or ``until`` says so, then wait for what is in flight."""
        await self._pool.fill()
        await schedule.keep(self._load, begin=self._begin, look=self._expire, until=until)
        await schedule.settle(self._load, tally=self._tally, look=self._expire)
        for exchange in self._waiting:
            exchange.on_lost(outcome.UNFINISHED)
        await self._pool.close()

    def _begin(self, due: float) -> None:
        self._tally.start()
        exchange = Exchange(next(self._headers), due=due, begun=time.perf_counter(), on_end=self._end)
        self._waiting.append(exchange)
        self._pool.ask(exchange)

    def _end(self, exchange: Exchange, name: str) -> None:
        self._tally.end(name, latency_seconds=time.perf_counter() - exchange.due)

    def _expire(self, now: float) -> None:
        while self._waiting and (
            self._waiting[0].is_over or now - self._waiting[0].begun > self._load.timeout_seconds
        ):
            exchange = self._waiting.popleft()
            if not exchange.is_over:
                exchange.give_up(outcome.TIMEOUT)


def request_headers(target: Target, load: Load, more: Headers, *, method: str = "GET") -> Headers:
    """Return an HTTP/2 request's headers, pseudo-headers first."""
    first = (
        (":method", method),
        (":scheme", "https" if target.tls else "http"),
        (":authority", target.authority),
        (":path", target.path),
    )
    return (*first, ("user-agent", load.kind.agent), *more)
