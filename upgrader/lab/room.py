"""A room: a network, mounts and processes of its own, with a real Kubernetes in it.

    with Room.up("demo") as room:
        room.run(["kubectl", "get", "nodes"])

An *owned* room dies with the process that made it, however that dies; a *kept* one lives until `Room.down`.
The host keeps one small record of each.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from upgrader.errors import ProgramFailed, Refused
from upgrader.lab import layout, namespaces
from upgrader.lab.construction import close_pipes, construct, keep, specify
from upgrader.lab.entered import Entered, only_child
from upgrader.lab.progress import Tell, tell_nobody
from upgrader.lab.record import Record, Records, start_time

_DOWN_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class RoomStatus:
    """What `Room.status` found.

    Args:
        record: The host's record of the room.
        components: One row a process of the cluster: name, pid inside, log, status, ended.
    """

    record: Record
    components: tuple[Mapping[str, Any], ...]

    @property
    def dead(self) -> tuple[Mapping[str, Any], ...]:
        """The components that have ended."""
        return tuple(each for each in self.components if each["status"] is not None)


class Room:
    """One room; made by `Room.up`, found again by `Room.find`.

    Args:
        record: The host's record of it.
        outer: The process that holds it, where it is ours.
        records: Where records lie.
    """

    def __init__(
        self, record: Record, *, outer: subprocess.Popen[bytes] | None = None, records: Records | None = None
    ) -> None:
        self.record = record
        self._outer = outer
        self._records = records or Records()

    @classmethod
    def up(
        cls,
        name: str,
        *,
        nodes: int = 1,
        images: Mapping[str, Any] | None = None,
        owned: bool = True,
        tell: Tell = tell_nobody,
    ) -> Room:
        """Make a room and return when its cluster is ready for work.

        Args:
            name: 1-40 lower-case letters, digits and dashes.
            nodes: How many nodes, 1 to 9.
            images: The user's image table (a playbook's ``lab.images``), laid over the default one.
            owned: Whether the room dies with this process.
            tell: Called with each step.

        Raises:
            LabUnavailable: This machine cannot make rooms.
            Refused: There is a room of that name.
            ProgramFailed: A part of the cluster did not come up; its last log lines are in ``output``.
        """
        namespaces.check_system()
        spec = specify(name, nodes=nodes, images=images or {}, tell=tell)
        user = namespaces.needs_user_namespace()
        records, pid = Records(), os.getpid()
        record = Record(
            name, pid, start_time(pid) or 0, time.time(), user_namespace=user, nodes=nodes, owned=owned
        )
        records.claim(record)
        try:
            outer = construct(spec, user_namespace=user, tell=tell)
        except BaseException:
            records.forget(name)
            raise
        first = only_child(outer.pid) or 0
        record = replace(record, pid=first, started=start_time(first) or 0, ready=True)
        records.replace(record)
        if not owned:
            keep(outer)
        return cls(record, outer=outer, records=records)

    @classmethod
    def find(cls, name: str) -> Room:
        """Return a room that is up.

        Raises:
            Refused: There is no such room, or it is still being built.
        """
        record = Records().find(name)
        if not record.ready:
            raise Refused(
                f"room '{name}' is not up yet",
                remedy="wait for whoever builds it, or end it: upgrader lab down",
            )
        return cls(record)

    @property
    def name(self) -> str:
        """The room's name."""
        return self.record.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; the path is valid inside the room only."""
        return layout.KUBECONFIG

    def is_alive(self) -> bool:
        """Tell whether the room still exists."""
        return self.record.is_alive()

    def enter(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        input: int | IO[Any] | None = None,
        output: int | IO[Any] | None = None,
    ) -> Entered:
        """Start a program inside the room and return at once.

        It has kubectl and helm on its PATH, and KUBECONFIG set. It is not in the room's care: it goes on
        until it ends, is killed, or the room ends. It is killed with its ``nsenter``.

        Args:
            argv: Program and arguments.
            environment: Added to our own environment. Values never reach a command line.
            folder: Working folder; ours by default, ``/`` where that does not exist inside.
            input: As ``stdin`` of `subprocess.Popen`.
            output: As ``stdout`` of `subprocess.Popen`; standard error goes the same way when given.
        """
        command, wanted = self.door(argv, environment=environment, folder=folder)
        error = None if output is None else subprocess.STDOUT
        return Entered(
            subprocess.Popen(command, env=wanted, stdin=input, stdout=output, stderr=error, text=True)
        )

    def door(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> tuple[list[str], dict[str, str]]:
        """Return the command and environment that run a program inside the room; `enter` starts it."""
        where = folder or Path.cwd()
        inside = "/" if where.is_relative_to("/run") else str(where)  # the room has a /run of its own
        record = self.record
        command = namespaces.enter_argv(
            argv, pid=record.pid, user_namespace=record.user_namespace, folder=inside
        )
        return command, layout.environment(os.environ) | dict(environment or {})

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        input: str | None = None,
        timeout_seconds: float = 60.0,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside the room to its end and return what it printed.

        Raises:
            ProgramFailed: It ended with a status other than 0 (unless ``check`` is off), or in no time.
        """
        command, wanted = self.door(argv, environment=environment, folder=Path("/"))
        try:
            done = subprocess.run(
                command,
                check=False,
                env=wanted,
                input=input,
                capture_output=True,
                text=True,
                timeout=timeout_seconds,
            )
        except subprocess.TimeoutExpired as late:
            raise ProgramFailed(
                f"{argv[0]} in room '{self.name}' took over {timeout_seconds:.0f} s"
            ) from late
        if check and done.returncode:
            raise ProgramFailed(
                f"{argv[0]} in room '{self.name}' ended with status {done.returncode}",
                exit_status=done.returncode,
                output=(done.stderr or done.stdout)[-4000:],
            )
        return done

    def status(self) -> RoomStatus:
        """Look which components of the cluster live, and which have died since the start."""
        state = json.loads(self.run(["cat", str(layout.STATE)]).stdout)
        return RoomStatus(self.record, tuple(state["components"]))

    def down(self) -> None:
        """End the room: all processes, mounts and addresses in it. One that is gone is success.

        One that is still being built ends with its builder, who is asked to end.
        """
        _end(self.record)
        if self._outer:
            close_pipes(self._outer)
            self._outer.wait(_DOWN_SECONDS)
        self._records.forget(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()


def rooms() -> list[Room]:
    """Return all rooms of this user that are alive, by name."""
    return [Room(record) for record in Records().sweep()]


def _end(record: Record) -> None:
    """Kill a room's first process and wait until the kernel has ended all others."""
    with contextlib.suppress(ProcessLookupError), contextlib.ExitStack() as descriptors:
        first = os.pidfd_open(record.pid)
        descriptors.callback(os.close, first)
        if not record.is_alive():
            return
        last = os.pidfd_open(_parent(record.pid)) if record.ready else first
        if last != first:
            descriptors.callback(os.close, last)
        signal.pidfd_send_signal(first, signal.SIGKILL if record.ready else signal.SIGTERM)
        for descriptor in (first, last):
            select.select([descriptor], (), (), _DOWN_SECONDS)


def _parent(pid: int) -> int:
    """Return the process that holds a room: ``unshare``, which ends as soon as the room has."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
