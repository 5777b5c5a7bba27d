"""The one thing the host keeps of a room: a small JSON file, swept when its process is gone."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from upgrader.errors import PlaybookInvalid, Refused

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a room from outside.

    Args:
        name: The room's name.
        pid: Its first process, seen from outside; while it is being built, whoever builds it.
        started: Kernel start time of that process, so that a reused pid is never mistaken for it.
        created: When, in UTC seconds since 1970.
        ready: Whether it is up.
        user_namespace: Whether it has a user namespace of its own (it was made by an ordinary user).
        nodes: How many nodes it has.
        owned: Whether it dies with the process that made it.
    """

    name: str
    pid: int
    started: int
    created: float
    ready: bool = False
    user_namespace: bool = True
    nodes: int = 1
    owned: bool = True

    def is_alive(self) -> bool:
        """Tell whether that very process still runs."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> int | None:
    """Return a process's start time in clock ticks since boot; ``None`` when it is gone or a zombie.

    Source: proc_pid_stat(5), fields 3 and 22; the name in field 2 may hold spaces and brackets.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def check_name(name: str) -> str:
    """Return the name if it is fit for a room.

    Raises:
        PlaybookInvalid: It is not 1-40 lower-case letters, digits and dashes.
    """
    if not _NAME.fullmatch(name):
        raise PlaybookInvalid(
            f"'{name}' is no name for a room", remedy="use 1-40 lower-case letters, digits and dashes"
        )
    return name


class Records:
    """The records of one user's rooms.

    Args:
        folder: Where they lie; by default ``rooms`` in the user's state folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(platformdirs.user_state_dir("upgrader")) / "rooms"

    def _path(self, name: str) -> Path:
        return self._folder / f"{check_name(name)}.json"

    def claim(self, record: Record) -> None:
        """Write the first record of a room, and make sure nobody else does.

        Raises:
            Refused: There is a room of that name.
        """
        self.sweep()
        self._folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(record), indent=1)
        draft = self._folder / f".{record.name}.{os.getpid()}"
        draft.write_text(text)
        try:
            os.link(draft, self._path(record.name))  # unlike open(O_EXCL), never seen half written
        except FileExistsError:
            raise Refused(
                f"there is a room '{record.name}' already",
                remedy=f"choose another --name, or end it: upgrader lab down --name {record.name}",
            ) from None
        finally:
            draft.unlink()

    def replace(self, record: Record) -> None:
        """Write a room's record anew, whole or not at all."""
        draft = self._folder / f".{record.name}.{os.getpid()}"
        draft.write_text(json.dumps(asdict(record), indent=1))
        draft.replace(self._path(record.name))

    def forget(self, name: str) -> None:
        """Remove a room's record; one that is gone already is success."""
        self._path(name).unlink(missing_ok=True)

    def find(self, name: str) -> Record:
        """Return the record of a living room.

        Raises:
            Refused: There is no such room.
        """
        for record in self.sweep():
            if record.name == name:
                return record
        raise Refused(f"there is no room '{check_name(name)}'", remedy=f"upgrader lab up --name {name}")

    def sweep(self) -> list[Record]:
        """Remove records whose room is gone, and return the others by name."""
        alive = []
        for path, record in self._read():
            if record and record.is_alive():
                alive.append(record)
            else:
                path.unlink(missing_ok=True)
        return sorted(alive, key=lambda record: record.name)

    def _read(self) -> Iterator[tuple[Path, Record | None]]:
        for path in self._folder.glob("*.json"):
            record = None
            with contextlib.suppress(OSError, ValueError, TypeError):
                record = Record(**json.loads(path.read_text()))
            yield path, record
