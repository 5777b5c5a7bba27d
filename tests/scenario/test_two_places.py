"""Every way a second installation can end; a crash at any record changes none, and somebody always serves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenario.two_places import LIVE, TwoPlaces
from upgrader.model.phase import Phase
from upgrader.testing.fakes import FakeJournal


def failing(seconds: float) -> float:
    return 0.2


def failing_once_alone() -> TwoPlaces:
    """The new version is good as long as the old one stands."""
    stage = TwoPlaces()
    stage.errors = lambda seconds: 0.0 if stage.old.is_whole else 0.5
    return stage


def bad_chart() -> TwoPlaces:
    stage = TwoPlaces()
    stage.new.fails = "Error: no such image"
    return stage


def troubled(why: str, *, since: float, until: float = float("inf")) -> Callable[[], TwoPlaces]:
    def make() -> TwoPlaces:
        stage = TwoPlaces()
        stage.front.trouble = lambda seconds: why if since <= seconds < until else ""
        return stage

    return make


ENDS: dict[str, tuple[Callable[[], TwoPlaces], Phase]] = {
    "a good version": (TwoPlaces, Phase.COMPLETED),
    "failing requests": (lambda: TwoPlaces(failing), Phase.ROLLED_BACK),
    "failing when the old one is retired": (failing_once_alone, Phase.ROLLED_BACK),
    "an installation that fails": (bad_chart, Phase.ROLLED_BACK),
    "a balancer that throttles for a while": (troubled("throttled", since=5, until=15), Phase.COMPLETED),
    "a balancer that is silent for a while": (troubled("silent", since=5, until=15), Phase.COMPLETED),
    "a balancer that accepts and does nothing": (troubled("lies", since=5), Phase.PAUSED),
    "a balancer that tells what it does not do": (troubled("pretends", since=16), Phase.PAUSED),
    "a balancer that refuses for good": (troubled("denied", since=5), Phase.PAUSED),
}


@pytest.mark.parametrize(("make", "end"), ENDS.values(), ids=ENDS)
def test_a_run_ends_as_its_scenario_says(make: Callable[[], TwoPlaces], end: Phase) -> None:
    """The balancer's trouble is doubt: it holds and pauses, and never rolls back."""
    stage = make()

    run = stage.run()

    assert run.phase is end, stage.seen
    require_right(stage, end)


@pytest.mark.parametrize(("make", "end"), ENDS.values(), ids=ENDS)
def test_a_crash_at_any_record_changes_no_end_and_leaves_nobody_unserved(
    make: Callable[[], TwoPlaces], end: Phase
) -> None:
    """Before and after each record of the journal."""
    whole = make()
    whole.run()

    for number in range(1, len(whole.journal.lines)):
        for journal in (FakeJournal(crash_before=number), FakeJournal(crash_after=number)):
            stage = make()
            stage.journal = journal
            run = stage.run()
            assert run.phase is end, (number, stage.seen)
            require_right(stage, end)


def test_an_abort_after_a_crash_at_any_record_leaves_no_helm_of_ours_at_work() -> None:
    """One that was started and not written down would install, or retire, when all has been brought back."""
    whole = TwoPlaces()
    whole.run()
    begun = next(int(one["seq"]) for one in whole.journal.lines if one["kind"] == "intent")

    for number in range(begun, len(whole.journal.lines) - 1):
        for journal in (FakeJournal(crash_before=number + 1), FakeJournal(crash_after=number)):
            stage = TwoPlaces(aborts="asked", away_seconds=0.5)
            stage.journal = journal
            run = stage.run()
            stage.clock.sleep(60.0)
            stage.fleet()
            assert run.phase is Phase.ROLLED_BACK, (number, stage.seen)
            require_right(stage, Phase.ROLLED_BACK)


def late_front() -> TwoPlaces:
    """Traffic follows the balancer's word ten seconds later."""
    stage = TwoPlaces(failing, away_seconds=1.0)
    stage.front.delay_seconds = stage.front.lag_seconds = 10.0
    return stage


def test_a_crash_does_not_shorten_the_wait_for_a_balancer_that_follows_late() -> None:
    """Whoever finds the share set, and not by whom or when, waits; and a first look counts nothing yet."""
    whole = late_front()
    whole.run()
    assert whole.front.moves == [0.1, 0.0]

    for number in range(1, len(whole.journal.lines)):
        for journal in (FakeJournal(crash_before=number), FakeJournal(crash_after=number)):
            stage = late_front()
            stage.journal = journal
            run = stage.run()
            assert (run.phase, stage.unserved) == (Phase.ROLLED_BACK, []), number


def require_right(stage: TwoPlaces, end: Phase) -> None:
    """Require that somebody served at every record, and the one that must stand alone at the end does."""
    assert stage.unserved == []
    if end is Phase.COMPLETED:
        assert (stage.front.green, stage.new.is_whole, stage.old.is_whole) == (1.0, True, False)
        assert stage.kube.there
    if end is Phase.ROLLED_BACK:
        assert (stage.front.green, stage.new.is_whole, stage.old.is_whole) == (0.0, False, True)
        assert stage.old.replicas == LIVE
        assert not stage.kube.there
    assert stage.new.asked.count("install") <= 1


def test_a_bad_version_loses_all_traffic_in_one_move_and_only_then_goes() -> None:
    """Back is the weight to the old one, first of all."""
    stage = TwoPlaces(failing)

    stage.run()

    assert stage.front.moves == [0.1, 0.0]
    assert stage.new.asked == ["install", "uninstall"]


def test_what_was_retired_comes_back_whole_before_it_gets_traffic() -> None:
    """The way back of its own, after the last step."""
    stage = failing_once_alone()

    stage.run()

    assert stage.old.asked == ["uninstall", "rollback 7"]
    assert stage.front.moves == [0.1, 0.5, 1.0, 0.0]


def test_a_share_that_is_told_and_not_had_passes_no_gate() -> None:
    """Also between two shares, where either side gets some traffic whatever the balancer does."""
    stage = troubled("pretends", since=16)()

    run = stage.run()

    assert (run.step.id, stage.front.told, stage.front.green) == ("shift 2/3", 0.5, 0.1)
    assert "100 of 1000 requests reached new pods, and 50 % is set" in run.reason


def test_a_share_that_comes_late_is_waited_for() -> None:
    stage = TwoPlaces()
    stage.front.lag_seconds = 12.0

    run = stage.run()

    assert run.phase is Phase.COMPLETED
    assert stage.seen.count("holding") >= 1
    assert stage.front.moves == [0.1, 0.5, 1.0]


def test_traffic_moved_by_hand_in_the_bake_keeps_the_old_version_and_is_said() -> None:
    stage = TwoPlaces()

    def take_back(seconds: float) -> float:
        if stage.front.moves == [0.1, 0.5, 1.0] and stage.seen[-1] == "observing":
            stage.front.move(0.5)
        return 0.0

    stage.errors = take_back
    run = stage.run()

    assert (run.phase, stage.old.asked) == (Phase.PAUSED, [])
    assert "does not say that the new version has all the traffic" in run.reason


def test_a_throttled_balancer_is_asked_at_a_modest_pace() -> None:
    stage = troubled("denied", since=5)()

    run = stage.run()

    assert run.reason == "shift 1/3 is not done after 40 s: the balancer said: denied; ask for the right"
    assert 2 <= stage.front.asked <= 12
