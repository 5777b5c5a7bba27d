"""Start programs, wait for them with a limit, and find them again after we were gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from upgrader.errors import ProgramFailed
from upgrader.model.ports import Process

MARK = "UPGRADER_PROCESS"
"""Variable by which a program of ours is found again: where its output goes."""
LADDER = ((signal.SIGINT, 2.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))
"""How a program that overran its deadline is ended: signal, and seconds until the next."""
PROC = Path("/proc")
TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run.

    Args:
        argv: Program and arguments; no shell reads them. Never secrets: every user of the machine sees them.
        environment: Its whole environment; ours is not inherited.
    """

    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """Return the program's name, for messages."""
        return Path(self.argv[0]).name


@dataclass(frozen=True, slots=True)
class Output:
    """How a program ended.

    Args:
        exit_status: 0 for success; below 0 the signal that ended it.
        stdout: What it printed.
        stderr: What it complained about.
    """

    exit_status: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)


class Shell:
    """Runs programs as sessions of their own, so that a Ctrl-C in our terminal does not reach them."""

    def __init__(self) -> None:
        """Start with no children."""
        self._children: dict[Process, subprocess.Popen[bytes]] = {}

    def run(self, command: Command, *, deadline_seconds: float) -> Output:
        """Run a program to its end, which may be a failure.

        Raises:
            ProgramFailed: When it could not start, or was still running after the deadline and was ended.
        """
        child = _spawn(command, subprocess.PIPE, subprocess.PIPE)
        try:
            stdout, stderr = child.communicate(timeout=deadline_seconds)
        except subprocess.TimeoutExpired as error:
            _end(child)
            raise ProgramFailed(
                f"{command.name} {command.argv[1] if len(command.argv) > 1 else ''} was still running after "
                f"{deadline_seconds:g} s and was ended",
                remedy="look whether the API server and the network are well, then try again",
            ) from error
        except BaseException:
            _end(child)
            raise
        return Output(child.returncode, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))

    def start(self, command: Command, *, log: Path) -> Process:
        """Start a program that may outlive us; what it prints goes to a file of mode 0600.

        Raises:
            ProgramFailed: When it could not start.
        """
        marked = Command(command.argv, {**command.environment, MARK: str(log)})
        where = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            child = _spawn(marked, where, subprocess.STDOUT)
        finally:
            os.close(where)
        state = look(child.pid)
        process = Process(child.pid, state.started if state else 0, str(log))
        self._children[process] = child
        return process

    def running(self, process: Process) -> bool:
        """Tell whether that very process still runs; another one with its pid does not count."""
        child = self._children.get(process)
        if child is not None:
            return child.poll() is None
        state = look(process.pid)
        return state is not None and state.alive and state.started == process.started

    def exit_status(self, process: Process) -> int | None:
        """Return how a child of ours ended; ``None`` while it runs, or when somebody else started it."""
        child = self._children.get(process)
        return child.poll() if child is not None else None

    def signal(self, process: Process, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to that very process, or to its whole session's group; one that ended gets none."""
        if not self.running(process):
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number) if group else os.kill(process.pid, number)

    def tail(self, process: Process) -> str:
        """Return the last 8 KiB of what it printed; empty when there is no such file."""
        try:
            with open(process.log, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL_BYTES))
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def find(self, folder: Path) -> tuple[Process, ...]:
        """Return the running programs whose output goes into a folder: those whose start nobody wrote down.

        Linux only (``/proc/PID/environ``); elsewhere empty.
        """
        prefix = f"{MARK}={folder}{os.sep}".encode()
        found = []
        for environ in PROC.glob("[0-9]*/environ"):
            with suppress(OSError, ValueError):
                mark = next(
                    (each for each in environ.read_bytes().split(b"\0") if each.startswith(prefix)), b""
                )
                state = look(int(environ.parent.name)) if mark else None
                if state is not None and state.alive and state.leads:
                    log = mark.partition(b"=")[2].decode()
                    found.append(Process(int(environ.parent.name), state.started, log))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class State:
    """What the kernel says of a process.

    Args:
        started: Start time: clock ticks since boot on Linux, UTC seconds elsewhere.
        alive: False for a zombie.
        leads: Whether it leads its session: a program of ours does, its own children do not.
    """

    started: int
    alive: bool
    leads: bool = True


def look(pid: int) -> State | None:
    """Return what is known of a process, or ``None`` when there is none of that pid."""
    return look_in_proc(pid) if sys.platform == "linux" else look_with_ps(pid)


def look_in_proc(pid: int) -> State | None:
    """Read ``/proc/PID/stat``: state is field 3, session 6, start time 22. Source: proc_pid_stat(5)."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return State(int(fields[19]), fields[0] not in "ZX", int(fields[3]) == pid)


def look_with_ps(pid: int) -> State | None:
    """Ask ``ps``, where there is no ``/proc`` (macOS); its start time has whole seconds."""
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
        env={"PATH": "/bin:/usr/bin", "LC_ALL": "C"},
    )
    state, _, started = asked.stdout.strip().partition(" ")
    if not started:
        return None
    return State(int(time.mktime(time.strptime(started.strip()))), not state.startswith("Z"))


def _spawn(command: Command, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(command.argv),
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as error:
        raise ProgramFailed(
            f"{command.name} could not be started: {error}",
            remedy=f"install {command.name}, or put it on PATH",
        ) from error


def _end(child: subprocess.Popen[bytes], ladder: Sequence[tuple[signal.Signals, float]] = LADDER) -> None:
    for number, patience in ladder:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=patience)
            return
