"""A batch counts as replaced when its new pods have answered and the balancer has let the old ones go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pytest

from tests.scenario.stage import Stage, good
from tests.signals.fakes import fleet, pod
from upgrader.model.backend_health import Health, Intake
from upgrader.model.drain_slack import Drained
from upgrader.model.fleet import Fleet, Side
from upgrader.model.phase import Phase
from upgrader.model.policy import SignalPolicy
from upgrader.model.reading import Fact, Reading, Weight
from upgrader.model.record import Kind, Record
from upgrader.model.run import WAY_BACK, Run
from upgrader.model.world import World
from upgrader.report.explain import explain_text
from upgrader.report.summary import summarize
from upgrader.testing.fakes import FakeClock, FakeJournal, ScriptedSignal

BATCH = "roll proxies 1/2"
OLD, NEW = pod("old-1", address="10.0.0.1"), pod("new-1", Side.NEW, address="10.0.0.2")


@dataclass
class Front:
    """A balancer that sees the new pod healthy, and the old one as the stage says."""

    clock: FakeClock
    old: Callable[[], Health]
    name: str = "front"
    interval_seconds: float = 1.0
    counts_requests: bool = False
    compares_pods: bool = False
    speaks_of_backends: bool = True
    intake: Intake = field(default_factory=lambda: Intake("front", settle_seconds=30.0))

    def read(self, fleet: Fleet) -> Reading:
        now = self.clock.now()
        health = {"10.0.0.1": self.old(), "10.0.0.2": Health.HEALTHY}
        pods = self.intake.serving(fleet, health)
        facts = self.intake.facts(pods, health, now=now)
        return Reading(self.name, now, now, "test", facts=facts, values=self.intake.values(pods, health))

    def close(self) -> None:
        """Nothing runs."""


class Stats(ScriptedSignal):
    """Counts that also name the new pod that has answered nothing, until they do not."""

    silent: Callable[[], bool]

    def read(self, fleet: Fleet) -> Reading:
        wait = Fact(Weight.WAIT, "no-traffic-yet", "envoy_stats: no traffic yet on 1 of 1 new pods: new-1")
        return replace(super().read(fleet), facts=(wait,) if self.silent() else ())


@dataclass
class Draining(Stage):
    """A scenario whose first batch ends an old pod; all times are seconds since then.

    Args:
        let_go: When the balancer lets it go.
        gone: When it is gone.
        answers: When the new pod answers its first request.
    """

    let_go: float = 1.0
    gone: float = 3.0
    answers: float = 0.0
    began: float | None = None

    def since(self) -> float:
        """Return the seconds since the batch began; below 0 before that."""
        if self.began is None and BATCH in self.cluster.standing:
            self.began = self.clock.time
        return -1.0 if self.began is None else self.clock.time - self.began

    def world(self) -> World:
        """Add the balancer and the pods."""
        front = Front(self.clock, lambda: Health.HEALTHY if self.since() < self.let_go else Health.LEAVING)
        stats = Stats("envoy_stats", self.clock, good)
        stats.silent = lambda: 0 <= self.since() < self.answers
        return replace(super().world(), signals=(stats, front), fleet=self.fleet)

    def fleet(self) -> Fleet:
        """Return the pods at this moment."""
        since = self.since()
        old = () if since >= self.gone else (replace(OLD, terminating=since >= 0),)
        return fleet(*old, *((NEW,) if since >= 0 else ()))

    def header(self) -> dict[str, Any]:
        """Add the balancer's part of the policy."""
        header = super().header()
        header["policy"]["signals"]["front"] = asdict(SignalPolicy(1.0, speaks_of_backends=True))
        return header

    def verdicts(self) -> list[tuple[str, str]]:
        """Return the verdicts told in the batch's gate, and their reasons."""
        records = (Record.from_line(line) for line in self.journal.records())
        return [
            (str(one.body["verdict"]), "; ".join(one.body["reasons"]))
            for one in records
            if one.kind is Kind.VERDICT and one.phase is Phase.OBSERVING and one.step == BATCH
        ]


def gate_of(stage: Stage) -> float:
    """Return how long the batch's gate took."""
    steps = summarize(stage.journal.records()).to_json()["steps"]
    return float(next(step["gate_seconds"] for step in steps if step["id"] == BATCH))


def test_the_slack_of_a_batchs_drains_is_told_with_it() -> None:
    stage = Draining(let_go=1.0, gone=6.0)

    run = stage.run()

    summary = summarize(stage.journal.records())
    told = {
        step["id"]: (step["drained_pods"], step["drain_slack_seconds"]) for step in summary.to_json()["steps"]
    }
    slack = told.pop(BATCH)[1]
    assert run.phase is Phase.COMPLETED
    assert 3.0 <= slack <= 5.0, "5 s, known to within a look on either side"
    assert set(told.values()) == {(0, None)}
    assert summary.to_json()["way_back"] == {"drained_pods": 0, "drain_slack_seconds": None}
    words = f"drain slack of 1 pod at least {slack:.1f} s"
    assert any(line.endswith(words) and BATCH in line for line in summary.lines())
    text, equal = explain_text(stage.journal.records())
    assert equal
    assert words in text


