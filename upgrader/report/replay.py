"""Show a recorded run again, at any speed: what the operator saw, from its journal alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from upgrader.errors import JournalDamaged, PlaybookInvalid
from upgrader.model.phase import EXIT_CODES
from upgrader.model.ports import Clock
from upgrader.model.record import Record
from upgrader.model.run import Run
from upgrader.report.follow import follow
from upgrader.report.wording import run_id, spoken, timestamp

LONGEST_SECONDS = 5.0
"""A silence in the journal (a paused run, a dead process) is never waited for longer than this."""


def factor_of(speed: str) -> float:
    """Read a speed: ``1x``, ``10x``, ``0.5x``, or ``max``, which is infinite.

    Raises:
        PlaybookInvalid: It is none.
    """
    if speed == "max":
        return math.inf
    factor = float(speed[:-1]) if re.fullmatch(r"[0-9]+(\.[0-9]+)?x", speed) else 0.0
    if factor <= 0:
        raise PlaybookInvalid(
            f"{speed!r} is no speed", key="--speed", remedy='write such as "1x", "10x" or "max"'
        )
    return factor


def replay_lines(
    lines: Iterable[Mapping[str, Any]], tell: Callable[[Run, Record], None], *, speed: float, clock: Clock
) -> Run:
    """Tell a view each record of a journal when it is due, and return the run as it ended.

    Args:
        lines: The journal's lines, oldest first.
        tell: The view.
        speed: Seconds of the run a second, > 0; infinite for no waiting at all.
        clock: Waits.

    Raises:
        JournalDamaged: The journal cannot be trusted; what came before was shown.
    """
    due, at, run = clock.monotonic(), None, None
    for chapter in follow(lines):
        gap = 0.0 if at is None else max(0.0, chapter.record.at - at)
        due += min(gap / speed, LONGEST_SECONDS)
        if due > clock.monotonic():
            clock.sleep(due - clock.monotonic())
        tell(chapter.after, chapter.record)
        at, run = chapter.record.at, chapter.after
    if run is None:
        raise JournalDamaged("the journal is empty")
    return run


def open_end(run: Run) -> str:
    """Return what to say of a record that ends in mid-run; empty where a run of ours could have ended so."""
    if run.phase in EXIT_CODES:
        return ""
    return (
        f"the record ends in phase {spoken(run.phase)}, at {timestamp(run.at)}: run {run_id(run)} was not "
        "over then, and what came after is not in it"
    )
