"""A program running inside a room, started from outside it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_DOOR_SECONDS = 2.0
"""How long ``nsenter`` may take to start its program; it takes 2 ms."""


def only_child(pid: int) -> int | None:
    """Return the first child of a process; ``None`` when it has none (yet, or any more).

    Source: proc_tid_children(5).
    """
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


class Entered:
    """Like `subprocess.Popen`, but signals reach the program itself and not the door it came by.

    Args:
        door: The ``nsenter`` process, whose only child is the program.
    """

    def __init__(self, door: subprocess.Popen[str]) -> None:
        self._door = door

    @property
    def stdin(self) -> IO[str] | None:
        """The program's standard input, if it is a pipe."""
        return self._door.stdin

    @property
    def stdout(self) -> IO[str] | None:
        """The program's standard output, if it is a pipe."""
        return self._door.stdout

    @property
    def stderr(self) -> IO[str] | None:
        """The program's standard error, if it is a pipe."""
        return self._door.stderr

    @property
    def pid(self) -> int | None:
        """The program's process id seen from outside; ``None`` when it is not running (yet)."""
        return only_child(self._door.pid) if self._door.poll() is None else None

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for a signal; ``None`` while it runs."""
        return self._door.returncode

    def poll(self) -> int | None:
        """Look whether it has ended, and return its exit status if so."""
        return self._door.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; `subprocess.TimeoutExpired` after ``timeout`` seconds."""
        return self._door.wait(timeout)

    def communicate(self, text: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Send text, read all it prints, wait for its end."""
        return self._door.communicate(text, timeout)

    def send_signal(self, number: int) -> None:
        """Signal the program, once it is through the door; one that ended already is success."""
        deadline = time.monotonic() + _DOOR_SECONDS
        while (pid := self.pid) is None and self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now, the door too."""
        self.send_signal(signal.SIGKILL)
        self._door.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it if it still runs, and let go of its pipes."""
        if self.poll() is None:
            self.kill()
        self._door.__exit__(kind, error, trace)
