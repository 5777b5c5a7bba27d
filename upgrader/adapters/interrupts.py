"""Ctrl-C and SIGTERM, noted instead of dying: a run brakes and pauses before its process ends."""

from __future__ import annotations

import signal
from types import FrameType


class Interrupts:
    """Notes the first interrupt after `listen`; the second one of the same kind ends the process as usual."""

    def __init__(self) -> None:
        self._reason = ""

    def listen(self) -> None:
        """Note from now on what would end the process: a run is under way."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def reason(self) -> str:
        """Return what came, as a sentence, or the empty text."""
        return self._reason

    def _note(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self._reason = f"{signal.Signals(number).name} from the operator: brake and pause"
