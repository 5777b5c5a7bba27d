"""The live view of a run in a terminal: drawn four times a second, beside the run, never in its way."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from upgrader.model.record import Record
from upgrader.model.run import Run
from upgrader.report.panels import MOST_SENTENCES, Picture, draw
from upgrader.report.sentences import sentence
from upgrader.report.standing import needs

FRAMES_PER_SECOND = 4
NEEDS_SECONDS = 2.0
"""How old the looking-ahead of a gate may be."""


class LiveView:
    """Shows where a run stands; `show` is made to be the world's ``tell``.

    `show` only remembers: a thread of rich's draws, so a slow terminal never slows a batch down.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Show on a console; default is the process's standard output. ``NO_COLOR`` is obeyed."""
        self._console = console or Console()
        self._run: Run | None = None
        self._heard_at = 0.0
        self._told: tuple[tuple[float, str], ...] = ()
        self._needed: dict[str, float] = {}
        self._needed_for = (-1, 0.0)
        self._live = Live(
            console=self._console,
            get_renderable=self.picture,
            refresh_per_second=FRAMES_PER_SECOND,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Draw the last picture and leave it on the screen."""
        self._live.stop()

    def show(self, run: Run, record: Record) -> None:
        """Take in a record and the run after it; returns at once."""
        said = sentence(run, record)
        if said:
            self._told = (*self._told, (record.at, said))[-MOST_SENTENCES:]
        self._heard_at = self._console.get_time()
        self._run = run

    def picture(self) -> Text:
        """Return the picture as it is now; between two records only the clocks run on."""
        run = self._run
        if run is None:
            return Text("waiting for the first record of the run")
        since_heard = 0.0 if run.is_over else max(0.0, self._console.get_time() - self._heard_at)
        return draw(Picture(run, run.at + since_heard, self._needs(run), self._told), self._console)

    def _needs(self, run: Run) -> dict[str, float]:
        """Look ahead anew every few seconds of the run, and whenever another step's gate stands."""
        step, at = self._needed_for
        if step != run.index or not 0 <= run.at - at < NEEDS_SECONDS or not self._needed:
            self._needed, self._needed_for = needs(run), (run.index, run.at)
        return self._needed
