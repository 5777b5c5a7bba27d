"""The summary tells a finished run by its journal alone, in lines and as JSON."""

from __future__ import annotations

import json

import pytest

from tests.scenario.stage import STEPS, Stage, good
from upgrader.errors import JournalDamaged
from upgrader.model.evidence import Counts
from upgrader.model.phase import Phase
from upgrader.model.plugins import Gate
from upgrader.report.summary import ClientCount, Summary, duration, summarize, summary_text


def failing(now: float) -> Counts:
    return Counts(100, 100, 900, 0, 1.0) if now >= 9 else good(now)


def told(stage: Stage) -> Summary:
    stage.run()
    return summarize(stage.journal.records())


def test_a_completed_run_tells_every_step_with_its_time() -> None:
    summary = told(Stage())

    assert [step.plan.id for step in summary.steps] == [step.id for step in STEPS]
    assert all(step.work_seconds is not None for step in summary.steps)
    gated = [step.plan.id for step in summary.steps if step.gate_seconds is not None]
    assert gated == [step.id for step in STEPS if step.gate is not Gate.NONE]
    assert summary.lines()[0] == f"COMPLETED (exit 0) after {duration(summary.run.at - summary.run.began)}"


def test_a_step_that_never_passed_its_gate_says_so() -> None:
    """The batch that broke is the last one told, without a gate."""
    summary = told(Stage({"envoy_stats": failing}))

    last = summary.steps[-1]
    assert last.gate_seconds is None
    assert f"{last.plan.id}: 0.6 s, its gate did not pass" in summary.lines()[-1]
    assert summary.lines()[0].startswith("ROLLED BACK (exit 4) after ")


def test_a_run_that_was_rolled_back_tells_what_made_it_go_back() -> None:
    """The reason of the end alone would only say that the old version is whole again."""
    summary = told(Stage({"envoy_stats": failing}))

    assert [turn.phase for turn in summary.turns] == [Phase.HOLDING, Phase.ROLLING_BACK, Phase.ROLLED_BACK]
    assert all(any(turn.reason in line for line in summary.lines()) for turn in summary.turns)
    assert "odds of" in summary.turns[1].reason


def test_the_peak_of_the_evidence_is_kept_after_it_fell() -> None:
    def spike(now: float) -> Counts:
        return Counts(100, 5, 900, 0, 1.0) if 9 <= now < 13 else good(now)

    summary = told(Stage({"envoy_stats": spike}))

    assert (summary.peak_evidence or 0.0) > max(1.0, summary.run.evidence)


def test_requests_are_those_of_the_readings_to_the_request() -> None:
    stage = Stage({"envoy_stats": failing})
    summary = told(stage)

    readings = [line["body"]["counts"] for line in stage.journal.lines if line["kind"] == "reading"]
    requests = summary.to_json()["requests"]["envoy_stats"]
    assert requests["new_requests"] == sum(one["new_requests"] for one in readings)
    assert requests["new_failures"] == sum(one["new_failures"] for one in readings)


def test_time_in_phases_adds_up_to_the_whole() -> None:
    form = told(Stage()).to_json()

    assert sum(form["seconds_in_phase"].values()) == pytest.approx(form["seconds"])


def test_the_json_form_is_json() -> None:
    form = told(Stage({"envoy_stats": failing})).to_json()

    assert json.loads(json.dumps(form)) == form
    assert form["exit_code"] == 4


def test_what_the_clients_saw_and_the_undo_commands_are_told_as_given() -> None:
    stage = Stage(interrupt_at=16.0)
    stage.run()

    client = ClientCount(12345, 3, {"http_503": 2, "reset": 1})
    undo = ("helm rollback gateway 3", "kubectl rollout resume deployment gateway")
    lines = summarize(stage.journal.records(), client=client, undo=undo).lines()

    assert "  clients   12,345 requests sent, 3 failed (2 http_503, 1 reset)" in lines
    assert lines[-2:] == ("  undo      helm rollback gateway 3", f"            {undo[1]}")


def test_a_run_that_is_not_over_is_told_as_far_as_it_is() -> None:
    stage = Stage()
    stage.run()

    summary = summarize(stage.journal.lines[: len(stage.journal.lines) // 2])

    assert summary.to_json()["exit_code"] is None
    assert summary.steps


def test_a_run_alone_tells_how_it_stands() -> None:
    """Where only the folded run is at hand, what needs the journal is left out, not invented."""
    run = Stage().run()

    lines = summary_text(run, client=ClientCount(10, 0), undo=("helm rollback gateway 3",))

    assert lines[0].startswith("COMPLETED (exit 0) after ")
    assert run.reason in lines[1]
    assert not any("at most" in line or line.startswith("  steps") for line in lines)
    assert lines[-1] == "  undo      helm rollback gateway 3"


def test_an_empty_journal_is_damaged() -> None:
    with pytest.raises(JournalDamaged, match="empty"):
        summarize([])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.44, "0.4 s"),
        (9.96, "10.0 s"),
        (12.4, "12 s"),
        (59.6, "1 min 0 s"),
        (123, "2 min 3 s"),
        (3900, "1 h 5 min"),
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
