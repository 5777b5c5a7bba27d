"""How long work says where it stands: one small value, printed by whoever started it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a piece of long work stands.

    Args:
        stage: What is being done, such as ``compiling``.
        what: The thing in hand, such as a Go package.
        done: How many things are done.
        total: How many there are; 0 when nobody knows.
        seconds_left: An estimate; ``None`` when there is none yet.
    """

    stage: str
    what: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None


Tell = Callable[[Progress], None]


def tell_nobody(_: Progress) -> None:
    """Drop it."""
