"""How a rehearsal tells of itself: one line for each stage, with the time it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from upgrader.lab.progress import Progress


class Teller(Protocol):
    """Where the words go."""

    def begin(self, stage: str) -> None:
        """Tell that a stage begins."""

    def progress(self, progress: Progress) -> None:
        """Tell how far the stage is."""

    def end(self, stage: str, seconds: float) -> None:
        """Tell that it is over."""

    def note(self, sentence: str) -> None:
        """Tell something that is no stage."""


@dataclass
class Stages:
    """The stages so far.

    Args:
        teller: Where they are told.
        seconds: How long each took, in order.
    """

    teller: Teller
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[list[str]]:
        """Tell of one stage; what is put into the list is told at its end beside the name."""
        began = time.monotonic()
        self.teller.begin(name)
        details: list[str] = []
        yield details
        self.seconds[name] = time.monotonic() - began
        self.teller.end(": ".join([name, *details]), self.seconds[name])
