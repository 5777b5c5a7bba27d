"""Journals to look at: the scenarios of the engine, told with a release, a cluster, pods and backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tests.scenario.stage import Stage, good
from upgrader.model.evidence import Counts
from upgrader.model.fleet import Fleet
from upgrader.model.phase import Phase
from upgrader.model.policy import SignalPolicy
from upgrader.model.reading import Fact, Reading
from upgrader.model.record import Kind, Record
from upgrader.model.run import Run, open_run
from upgrader.model.world import World
from upgrader.testing.fakes import FakeClock, Script

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
class Seen:
    """A signal that counts no requests: it says how many pods are as they should be.

    Args:
        name: Its name.
        clock: The scenario's clock.
        values: What it says.
        facts: What it says besides.
    """

    name: str
    clock: FakeClock
    values: Callable[[], Mapping[str, float]]
    facts: tuple[Fact, ...] = ()
    interval_seconds: float = 1.0
    counts_requests: bool = False
    compares_pods: bool = False
    speaks_of_backends: bool = False

    def read(self, fleet: Fleet) -> Reading:
        """Look once."""
        now = self.clock.now()
        return Reading(self.name, now, now, "script", facts=self.facts, values=self.values())

    def close(self) -> None:
        """Nothing runs."""


@dataclass
class Told(Stage):
    """A stage whose header says what a real one says, with pods and a balancer to be seen."""

    facts: tuple[Fact, ...] = ()

    def world(self) -> World:
        """Return the stage's world with what sees pods and backends."""
        ours = super().world()
        pods = Seen("rollout", self.clock, lambda: self._pods("ready"), self.facts)
        balancer = Seen("envoy", self.clock, lambda: self._pods("healthy"), speaks_of_backends=True)
        return replace(ours, signals=(*ours.signals, pods, balancer))

    def _pods(self, word: str) -> dict[str, float]:
        """Return 20 pods, of which as many are new as the steps that stand have made."""
        steps = ("roll proxies 1/2", "roll proxies 2/2", "thaw")
        new = max(
            (n for n, step in zip((2, 19, 20), steps, strict=True) if step in self.cluster.standing),
            default=0,
        )
        return {f"new_{word}": new, "new_total": new, f"old_{word}": 20 - new, "old_total": 20 - new}

    def header(self) -> dict[str, Any]:
        """Return the header with what was measured."""
        body = super().header()
        watching = {"rollout": SignalPolicy(1.0), "envoy": SignalPolicy(1.0, speaks_of_backends=True)}
        signals = {**body["policy"]["signals"], **{name: asdict(one) for name, one in watching.items()}}
        return {
            **body,
            "policy": {**body["policy"], "signals": signals},
            "run": RUN,
            "revision": 0,
            "measured": MEASURED,
        }


def told(script: Script = good, **more: Any) -> Stage:
    """Return a stage that has been run to its end."""
    stage = Told({"envoy_stats": script}, **more)
    stage.run()
    return stage


def chapters(lines: list[Mapping[str, Any]]) -> Iterator[tuple[Run, Record]]:
    """Yield each record of a journal and the run after it."""
    run: Run | None = None
    for line in lines:
        record = Record.from_line(line)
        run = open_run(record) if run is None else run.with_record(record)
        yield run, record


def after(stage: Stage, is_there: Callable[[Run], bool]) -> Run:
    """Return the run at the first record after which something holds."""
    return next(run for run, _ in chapters(stage.journal.lines) if is_there(run))


def opened() -> Run:
    """Return a run that has only begun."""
    return open_run(Record(0, 1_000_000.0, Kind.HEADER, Phase.PLANNED, "", Told().header()))


def record(run: Run, kind: Kind, body: Mapping[str, Any], *, phase: Phase, step: str = "") -> Record:
    """Return a record that follows a run, ten seconds later."""
    return Record(run.seq + 1, run.at + 10, kind, phase, step, body, run.prev)
