"""The end of a rehearsal: what is said, and which exit code that makes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from upgrader.errors import ExitCode, PlaybookInvalid
from upgrader.lab.rehearse.accounts import RETRIES, TAKEN, Books, Check
from upgrader.lab.rehearse.command import exit_code
from upgrader.lab.rehearse.drills import drill_of
from upgrader.lab.rehearse.loads import kinds_of
from upgrader.lab.rehearse.outcome import Back, Outcome
from upgrader.lab.traffic.kinds import Kind

CLIENT = {
    "sent": 1200,
    "ok": 1190,
    "failed": 10,
    "failures": {"http_503": 10},
    "p50_ms": 2.1,
    "p99_ms": 9.5,
    "in_flight": 0,
}
WELL = CLIENT | {"ok": 1200, "failed": 0, "failures": {}}
STREAMS = {"opened": 45, "open": 0, "moved": 25, "moving": 0, "closed": 20, "lost": {}}
DIFFERING = Check("requests sent", {"clients": 1, "the front balancer": 2})


def outcome(fault: str = "errors:20%", code: int = 4) -> Outcome:
    return with_clients({Kind.HTTP1: CLIENT if fault else WELL}, fault, code)


def with_clients(clients: dict[Kind, dict[str, Any]], fault: str = "", code: int = 0) -> Outcome:
    return Outcome(
        drill=drill_of(fault, exclude=0.2),
        exit_code=code,
        summary=None,
        books=Books(clients, Counter(), Counter(), {RETRIES: 0}),
        checks=(Check("requests sent", {"clients": 1200, "the front balancer": 1200}),),
        has_come=True,
        left=(),
        stage_seconds={"room up": 8.2},
        journal=Path("/state/journal.jsonl"),
    )


WRONG_END = outcome(code=0)
WRONG_BOOKS = replace(outcome(), checks=(DIFFERING,))
WRONG_BACK = replace(outcome("", 0), back=Back(ExitCode.PAUSED, None))
CUT = {Kind.HTTP1: WELL, Kind.GRPC: WELL | {"streams": STREAMS | {"lost": {"stream_reset": 2}}}}
WRONG_LOST = with_clients(CUT)
WRONG_LEFT = replace(outcome(), left=("Lease upgrader-edge is still there",))


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        pytest.param([outcome()], ExitCode.ROLLED_BACK, id="as named: the run's own"),
        pytest.param([outcome("errors:1%", 0)], ExitCode.COMPLETED, id="nothing promised: the run's own"),
        pytest.param([WRONG_END], ExitCode.COMPLETED, id="another end: the run's own"),
        pytest.param([outcome(), WRONG_END], ExitCode.COMPLETED, id="the first that went wrong counts"),
        pytest.param([WRONG_BOOKS], ExitCode.BUG, id="accounts differ: a bug"),
        pytest.param([WRONG_BACK], ExitCode.PAUSED, id="the way back went wrong: its own"),
        pytest.param(
            [replace(WRONG_BACK, back=Back(ExitCode.COMPLETED, None))], ExitCode.COMPLETED, id="both ways"
        ),
        pytest.param([outcome(), WRONG_LEFT], ExitCode.BUG, id="something left: a bug"),
        pytest.param([WRONG_LOST], ExitCode.BUG, id="a stream cut in a good upgrade: a bug"),
        pytest.param([outcome("upstream-outage", 0)], ExitCode.COMPLETED, id="an outage may cost requests"),
    ],
)
def test_the_exit_code_is_the_runs_own_unless_we_failed(ended: list[Outcome], code: ExitCode) -> None:
    assert exit_code(ended) == code


def test_retries_that_a_front_does_not_count_are_not_called_none() -> None:
    uncounted = replace(outcome(), books=Books({Kind.HTTP1: CLIENT}, Counter(), Counter(), {TAKEN: 1200}))

    assert "not counted by this front balancer" in "\n".join(uncounted.lines())
    assert uncounted.to_json()["upstream_rq_retry"] is None


def test_the_end_is_said_in_words() -> None:
    said = "\n".join(outcome().lines())

    assert "1,200 requests sent, 10 failed (10 http_503)" in said
    assert "exit 4, as it must be; all accounts agree to the request" in said
    assert "room up 8.2 s" in said
    assert "0 by the front balancer" in said


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (WRONG_END, "exit 0, BUT IT MUST BE 4"),
        (WRONG_BACK, "the way back: exit 8, BUT IT MUST BE 0"),
        (WRONG_BOOKS, "THE ACCOUNTS DIFFER"),
        (WRONG_LEFT, "SOMETHING IS LEFT BEHIND"),
        (replace(outcome(), has_come=False), "NEVER CAME"),
        (WRONG_LOST, "BUT 2 WERE LOST"),
    ],
)
def test_what_went_wrong_is_said_loudly(wrong: Outcome, word: str) -> None:
    assert word in wrong.lines()[-1]
    assert not wrong.is_right


def test_each_kind_of_traffic_is_told_in_words_and_as_json() -> None:
    told = with_clients({Kind.HTTP1: WELL, Kind.WEBSOCKET: WELL | {"streams": STREAMS}})
    said = "\n".join(told.lines())

    assert "1,200 requests sent, 0 failed\n" in said
    assert "1,200 messages sent, 0 failed by websocket; 45 streams opened, 25 moved, 0 lost" in said
    made = told.to_json()
    assert (made["clients"]["sent"], made["lost"]) == (2400, 0)
    assert made["traffic"]["websocket"]["streams"]["moved"] == 25
    assert told.is_right


def test_the_kinds_of_traffic_are_read_off_the_command_line() -> None:
    assert kinds_of("http1") == (Kind.HTTP1,)
    assert kinds_of("h2, grpc,websocket") == (Kind.H2, Kind.GRPC, Kind.WEBSOCKET)


@pytest.mark.parametrize("text", ["", "http3", "h2,h2", "http1,"])
def test_a_kind_of_traffic_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(PlaybookInvalid, match="kinds of traffic"):
        kinds_of(text)
