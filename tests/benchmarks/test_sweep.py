"""One look at 1,000 proxies: at most a second and half a core, reading, parsing and comparing included.

The stubs run in processes of their own; their CPU time is not ours. The floor is what 1,000 requests cost
bare asyncio in the same run, on connections kept open and with nothing parsed: a ratio holds on any machine.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.benchmarks.stub_proxies import PORT, address
from tests.signals.fakes import pod
from upgrader.adapters.clock import SystemClock
from upgrader.adapters.sweep import allow_many_files, sweep_by
from upgrader.model.fleet import Fleet, Side
from upgrader.model.ports import Ports
from upgrader.signals import envoy_stats

pytestmark = pytest.mark.benchmark

PODS, PROCESSES, LOOKS = 1000, 2, 10
MOST_SECONDS, MOST_CORES = 1.0, 0.5


@pytest.fixture
def page_size() -> Iterator[int]:
    """Start the stubs."""
    allow_many_files()
    each = PODS // PROCESSES
    module = "tests.benchmarks.stub_proxies"
    stubs = [
        subprocess.Popen(
            [sys.executable, "-m", module, str(number * each), str(each)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    try:
        sizes = [int(cast("Any", stub.stdout).readline().split()[1]) for stub in stubs]
        yield max(sizes)
    finally:
        for stub in stubs:
            stub.kill()
            stub.communicate()


def cost(look: Callable[[], object]) -> tuple[float, float]:
    """Return the median wall and CPU seconds of looks a second apart, the first left out."""
    look()
    walls, processor = [], []
    for _ in range(LOOKS):
        began, spent = time.perf_counter(), time.process_time()
        look()
        walls.append(time.perf_counter() - began)
        processor.append(time.process_time() - spent)
        time.sleep(max(0.0, 1.0 - walls[-1]))
    return statistics.median(walls), statistics.median(processor)


async def bare(streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n0\r\n\r\n")

    await asyncio.gather(*(one(*stream) for stream in streams))


def floor() -> tuple[float, float]:
    loop = asyncio.new_event_loop()

    async def connect() -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        return [await asyncio.open_connection(address(number), PORT) for number in range(PODS)]

    async def close(streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        for _, writer in streams:
            writer.transport.abort()

    streams = loop.run_until_complete(connect())
    try:
        return cost(lambda: loop.run_until_complete(bare(streams)))
    finally:
        loop.run_until_complete(close(streams))
        loop.close()


def test_a_look_at_a_thousand_proxies_fits_into_its_second(
    page_size: int, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = cast("Any", None)
    world = Ports(SystemClock(), nothing, nothing, nothing, lambda reach: sweep_by(reach, nothing), nothing)
    signal = envoy_stats.build({"port": PORT, "reach": "direct"}, world)
    sides = [Side.NEW] * (PODS // 10) + [Side.OLD] * (PODS - PODS // 10)
    pods = tuple(pod(f"pod-{n}", side, address=address(n)) for n, side in enumerate(sides))
    fleet = Fleet((), pods)
    readings = []

    wall, processor = cost(lambda: readings.append(signal.read(fleet)))
    signal.close()
    floor_wall, floor_processor = floor()

    last = readings[-1]
    figures = {
        "answer_bytes": page_size,
        "look_seconds": round(wall, 3),
        "look_cpu_seconds": round(processor, 3),
        "look_by_bare_asyncio": round(wall / floor_wall, 2),
        "look_cpu_by_bare_asyncio": round(processor / floor_processor, 2),
    }
    for name, value in figures.items():
        record_property(name, value)
    with capsys.disabled():
        print(f"\n1,000 proxies: {figures}")
    assert last.complete
    assert last.counts is not None
    assert last.counts.old_requests == 9 * last.counts.new_requests > 0
    assert wall <= MOST_SECONDS
    assert processor <= MOST_CORES, "CPU seconds a look, and there is one look a second"