def test_a_drain_that_outlasts_its_gate_is_still_told_with_its_batch() -> None:
    stage = Draining(let_go=1.0, gone=25.0)

    run = stage.run()

    assert gate_of(stage) < 25
    assert {step: [*seen] for step, seen in run.drains.items()} == {BATCH: ["front"]}


def test_the_next_batch_waits_until_the_balancer_has_let_the_old_pod_go() -> None:
    """No brake: nothing is wrong while the pod still serves."""
    stage = Draining(let_go=20.0, gone=30.0)

    run = stage.run()

    assert run.phase is Phase.COMPLETED
    assert gate_of(stage) >= 19
    assert "holding" not in stage.seen
    assert any("front has not let go of old-1 yet, which ends" in why for _, why in stage.verdicts())


def test_the_next_batch_waits_until_each_new_pod_has_answered() -> None:
    stage = Draining(answers=20.0)

    run = stage.run()

    assert run.phase is Phase.COMPLETED
    assert gate_of(stage) >= 19
    assert "holding" not in stage.seen
    assert ("no traffic", "envoy_stats: no traffic yet on 1 of 1 new pods: new-1") in [
        (verdict, why.partition(";")[0]) for verdict, why in stage.verdicts()
    ]
    assert not any("seen by" in str(line["step"]) for line in stage.journal.records()), "told twice"


def test_a_new_pod_that_never_answers_pauses_the_run_with_its_name() -> None:
    stage = Draining(answers=1e6)

    run = stage.run()

    assert run.phase is Phase.PAUSED
    assert run.reason.startswith(f"the gate after {BATCH} has not passed in 3")
    assert run.reason.endswith(" s: envoy_stats: no traffic yet on 1 of 1 new pods: new-1")


def test_a_pod_that_ended_before_it_was_let_go_of_pauses_the_run_and_a_resume_accepts_it() -> None:
    """It says what to do, and never blames the new version."""
    stage = Draining(let_go=9.0, gone=2.0)

    paused = stage.run()

    assert (paused.phase, paused.step.id) == (Phase.PAUSED, BATCH)
    assert "front still called old-1 healthy after it had ended" in paused.reason
    assert "preStop must be longer by 8 s" in paused.reason
    assert (paused.drains[BATCH]["front"].slack_seconds or 0) <= -7

    resumed = stage.run()

    assert resumed.phase is Phase.COMPLETED


@pytest.mark.parametrize(
    ("phase", "step"),
    [(Phase.ROLLING_BACK, WAY_BACK), (Phase.VERIFYING, WAY_BACK), (Phase.OBSERVING, "thaw")],
)
def test_pods_that_the_way_back_ends_are_told_apart(phase: Phase, step: str) -> None:
    run = replace(Stage().run(), phase=phase)
    values = {"drained_pods": 2.0, "drain_seconds": 1.0}
    body = Reading("front", run.at, run.at, "test", values=values).to_body()

    after = run.with_record(Record(run.seq + 1, run.at, Kind.READING, phase, run.step.id, body, run.prev))

    assert {name: one["front"].pods for name, one in after.drains.items()} == {step: 2}


@pytest.mark.parametrize(
    ("slacks", "least"), [((3.0, 5.0), 3.0), ((None, 5.0), 5.0), ((None, None), None)], ids=str
)
def test_of_several_balancers_the_least_slack_counts_and_each_pod_once(
    slacks: tuple[float | None, ...], least: float | None
) -> None:
    seen = {f"front {number}": Drained(2, slack, 9.0) for number, slack in enumerate(slacks)}

    run = replace(Stage().run(), drains={BATCH: seen})

    assert run.drained(BATCH) == Drained(2, least, 9.0)
    assert run.drained("thaw") is None


CRASHES: dict[str, Callable[[], Draining]] = {
    "a good drain": lambda: Draining(let_go=1.0, gone=6.0),
    "waits of both kinds": lambda: Draining(let_go=8.0, gone=14.0, answers=6.0),
}


@pytest.mark.parametrize("make", CRASHES.values(), ids=CRASHES)
def test_a_crash_after_any_record_changes_no_end(make: Callable[[], Draining]) -> None:
    """What a new process sees of pods that end, it sees from its own looks on."""
    whole = make()
    whole.run()

    for number in range(1, len(whole.journal.lines)):
        stage = make()
        stage.journal = FakeJournal(crash_after=number)
        run: Run = stage.run()

        assert run.phase is Phase.COMPLETED, (number, run.reason)
        assert "holding" not in stage.seen, (number, stage.seen)
