"""The command ``upgrader rehearse``: rehearse so many times, tell, and say how it ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import typer
from rich.console import Console
from rich.status import Status

from upgrader.adapters.playbook_file import LoadedPlaybook
from upgrader.errors import ExitCode, PlaybookInvalid, Refused
from upgrader.lab.progress import Progress
from upgrader.lab.rehearse.drills import Drill, drill_of
from upgrader.lab.rehearse.loads import kinds_of
from upgrader.lab.rehearse.outcome import Outcome
from upgrader.lab.rehearse.rehearsal import RATE, Setting, rehearse
from upgrader.lab.traffic.kinds import Kind
from upgrader.model.phase import Phase
from upgrader.model.playbook import Playbook

__all__ = ["RATE", "Wish", "carry_out", "exit_code", "require_here"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator wants.

    Args:
        fault: The drill, or the empty text.
        times: How often, at least 1.
        rate: Requests a second.
        output: ``live``, ``text``, ``json``, or the empty text for what suits.
        state: The folder of all state; a rehearsal's journal lies in a folder of its own there.
        made_up: Names of the secrets that were made up.
        back: Whether a good upgrade is rolled back afterwards.
        traffic: What the clients speak, separated by commas.
    """

    fault: str
    times: int
    rate: float
    output: str
    state: Path
    made_up: tuple[str, ...] = ()
    back: bool = False
    traffic: str = Kind.HTTP1


def require_here(*, context: str, yes: bool) -> None:
    """Refuse other clusters, and ask before the long work of building the lab where somebody can answer.

    Raises:
        Refused: A context was named.
        typer.Abort: The operator does not want to build.
    """
    if context:
        raise Refused(
            "a rehearsal on a cluster of yours is not in this version: it plays in the lab alone",
            remedy="leave --context out; `upgrader plan --context NAME` reads a cluster of yours",
        )
    if not yes and sys.stdin.isatty() and _must_build():
        typer.confirm("The lab is built first, once: about 7 minutes on 2 cores. Go on?", abort=True)


def require_one_release(playbook: Playbook) -> None:
    """Refuse what the lab cannot play yet.

    Raises:
        Refused: The playbook has several releases.
    """
    if len(playbook.releases) > 1:
        raise Refused(
            f"a rehearsal plays one release in this version, and the playbook names {len(playbook.releases)}",
            remedy="rehearse each in a playbook of its own; `upgrader plan` and `run` take all of them",
        )


def _must_build() -> bool:
    from upgrader.lab import build, sources, wheel

    if os.environ.get(build.GIVEN):
        return False
    ours = sources.read_sources()
    return wheel.installed(ours.digest) is None and build.find(build.cache_folder(), ours) is None


def carry_out(loaded: LoadedPlaybook, wish: Wish) -> int:
    """Rehearse as often as wished, and return the exit code of the first that went wrong, else of all.

    One that ended as it must, but whose accounts differ, that left something behind, or whose clients lost
    something though all was well, is a bug: 1.

    Raises:
        PlaybookInvalid: There is no such drill, view or kind of traffic, or nothing is left to roll back.
        UpgraderError: The stage could not be set up; see `rehearse`.
    """
    drill = drill_of(wish.fault, exclude=loaded.playbook.limits.error_ratio.exclude)
    output, kinds = _output(wish.output), kinds_of(wish.traffic)
    if wish.back and drill.end is not Phase.COMPLETED:
        raise PlaybookInvalid(
            f"the drill {drill.name} does not end in a good upgrade that could be rolled back",
            key="--back",
            remedy="leave --back out; a bad version is brought back without it",
        )
    teller = TerminalTeller()
    if wish.made_up:
        teller.note(f"made up for the rehearsal, as not set: {', '.join(wish.made_up)}")
    ended: list[Outcome] = []
    with _death_is_orderly():
        for number in range(1, wish.times + 1):
            if wish.times > 1:
                teller.note(f"rehearsal {number} of {wish.times}")
            setting = Setting(drill, _state(wish.state, number), wish.rate, output, wish.back, kinds)
            outcome = rehearse(loaded, setting, name=f"rehearse-{os.getpid()}", teller=teller)
            typer.echo(json.dumps(outcome.to_json()) if output == "json" else "\n".join(outcome.lines()))
            ended.append(outcome)
    if wish.times > 1:
        _count(drill, ended, teller)
    return exit_code(ended)


def exit_code(ended: Sequence[Outcome]) -> int:
    """Return the exit code of the first rehearsal that went wrong, else of all; see `carry_out`."""
    chosen = next((one for one in ended if not one.is_right), ended[0])
    if chosen.is_as_named and not chosen.is_right:
        return ExitCode.BUG
    return chosen.back.exit_code if chosen.back else chosen.exit_code


def _count(drill: Drill, ended: Sequence[Outcome], teller: TerminalTeller) -> None:
    good = sum(one.is_right for one in ended)
    name = drill.name or "rehearsal"
    teller.note(f"{name}: {good} of {len(ended)} ended as they must, all accounts agreeing and nothing left")


def _output(wished: str) -> str:
    chosen = wished or ("live" if sys.stdout.isatty() else "json")
    if chosen not in ("live", "text", "json"):
        raise typer.BadParameter("live, text or json", param_hint="--output")
    return chosen


def _state(state: Path, number: int) -> Path:
    """Make the folder of one rehearsal: apart, so that it never is the latest run of real upgrades."""
    folder = state / "rehearsals" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{number}"
    folder.mkdir(mode=0o700, parents=True)
    return folder


@contextmanager
def _death_is_orderly() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the room before the process; ``kill -9`` ends it too, from outside."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


class TerminalTeller:
    """Tells on standard error: a line a stage, and in a terminal what is under way."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._told: set[tuple[str, int]] = set()

    def begin(self, stage: str) -> None:
        """Show a stage as under way; the run draws for itself."""
        if stage.startswith("upgrader "):
            self.note(stage)
        elif self._console.is_terminal:
            self._status = self._console.status(f"{stage} …")
            self._status.start()

    def progress(self, progress: Progress) -> None:
        """Show how far it is; elsewhere one line for each tenth of what is counted."""
        share = f" {progress.done}/{progress.total}" if progress.total else ""
        left = "" if progress.seconds_left is None else f", about {progress.seconds_left / 60:.0f} min left"
        text = f"{progress.stage}{share} {progress.what}{left}"
        if self._status:
            self._status.update(text)
        elif progress.total:
            tenth = (progress.stage, 10 * progress.done // progress.total)
            if tenth not in self._told:
                self._told.add(tenth)
                self.note(text)

    def end(self, stage: str, seconds: float) -> None:
        """Tell that a stage is over."""
        self._stop()
        self._console.print(f"  {seconds:6.1f} s  {stage}", soft_wrap=True, markup=False)

    def note(self, sentence: str) -> None:
        """Tell something that is no stage."""
        self._stop()
        self._console.print(f"            {sentence}", soft_wrap=True, markup=False)

    def _stop(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None
