"""Journals to look at: the scenarios of the engine, told with a release, a cluster, pods and backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.scenario.stage import Stage, good
from upgrader.model.evidence import Counts
from upgrader.model.phase import Phase
from upgrader.model.record import Kind, Record
from upgrader.model.run import Run, open_run
from upgrader.testing.fakes import Script

RUN = "gateway-20261103-031502-ab12"
MEASURED = {
    "release": "gateway",
    "namespace": "edge",
    "context": "prod-eu",
    "known_good": 7,
    "from": "gateway-1.11.28",
    "to": "gateway-1.11.30",
}


def bad(now: float) -> Counts:
    """Return a second in which every request to a new pod fails, from the ninth on."""
    return Counts(100, 100, 900, 0, 1.0) if now >= 9 else good(now)


def blind(now: float) -> Counts | str:
    """Return no reading from the second second on."""
    return "connection refused" if now >= 2 else good(now)


@dataclass
class Told(Stage):
    """A stage whose header says what a real one says."""

    def header(self) -> dict[str, Any]:
        """Return the header with what was measured."""
        return {**super().header(), "run": RUN, "revision": 0, "measured": MEASURED}


def told(script: Script = good, **more: Any) -> Stage:
    """Return a stage that has been run to its end."""
    stage = Told({"envoy_stats": script}, **more)
    stage.run()
    return stage


def follow(lines: list[Mapping[str, Any]]) -> Iterator[tuple[Run, Record]]:
    """Yield each record of a journal and the run after it."""
    run: Run | None = None
    for line in lines:
        record = Record.from_line(line)
        run = open_run(record) if run is None else run.with_record(record)
        yield run, record


def after(stage: Stage, is_there: Callable[[Run], bool]) -> Run:
    """Return the run at the first record after which something holds."""
    return next(run for run, _ in follow(stage.journal.lines) if is_there(run))


def opened() -> Run:
    """Return a run that has only begun."""
    return open_run(Record(0, 1_000_000.0, Kind.HEADER, Phase.PLANNED, "", Told().header()))


def record(run: Run, kind: Kind, body: Mapping[str, Any], *, phase: Phase, step: str = "") -> Record:
    """Return a record that follows a run, ten seconds later."""
    return Record(run.seq + 1, run.at + 10, kind, phase, step, body, run.prev)
