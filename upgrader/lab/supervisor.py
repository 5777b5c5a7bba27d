"""Start a room's processes, notice when one dies, and say which and what it last logged."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from upgrader.lab.cluster import Component

LAST_LINES = 15
"""How much of a dead component's log is shown; chosen by us, a Go panic's head fits."""

_DEFAULTED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT)
"""Signals Python ignores or we handle; a child begins with the system's own action for them."""


@dataclass(slots=True)
class Member:
    """One process of the room, running or dead.

    Args:
        name: The component.
        pid: Its process id inside the room.
        log: Its log file.
        status: Exit status; negative for a signal, ``None`` while it runs.
        ended: When it ended, in UTC seconds since 1970.
    """

    name: str
    pid: int
    log: str
    status: int | None = None
    ended: float | None = None

    def obituary(self) -> str:
        """Say how it ended, in one sentence."""
        status = self.status or 0
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"{self.name} {how}"


def last_lines(path: Path, *, count: int = LAST_LINES) -> list[str]:
    """Return the end of a log file; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []


class Supervisor:
    """The parent of every process of the room, orphans included: it runs as process 1.

    Args:
        logs: Folder for one log file a component.
        environment: What every component finds in its environment.
    """

    def __init__(self, *, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self.members: dict[int, Member] = {}

    def start(self, component: Component) -> Member:
        """Start a component in a session of its own, its output going to ``NAME.log``."""
        log = self._logs / f"{component.name}.log"
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
        pid = os.posix_spawn(
            component.argv[0],
            component.argv,
            self._environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigdef=_DEFAULTED,
            setsigmask=(),
        )
        member = Member(component.name, pid, str(log))
        self.members[pid] = member
        return member

    def reap(self) -> list[Member]:
        """Collect every dead child, orphans of the room too; return the components among them."""
        dead: list[Member] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return dead
            if pid == 0:
                return dead
            if member := self.members.get(pid):
                member.status = os.waitstatus_to_exitcode(status)
                member.ended = time.time()
                dead.append(member)

    def state(self) -> list[dict[str, object]]:
        """Return all components as plain data, in the order they were started."""
        return [asdict(member) for member in self.members.values()]
