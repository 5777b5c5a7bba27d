"""The end of a rehearsal: what is said, and which exit code that makes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from upgrader.errors import ExitCode
from upgrader.lab.rehearse.accounts import Books, Check
from upgrader.lab.rehearse.command import exit_code
from upgrader.lab.rehearse.drills import drill_of
from upgrader.lab.rehearse.outcome import Back, Outcome

CLIENT = {
    "sent": 1200,
    "ok": 1190,
    "failed": 10,
    "failures": {"http_503": 10},
    "p50_ms": 2.1,
    "p99_ms": 9.5,
    "in_flight": 0,
}
DIFFERING = Check("requests sent", {"clients": 1, "the front balancer": 2})


def outcome(fault: str = "errors:20%", code: int = 4) -> Outcome:
    return Outcome(
        drill=drill_of(fault, exclude=0.2),
        exit_code=code,
        summary=None,
        books=Books(CLIENT, Counter(), Counter(), {"cluster.gateways.upstream_rq_retry": 0}),
        checks=(Check("requests sent", {"clients": 1200, "the front balancer": 1200}),),
        has_come=True,
        left=(),
        stage_seconds={"room up": 8.2},
        journal=Path("/state/journal.jsonl"),
    )


WRONG_END = outcome(code=0)
WRONG_BOOKS = replace(outcome(), checks=(DIFFERING,))
WRONG_BACK = replace(outcome("", 0), back=Back(ExitCode.PAUSED, None))
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
    ],
)
def test_the_exit_code_is_the_runs_own_unless_we_failed(ended: list[Outcome], code: ExitCode) -> None:
    assert exit_code(ended) == code


def test_the_end_is_said_in_words() -> None:
    said = "\n".join(outcome().lines())

    assert "1,200 requests sent, 10 failed (10 http_503)" in said
    assert "exit 4, as it must be; all accounts agree to the request" in said
    assert "room up 8.2 s" in said


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (WRONG_END, "exit 0, BUT IT MUST BE 4"),
        (WRONG_BACK, "the way back: exit 8, BUT IT MUST BE 0"),
        (WRONG_BOOKS, "THE ACCOUNTS DIFFER"),
        (WRONG_LEFT, "SOMETHING IS LEFT BEHIND"),
        (replace(outcome(), has_come=False), "NEVER CAME"),
    ],
)
def test_what_went_wrong_is_said_loudly(wrong: Outcome, word: str) -> None:
    assert word in wrong.lines()[-1]
    assert not wrong.is_right
