"""Where a run stands, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.report.journals import RUN, after, bad, chapters, opened, told
from upgrader.model.phase import Phase
from upgrader.model.reading import Fact, Weight
from upgrader.report.status import status_body, status_text

UNDO = ("helm -n edge rollback gateway 7", "kubectl -n edge rollout status deployment gateway")


def test_a_held_run_says_why_since_when_and_what_stands() -> None:
    run = after(told(bad), lambda run: run.phase is Phase.HOLDING)

    text = status_text(run, undo=UNDO, lease="host-a, renewed 3 s ago")

    assert text.startswith(f"{RUN}  edge/gateway  gateway-1.11.28 → gateway-1.11.30  in prod-eu")
    for words in (
        "phase     holding since 1970-01-12T13:46:50.200Z, came from observing",
        "step      4/6 roll proxies 1/2: its gate stands",
        "why       odds of 25 to 1",
        "waits for hold: 0 s of 1 min 0 s (then paused)",
        "pods      rollout: old 18 of 18 ready · new 2 of 2 ready",
        "envoy: old 18 of 18 healthy · new 2 of 2 healthy",
        "requests  envoy_stats: 200 of 1,000 failed on new pods, 0 of 9,000 on old ones; E 25",
        "evidence  odds of 25 to 1 that new is worse; brake at 10, rolls back at 1,000",
        "lease     host-a, renewed 3 s ago",
        "undo      helm -n edge rollback gateway 7",
        "          kubectl -n edge rollout status deployment gateway",
    ):
        assert f"\n  {words}" in text or f"  {words}" in text


NEXT = {
    Phase.PAUSED: f"`upgrader resume {RUN}` goes on, `upgrader abort {RUN}` brings the old version back",
    Phase.NEEDS_HUMAN: "go on by the undo commands",
    Phase.COMPLETED: "nothing: the run is over",
    Phase.APPLYING: f"if no process drives it any more: `upgrader resume {RUN}`",
}


@pytest.mark.parametrize(("phase", "words"), NEXT.items(), ids=[phase.value for phase in NEXT])
def test_what_to_do_next_depends_on_the_phase(phase: Phase, words: str) -> None:
    assert words in status_text(replace(opened(), phase=phase))


def test_every_moment_of_a_run_has_a_status_in_plain_json() -> None:
    """Infinite waits, blind signals and runs that have only begun included."""
    for run, _ in chapters(told(bad).journal.lines):
        body = status_body(run, undo=UNDO)

        assert json.loads(json.dumps(body, allow_nan=False)) == body
        assert status_text(run).count("\n") >= 3


def test_the_json_form_tells_the_phase_the_numbers_and_the_way_back() -> None:
    run = after(told(bad, facts=(Fact(Weight.NOTE, "retries", "3 retries"),)), lambda run: run.is_over)

    body = status_body(run, undo=UNDO, lease="nobody")

    assert (body["phase"], body["exit_code"], body["lease"]) == ("rolled_back", 4, "nobody")
    assert body["signals"]["envoy_stats"]["new_failures"] > 0
    assert body["facts"] == [{"weight": "note", "rule": "retries", "text": "3 retries"}]
    assert body["undo"] == list(UNDO)
    assert body["pods"][0]["old_ready_pods"] == 20
