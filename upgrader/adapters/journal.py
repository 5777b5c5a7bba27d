"""The record of a run as a file: one JSON object a line, on the disk before the act it announces."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from upgrader.errors import JournalDamaged, Locked
from upgrader.model.record import SCHEMA, Kind

REMEDY = "keep the file; go back by the undo commands of `upgrader status`, then start anew"
_SYNC = getattr(fcntl, "F_FULLFSYNC", None)
"""macOS: fsync(2) there stops at the disk's own cache."""


def encoded(record: Mapping[str, Any]) -> bytes:
    """Return a record's line, without its end; the hash of a record is the hash of these bytes."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest(line: bytes) -> str:
    """Return what the next record carries as ``prev``; the same as `Record.digest`."""
    return hashlib.sha256(line).hexdigest()[:24]


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Read all records, oldest first, while somebody may be writing; a torn last line is dropped.

    Raises:
        JournalDamaged: A line is not ours, the chain of hashes is broken, or the version is unknown.
    """
    before = ""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            record = _decoded(line, f"{path}:{number}")
            if record.get("prev") != before:
                raise JournalDamaged(
                    f"{path}:{number} does not follow the line before it: the file was changed or cut",
                    remedy=REMEDY,
                )
            if number == 1:
                _check_version(record, path)
            before = digest(line[:-1])
            yield record


class JournalFile:
    """Appends to one file; implements `upgrader.model.ports.Journal`. No two processes write the same."""

    def __init__(self, path: Path) -> None:
        """Lock the file if it is there; else the first `append` makes it.

        Raises:
            Locked: Another process writes it.
        """
        self._path = path
        self._file = -1
        self._size = 0
        if path.exists():
            self._open()

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record; returns when it is on the disk.

        Raises:
            Locked: Another process writes it.
            OSError: The disk is full or broken; nothing of the record stays.
        """
        if self._file < 0:
            self._open()
        line = encoded(record) + b"\n"
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, "only a part of the record could be written", str(self._path))
            _sync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Read all records, oldest first; a torn last line is dropped. Raises as `read_journal` does."""
        return read_journal(self._path) if self._path.exists() else iter(())

    def close(self) -> None:
        """Let the file go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise Locked(
                f"another process writes {self._path}",
                remedy="wait for it, or ask it to end: `upgrader abort`",
            ) from error
        self._size = _whole(self._path)
        os.ftruncate(self._file, self._size)
        _sync(self._file)
        _sync_folder(self._path.parent)


def _decoded(line: bytes, place: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise JournalDamaged(f"{place} is no record: {error}", remedy=REMEDY) from error
    if not isinstance(record, dict):
        raise JournalDamaged(f"{place} is no record", remedy=REMEDY)
    return record


def _check_version(header: Mapping[str, Any], path: Path) -> None:
    body = header.get("body")
    schema = body.get("schema") if isinstance(body, dict) else None
    if header.get("kind") != Kind.HEADER or schema != SCHEMA:
        raise JournalDamaged(
            f"{path} begins with {header.get('kind')} of schema {schema}; this program knows schema {SCHEMA}",
            remedy="use the version of upgrader that wrote it",
        )


def _whole(path: Path) -> int:
    """Return the length of the whole lines; what a crash cut short comes after."""
    return path.read_bytes().rfind(b"\n") + 1


def _sync(file: int) -> None:
    if _SYNC is not None:
        fcntl.fcntl(file, _SYNC)
    else:
        os.fsync(file)


def _sync_folder(folder: Path) -> None:
    where = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(where)
    finally:
        os.close(where)
