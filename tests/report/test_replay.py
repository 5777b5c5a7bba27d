"""A recorded run, shown again at any speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.report.journals import bad, blind, told
from upgrader.errors import JournalDamaged, PlaybookInvalid
from upgrader.model.record import Kind, Record
from upgrader.model.run import Run, fold
from upgrader.report.replay import LONGEST_SECONDS, factor_of, replay_lines
from upgrader.testing.fakes import FakeClock

Lines = list[Mapping[str, Any]]


def test_a_replay_at_any_speed_ends_as_the_journal_says() -> None:
    lines, seen = told(bad).journal.lines, list[Run]()

    run = replay_lines(lines, lambda run, record: seen.append(run), speed=math.inf, clock=FakeClock())

    assert run == seen[-1] == fold(lines)
    assert len(seen) == len(lines)


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 14.1), (10.0, 1.41), (math.inf, 0.0)])
def test_a_replay_takes_the_runs_own_time_divided_by_its_speed(speed: float, seconds: float) -> None:
    lines, clock = told(bad).journal.lines, FakeClock(0.0)
    took = lines[-1]["at"] - lines[0]["at"]

    replay_lines(lines, lambda run, record: None, speed=speed, clock=clock)

    assert clock.time == pytest.approx(took / speed)
    assert clock.time == pytest.approx(seconds, abs=0.2)


def test_each_record_is_told_when_it_is_due() -> None:
    lines, clock, times = told(bad).journal.lines, FakeClock(0.0), list[float]()

    replay_lines(lines, lambda run, record: times.append(clock.time), speed=2.0, clock=clock)

    assert times == pytest.approx([(line["at"] - lines[0]["at"]) / 2 for line in lines])


def test_a_long_pause_is_not_waited_for() -> None:
    """A run paused at 03:00 and resumed hours later is shown within its own minutes."""
    stage = told(blind)
    stage.clock.sleep(1800)
    stage.run()
    clock = FakeClock(0.0)

    replay_lines(stage.journal.lines, lambda run, record: None, speed=1.0, clock=clock)

    took = stage.journal.lines[-1]["at"] - stage.journal.lines[0]["at"]
    assert took > 1800
    assert clock.time <= took - 1800 + LONGEST_SECONDS


def _torn(lines: Lines) -> Lines:
    return [*lines[:20], {"seq": 20, "at": 1.0}]


def _cut(lines: Lines) -> Lines:
    return [*lines[:20], *lines[22:]]


def _changed(lines: Lines) -> Lines:
    number = next(n for n, line in enumerate(lines) if line["kind"] == "reading")
    body = {**lines[number]["body"], "source": "somewhere else"}
    return [*lines[:number], {**lines[number], "body": body}, *lines[number + 1 :]]


def _impossible(lines: Lines) -> Lines:
    last = Record.from_line(lines[19])
    return [
        *lines[:20],
        Record(20, last.at, Kind.EVENT, last.phase, "", {"event": "x"}, last.digest()).to_line(),
    ]


def _foreign(lines: Lines) -> Lines:
    return [{**lines[0], "body": {**lines[0]["body"], "schema": 99}}, *lines[1:]]


DAMAGES: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "empty": (lambda lines: [], "the journal is empty"),
    "torn": (_torn, "line 21 of the journal is no record"),
    "cut": (_cut, "record 22 does not follow record 19"),
    "changed": (_changed, "the journal was changed or cut"),
    "impossible": (_impossible, "line 21 of the journal, a record of kind event, says what cannot be"),
    "of another version": (_foreign, "schema 99"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_journal_is_named_as_such(damage: Callable[[Lines], Lines], words: str) -> None:
    """No traceback, and no story told from what cannot be trusted."""
    lines = damage(told(bad).journal.lines)

    with pytest.raises(JournalDamaged, match=words):
        replay_lines(lines, lambda run, record: None, speed=math.inf, clock=FakeClock())


@pytest.mark.parametrize(("text", "factor"), [("1x", 1.0), ("10x", 10.0), ("0.5x", 0.5), ("max", math.inf)])
def test_a_speed_is_a_factor_or_max(text: str, factor: float) -> None:
    assert factor_of(text) == factor


@pytest.mark.parametrize("text", ["10", "0x", "-1x", "x", "fast", "", "1e3x"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(PlaybookInvalid, match="is no speed"):
        factor_of(text)
