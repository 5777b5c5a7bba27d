"""What the commands that only read a journal say and how they end; no cluster is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.report.journals import chapters
from upgrader import runs
from upgrader.adapters.journal import encoded
from upgrader.cli import app
from upgrader.errors import JournalDamaged
from upgrader.model.phase import Phase


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def cut(tmp_path: Path) -> Callable[[Phase], Path]:
    """Return what cuts the journal of a real run in the middle of a line, the run being in a phase."""

    def journal(phase: Phase) -> Path:
        lines = runs.recorded()
        number = next(n for n, (run, _) in enumerate(chapters(lines), start=1) if run.phase is phase)
        file = tmp_path / "journal.jsonl"
        file.write_bytes(b"".join(encoded(line) + b"\n" for line in lines[:number]) + b'{"at":1')
        return file

    return journal


IN_MID_RUN = [
    Phase.PLANNED,
    Phase.APPLYING,
    Phase.OBSERVING,
    Phase.HOLDING,
    Phase.ROLLING_BACK,
    Phase.VERIFYING,
]


@pytest.mark.parametrize("phase", IN_MID_RUN)
def test_a_record_that_ends_in_mid_run_is_replayed_and_told_as_such(
    cut: Callable[[Phase], Path], phase: Phase
) -> None:
    """It is no run of ours that ended so, and no bug."""
    text = call("replay", cut(phase), "--speed", "max", "--output", "text")
    body = call("replay", cut(phase), "--speed", "max", "--output", "json")

    words = f"the record ends in phase {phase.value.replace('_', ' ')}, at "
    assert (text.exit_code, body.exit_code) == (0, 0), text.output
    assert text.output.splitlines()[-1].startswith(words)
    assert json.loads(body.output.splitlines()[-1])["note"].startswith(words)


@pytest.mark.parametrize("phase", IN_MID_RUN)
def test_a_run_in_mid_run_has_a_status_and_is_explained(cut: Callable[[Phase], Path], phase: Phase) -> None:
    """Without any cluster, too."""
    status = call("status", cut(phase), "--kubeconfig", "/nowhere/kubeconfig")
    explained = call("explain", cut(phase))

    assert (status.exit_code, explained.exit_code) == (0, 0), status.output + explained.output
    assert f"phase     {phase.value.replace('_', ' ')} since" in status.output
    assert "if no process drives it any more" in status.output
    assert "lease     not known: cannot use kubeconfig /nowhere/kubeconfig" in status.output
    assert "all equal" in explained.output


def test_a_record_of_a_whole_run_ends_as_the_run_did(cut: Callable[[Phase], Path]) -> None:
    replayed = call("replay", cut(Phase.ROLLED_BACK), "--speed", "max", "--output", "json")

    assert replayed.exit_code == 4
    assert "note" not in json.loads(replayed.output.splitlines()[-1])


@pytest.mark.parametrize("command", ["replay", "explain", "status", "resume", "abort"])
def test_a_journal_without_a_whole_line_is_no_traceback(command: str, tmp_path: Path) -> None:
    """The process died at its first record."""
    file = tmp_path / "journal.jsonl"
    file.write_bytes(b'{"at":1')

    ended = call(command, file)

    assert isinstance(ended.exception, JournalDamaged)
    assert "is empty" in ended.exception.what
