"""The open loop: what is due is begun on time, whatever became of what was sent before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from upgrader.lab.traffic.load import Load
from upgrader.lab.traffic.tally import Tally

TICK_SECONDS = 0.001
"""How often we look what is due; the finest that uvloop's timers do."""


async def keep(
    load: Load, *, begin: Callable[[float], None], look: Callable[[float], None], until: Callable[[], bool]
) -> None:
    """Begin everything on its time, until the load is over or ``until`` says so.

    Time is `time.perf_counter`: the clock of uvloop's loop is only brought up to date once a round.

    Args:
        load: How much and how fast.
        begin: Called once for each request or message, with the time it was due.
        look: Called once a tick with the time, to give up what takes too long.
        until: Whether to end early.
    """
    started = time.perf_counter()
    sent = 0
    while sent < load.total and not until():
        now = time.perf_counter()
        for number in range(sent, load.due(now - started)):
            begin(started + number / load.rate)
            sent += 1
        look(now)
        await asyncio.sleep(TICK_SECONDS)


async def settle(load: Load, *, tally: Tally, look: Callable[[float], None]) -> None:
    """Wait for what is in flight, for the load's grace at most."""
    give_up = time.perf_counter() + load.grace_seconds
    while tally.in_flight and time.perf_counter() < give_up:
        look(time.perf_counter())
        await asyncio.sleep(TICK_SECONDS)
