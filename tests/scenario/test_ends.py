"""Every way a run can end, and that a crash at any record changes none of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenario.stage import STEPS, Stage, good
from upgrader.flow.decide import decide
from upgrader.model.evidence import Counts
from upgrader.model.phase import Event, Phase
from upgrader.model.plugins import Finding, Severity
from upgrader.model.reading import Fact, Weight
from upgrader.model.record import Kind, Record
from upgrader.model.run import Run, fold, open_run
from upgrader.testing.fakes import FakeJournal

ALL = [step.id for step in STEPS]


def bad(from_second: float) -> Callable[[float], Counts]:
    return lambda now: Counts(100, 100, 900, 0, 1.0) if now >= from_second else good(now)


def blind(from_second: float) -> Callable[[float], Counts | str]:
    return lambda now: "connection refused" if now >= from_second else good(now)


def outage(now: float) -> Counts:
    return Counts(100, 30, 900, 270, 1.0) if 10 <= now < 20 else good(now)


def looping(now: float) -> tuple[Fact, ...]:
    late = (Fact(Weight.BREACH, "crash-loop", "pod a is in CrashLoopBackOff"),)
    return late if now >= 12 else ()


SCENARIOS: dict[str, tuple[Callable[[], Stage], Phase, set[str]]] = {
    "a good version": (Stage, Phase.COMPLETED, set(ALL)),
    "failing requests": (lambda: Stage({"envoy_stats": bad(9)}), Phase.ROLLED_BACK, set()),
    "a crash loop": (
        lambda: Stage({"envoy_stats": good, "rollout": looping}),
        Phase.ROLLED_BACK,
        set(),
    ),
    "a step that fails": (lambda: Stage(fails={"helm": "helm said no"}), Phase.ROLLED_BACK, set()),
    "metrics go blind": (lambda: Stage({"envoy_stats": blind(2)}), Phase.PAUSED, set(ALL[:3])),
    "the upstream fails too": (lambda: Stage({"envoy_stats": outage}), Phase.COMPLETED, set(ALL)),
    "a blocking finding": (
        lambda: Stage(findings=(Finding("replicas", Severity.BLOCK, "one replica"),)),
        Phase.REFUSED,
        set(),
    ),
    "a way back that does not end": (
        lambda: Stage({"envoy_stats": bad(9)}, differs=("Service gateway differs",)),
        Phase.NEEDS_HUMAN,
        set(),
    ),
}


@pytest.mark.parametrize(("make", "end", "standing"), SCENARIOS.values(), ids=SCENARIOS)
def test_a_run_ends_as_its_scenario_says(make: Callable[[], Stage], end: Phase, standing: set[str]) -> None:
    """Only pass advances, only breach rolls back, everything else holds and then pauses."""
    stage = make()

    run = stage.run()

    assert (run.phase, stage.cluster.standing) == (end, standing)
    assert stage.lease.released is run.is_over


def _same_end(make: Callable[[], Stage], journal: FakeJournal, end: Phase, standing: set[str]) -> None:
    stage = make()
    stage.journal = journal

    run = stage.run()

    assert run.phase is end, stage.seen
    # Where a run pauses depends on how long the crash took; every other end leaves one state.
    assert end is Phase.PAUSED or stage.cluster.standing == standing
    undone = [act for act in stage.cluster.acts if act.startswith("undo")]
    assert len(undone) == len(set(undone))


@pytest.mark.parametrize(("make", "end", "standing"), SCENARIOS.values(), ids=SCENARIOS)
def test_a_crash_before_or_after_any_record_changes_no_end(
    make: Callable[[], Stage], end: Phase, standing: set[str]
) -> None:
    """The journal is all a new process needs."""
    stage = make()
    stage.run()

    for number in range(1, len(stage.journal.lines)):
        _same_end(make, FakeJournal(crash_before=number), end, standing)
        _same_end(make, FakeJournal(crash_after=number), end, standing)


def test_an_interrupt_brakes_and_pauses() -> None:
    """Ctrl-C is doubt, not proof: nothing goes back, the brake stays on."""
    stage = Stage(interrupt_at=16.0)

    run = stage.run()

    assert run.phase is Phase.PAUSED
    assert stage.cluster.braked
    assert not [act for act in stage.cluster.acts if act.startswith("undo")]


def test_a_paused_run_goes_on_where_it_was() -> None:
    """A resume takes the run to the phase the hold came from."""
    stage = Stage(interrupt_at=16.0)
    stage.run()
    stage.interrupt_at = float("inf")

    run = stage.run()

    assert run.phase is Phase.COMPLETED
    assert stage.cluster.standing == set(ALL)


@pytest.mark.parametrize(
    ("phase_seen", "end"), [("planned", Phase.ABORTED), ("observing", Phase.ROLLED_BACK)]
)
def test_an_abort_goes_back_from_where_the_run_is(phase_seen: str, end: Phase) -> None:
    """Before any change an abort ends the run; after one it brings the old version back."""
    stage = Stage()
    stage.lease.abort = "operator said so" if phase_seen == "planned" else ""
    told = stage._see

    def see(run: Run, record: Record) -> None:
        told(run, record)
        if stage.seen[-1] == phase_seen:
            stage.lease.abort = "operator said so"

    stage._see = see  # type: ignore[method-assign]
    run = stage.run()

    assert (run.phase, stage.cluster.standing) == (end, set())


@pytest.mark.parametrize(
    "name", ["failing requests", "metrics go blind", "a crash loop", "the upstream fails too"]
)
def test_every_verdict_is_derived_again_from_the_journal(name: str) -> None:
    """`explain` needs nothing but the records before a verdict."""
    stage = SCENARIOS[name][0]()
    stage.run()
    records = [Record.from_line(line) for line in stage.journal.lines]
    run = open_run(records[0])
    seen = 0

    for record in records[1:]:
        if record.kind is Kind.VERDICT:
            again = decide(run, record.at)
            event = again.event.value if again.event else ""
            assert (again.verdict.value, event) == (record.body["verdict"], record.body["event"])
            assert list(again.reasons) == record.body["reasons"]
            seen += 1
        run = run.with_record(record)

    assert seen
    assert run == fold(stage.journal.lines)


def test_the_brake_comes_before_the_way_back() -> None:
    """The response grows with the evidence: hold at odds of 10, roll back at 1,000."""
    stage = Stage({"envoy_stats": bad(9)})

    stage.run()

    assert stage.seen.index("holding") < stage.seen.index("rolling_back")
    events = [line["body"].get("event") for line in stage.journal.lines if line["kind"] == "event"]
    assert Event.HELD.value in events
