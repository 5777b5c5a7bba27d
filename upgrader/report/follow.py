"""Walk through a journal record by record, with the run before and after each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.errors import JournalDamaged
from upgrader.model.record import Record
from upgrader.model.run import Run, open_run

REMEDY = "keep the file; where its run stands is in the cluster: go back by the undo commands on its objects"


@dataclass(frozen=True, slots=True)
class Chapter:
    """One record, between the run before it and the run after it.

    Args:
        before: The run before it; ``None`` before the header.
        record: The record.
        after: The run after it.
    """

    before: Run | None
    record: Record
    after: Run


def follow(lines: Iterable[Mapping[str, Any]]) -> Iterator[Chapter]:
    """Yield each record of a journal, folded in.

    Raises:
        JournalDamaged: The journal is empty, of an unknown version, changed, cut, or holds what is no record.
    """
    run: Run | None = None
    for number, line in enumerate(lines, start=1):
        record = _record(line, number)
        chapter = Chapter(run, record, _folded(run, record, number))
        run = chapter.after
        yield chapter
    if run is None:
        raise JournalDamaged("the journal is empty", remedy="name another one, or start a new run")


def _record(line: Mapping[str, Any], number: int) -> Record:
    try:
        return Record.from_line(line)
    except (KeyError, ValueError, TypeError) as error:
        raise JournalDamaged(
            f"line {number} of the journal is no record: {error!r}", remedy=REMEDY
        ) from error


def _folded(run: Run | None, record: Record, number: int) -> Run:
    """Fold a record in; what a record of ours can never say is damage too."""
    try:
        return open_run(record) if run is None else run.with_record(record)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        text = f"line {number} of the journal, a record of kind {record.kind}, says what cannot be: {error!r}"
        raise JournalDamaged(text, remedy=REMEDY) from error
