"""JSON lines and plain lines: what a pipeline and a CI log get."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest

from tests.report.journals import RUN, bad, blind, chapters, told
from tests.scenario.stage import Stage
from upgrader.model.phase import Phase
from upgrader.model.plugins import Finding, Severity
from upgrader.model.reading import Fact, Weight
from upgrader.report.lines import JsonLines, TextLines
from upgrader.report.sentences import sentence


def json_of(stage: Stage) -> list[dict[str, Any]]:
    stream = io.StringIO()
    with JsonLines(stream) as view:
        for run, record in chapters(stage.journal.lines):
            view.show(run, record)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_each_change_is_one_json_object_with_a_name() -> None:
    """A name is ``noun.verbed``; whoever filters by it never parses a sentence."""
    names = [line["event"] for line in json_of(told(bad))]

    assert names[:6] == [
        "run.opened",
        "run.started",
        "run.cleared",
        "verdict.changed",
        "step.begun",
        "step.applied",
    ]
    assert names.index("run.held") < names.index("run.breached") < names.index("undo.begun")
    assert names[-2:] == ["run.undone", "run.rolled_back"]
    assert all(name.count(".") == 1 for name in names)


def test_a_line_carries_who_where_and_the_numbers_with_their_units() -> None:
    """One line is enough for an alert: nothing must be joined to it."""
    held = next(line for line in json_of(told(bad)) if line["event"] == "run.held")

    assert re.fullmatch(r"1970-01-12T13:46:[0-9]{2}\.[0-9]{3}Z", held["at"])
    assert (held["run"], held["release"], held["level"]) == (RUN, "edge/gateway", "warning")
    assert (held["phase_before"], held["phase"], held["step"]) == ("observing", "holding", "roll proxies 1/2")
    assert held["elapsed_seconds"] == pytest.approx(10, abs=1)
    assert 10 < held["evidence_odds"] < 1000
    assert held["evidence_odds_needed"] == 1000
    assert held["signals"]["envoy_stats"]["new_failures"] >= 100
    assert held["sentence"].startswith("Observing → holding: brake on")
    assert held["reason"].startswith("odds of ")


ENDS = {
    "completed": (told, "run.completed", 0, "info"),
    "rolled back": (lambda: told(bad), "run.rolled_back", 4, "info"),
    "paused": (lambda: told(blind), "run.paused", 8, "warning"),
    "refused": (
        lambda: told(findings=(Finding("hpa", Severity.BLOCK, "an HPA"),)),
        "run.refused",
        3,
        "warning",
    ),
    "needs a human": (lambda: told(bad, differs=("Service differs",)), "human.needed", 5, "error"),
}


@pytest.mark.parametrize(("make", "name", "code", "level"), ENDS.values(), ids=ENDS)
def test_the_last_line_tells_the_end_and_its_exit_code(make: Any, name: str, code: int, level: str) -> None:
    """A pipeline that only keeps the last line knows how it ended and where the time went."""
    last = json_of(make())[-1]

    assert (last["event"], last["exit_code"], last["level"]) == (name, code, level)
    assert sum(last["phase_seconds"].values()) == pytest.approx(last["elapsed_seconds"], abs=0.01)


def test_what_a_signal_saw_is_filed_under_the_step_that_was_under_way() -> None:
    """A mark of the observer's has no step of its own."""
    stage = told(facts=(Fact(Weight.NOTE, "retries", "3 retries"),))

    seen = next(line for line in json_of(stage) if line["event"] == "fact.seen")

    assert (seen["step"], seen["sentence"]) == ("freeze", "Seen: 3 retries.")


def test_no_line_is_written_for_what_changes_nothing() -> None:
    """Readings come each second; a log of a run of hours stays small."""
    stage = told()
    changes = [1 for run, record in chapters(stage.journal.lines) if sentence(run, record)]

    assert len(json_of(stage)) == len(changes) < len(stage.journal.lines) / 3


@pytest.mark.parametrize("kind", [JsonLines, TextLines])
def test_a_secret_is_masked_in_a_line(kind: type[JsonLines] | type[TextLines]) -> None:
    """A program's output may have carried one into a reason."""
    stage = told(fails={"helm": "helm said: bad password hunter22"})
    stream = io.StringIO()
    view = kind(stream, redact=lambda text: text.replace("hunter22", "***"))

    for run, record in chapters(stage.journal.lines):
        view.show(run, record)

    assert "bad password ***" in stream.getvalue()
    assert "hunter22" not in stream.getvalue()


def test_a_line_of_text_is_a_time_and_a_sentence() -> None:
    """What a CI log shows needs no viewer."""
    stage, stream = told(), io.StringIO()
    with TextLines(stream) as view:
        for run, record in chapters(stage.journal.lines):
            view.show(run, record)

    lines = stream.getvalue().splitlines()

    assert lines[2] == "13:46:40Z Preflight → applying: 0 findings, none blocks."
    assert Phase.COMPLETED.value in lines[-1]
