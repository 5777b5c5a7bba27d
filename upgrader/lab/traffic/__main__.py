"""Run a load from the command line: ``python -m upgrader.lab.traffic --url … --rate … --report FILE``.

``--kind`` says what is spoken: http1 (the default), h2, or messages over streams that stay open, grpc
and websocket: an echo must be at the other end (`upgrader.lab.programs.echo`).
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import uvloop

from upgrader.errors import UpgraderError
from upgrader.lab.traffic.kinds import Kind
from upgrader.lab.traffic.load import Load, Target, headers_with_keys, read_keys, requests_with_keys
from upgrader.lab.traffic.report import Report
from upgrader.lab.traffic.tally import Tally

if TYPE_CHECKING:
    from upgrader.lab.traffic.talkers import Sessions


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ends the process with status 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m upgrader.lab.traffic", description=__doc__)
    parser.add_argument("--url", required=True, help="http(s):// URL on loopback or in the room")
    parser.add_argument("--kind", type=Kind, choices=list(Kind), default=Kind.HTTP1, help="what is spoken")
    parser.add_argument("--ca", type=Path, help="certificate of the authority that the server must be of")
    parser.add_argument("--rate", type=float, required=True, help="requests or messages a second")
    parser.add_argument("--streams", type=int, default=20, help="streams open at once: grpc, websocket")
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long at most (default 3600)")
    parser.add_argument("--until-file", type=Path, help="stop as soon as this file exists")
    parser.add_argument("--keys-file", type=Path, help="API keys, one a line, used in turn")
    parser.add_argument("--key-header", default="x-api-key", help="header that carries the key")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds one request may take")
    parser.add_argument(
        "--report",
        type=Path,
        required=True,
        help="JSON lines: each second, and the account",
    )
    return parser.parse_args(arguments)


def load_of(options: argparse.Namespace) -> Load:
    """Return the load that the command line asks for.

    Raises:
        PlaybookInvalid: A value is out of its limits, or the keys cannot be read.
    """
    target = Target.parse(options.url)
    keys = read_keys(options.keys_file) if options.keys_file else ()
    return Load(
        target,
        options.rate,
        options.seconds,
        requests_with_keys(target, header=options.key_header, keys=keys),
        timeout_seconds=options.timeout,
        kind=options.kind,
        headers=headers_with_keys(header=options.key_header, keys=keys),
        context=target.context(options.ca, options.kind),
        streams=options.streams,
    )


class Driver(Protocol):
    """What drives a load."""

    async def run(self, *, until: Callable[[], bool]) -> None:
        """Send until the load is over or ``until`` says so, then wait for what is in flight."""


def driver_of(load: Load, tally: Tally) -> Driver:
    """Return what drives a load of this kind."""
    if load.kind is Kind.H2:
        from upgrader.lab.traffic.exchanges import Exchanges

        return Exchanges(load, tally=tally)
    if load.kind.is_long:
        from upgrader.lab.traffic.talkers import Talkers

        return Talkers(load, tally=tally, sessions=_sessions(load))
    from upgrader.lab.traffic.generator import Generator

    return Generator(load, tally=tally)


def _sessions(load: Load) -> Sessions:
    if load.kind is Kind.GRPC:
        from upgrader.lab.traffic.calls import Calls

        return Calls(load)
    from upgrader.lab.traffic.sockets import Sockets

    return Sockets(load)


async def send(load: Load, *, report: Report, until_file: Path | None) -> Tally:
    """Send the load, writing the report each second; SIGTERM and SIGINT end it early, in order."""
    tally, stopped = Tally(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    pages = asyncio.create_task(_write_pages(tally, report))
    watch = asyncio.create_task(_wait_for_file(until_file, stopped.set))
    try:
        await driver_of(load, tally).run(until=stopped.is_set)
    finally:
        for task in (pages, watch):
            task.cancel()
        await asyncio.gather(pages, watch, return_exceptions=True)
    return tally


async def _write_pages(tally: Tally, report: Report) -> None:
    while True:
        await asyncio.sleep(1)
        report.second(tally.turn_page(), total=tally.total())


async def _wait_for_file(file: Path | None, found: Callable[[], None]) -> None:
    while file is not None:
        if file.exists():
            found()
            return
        await asyncio.sleep(0.1)


def main(arguments: Sequence[str]) -> int:
    """Send the load and return the exit status: 0 when the account is exact, whatever became of requests."""
    options = parse(arguments)
    try:
        load = load_of(options)
    except UpgraderError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    report = Report(options.report)
    started = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(send(load, report=report, until_file=options.until_file))
    report.summary(
        tally.total(),
        seconds=round(time.perf_counter() - started, 3),
        cpu_seconds=round(time.process_time(), 3),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
