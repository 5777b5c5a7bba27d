"""Programs: their end, their limits, and how they are known again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from upgrader.adapters import shell as module
from upgrader.adapters.shell import Command, Shell, look, look_in_proc, look_with_ps
from upgrader.errors import ProgramFailed
from upgrader.model.ports import Process

PATH = {"PATH": "/usr/bin:/bin"}


def python(text: str) -> Command:
    return Command([sys.executable, "-c", text], PATH)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[tuple[Shell, Process]]:
    shell = Shell()
    process = shell.start(Command(["sleep", "60"], PATH), log=tmp_path / "sleep.log")
    environ = Path(f"/proc/{process.pid}/environ")
    while environ.exists() and not environ.read_bytes():  # the kernel is still setting the program up
        pass
    yield shell, process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    shell._children[process].wait(5)


def test_a_program_runs_to_its_end() -> None:
    output = Shell().run(
        python("import sys; print(1); print(2, file=sys.stderr); sys.exit(3)"), deadline_seconds=20
    )

    assert (output.exit_status, output.stdout, output.stderr) == (3, "1\n", "2\n")


def test_a_program_gets_the_environment_it_is_given_and_no_terminal() -> None:
    text = "import os, sys; print(sorted(os.environ), sys.stdin.read(), os.getsid(0) == os.getpid())"

    output = Shell().run(
        Command([sys.executable, "-c", text], {"A": "b", "LC_ALL": "C"}), deadline_seconds=20
    )

    assert output.stdout == "['A', 'LC_ALL']  True\n"


def test_an_absent_program_is_told() -> None:
    with pytest.raises(ProgramFailed, match="no-such-program could not be started") as failed:
        Shell().run(Command(["/no-such-program"], {}), deadline_seconds=1)

    assert "PATH" in failed.value.remedy


def test_a_program_that_overruns_is_ended() -> None:
    with pytest.raises(ProgramFailed, match=r"sleep 60 was still running after 0.05 s"):
        Shell().run(Command(["sleep", "60"], PATH), deadline_seconds=0.05)


def test_one_that_ignores_the_first_signals_is_ended_all_the_same() -> None:
    """The ladder goes on to SIGKILL."""
    quick = tuple((number, 0.05) for number, _ in module.LADDER[:-1])
    ladder = (*quick, (signal.SIGKILL, 5.0))
    command = Command(["sh", "-c", "trap '' INT TERM; echo ready; sleep 60"], PATH)

    child = module._spawn(command, subprocess.PIPE, subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    module._end(child, ladder)

    assert child.returncode == -signal.SIGKILL


def test_a_started_program_is_known_by_pid_and_start_time(sleeper: tuple[Shell, Process]) -> None:
    shell, process = sleeper
    stranger = replace(process, started=process.started + 1)

    assert shell.running(process)
    assert Shell().running(process)
    assert not Shell().running(stranger)


def test_no_signal_reaches_a_stranger_of_the_same_pid(sleeper: tuple[Shell, Process]) -> None:
    shell, process = sleeper

    Shell().signal(replace(process, started=1), signal.SIGKILL)

    assert shell.running(process)


def test_a_signal_reaches_it_and_its_end_is_known(sleeper: tuple[Shell, Process]) -> None:
    shell, process = sleeper

    shell.signal(process, signal.SIGTERM)
    shell._children[process].wait(5)

    assert not shell.running(process)
    assert not Shell().running(process)
    assert shell.exit_status(process) == -signal.SIGTERM
    assert Shell().exit_status(process) is None


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc/PID/environ")
def test_it_is_found_without_having_been_written_down(sleeper: tuple[Shell, Process], tmp_path: Path) -> None:
    _, process = sleeper

    assert Shell().find(tmp_path) == (process,)
    assert Shell().find(tmp_path / "other") == ()


def test_what_it_prints_is_kept_privately(tmp_path: Path) -> None:
    shell, log = Shell(), tmp_path / "x.log"

    process = shell.start(python("print('a' * 9000); print('end')"), log=log)
    shell._children[process].wait(20)

    assert log.stat().st_mode & 0o777 == 0o600
    assert shell.tail(process).endswith("a\nend\n")
    assert len(shell.tail(process)) == 8192
    assert shell.tail(Process(1, 1, str(tmp_path / "absent"))) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc")
def test_both_ways_to_look_agree() -> None:
    """``ps`` is what macOS has."""
    ours, theirs = look_in_proc(os.getpid()), look_with_ps(os.getpid())

    assert ours is not None
    assert theirs is not None
    assert ours.alive
    assert theirs.alive
    assert look_with_ps(os.getpid()) == theirs
    assert look(2**22 + 1) is None
    assert look_with_ps(2**22 + 1) is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_name_with_brackets_and_blanks_is_read_well(tmp_path: Path) -> None:
    """Field 2 of stat may hold anything."""
    link = tmp_path / "x) Z 1 (y"
    link.symlink_to("/bin/sleep")
    shell = Shell()
    process = shell.start(Command([str(link), "60"], PATH), log=tmp_path / "log")

    state = look_in_proc(process.pid)
    shell.signal(process, signal.SIGKILL)
    shell._children[process].wait(5)

    assert state is not None
    assert state.alive
    assert state.leads
