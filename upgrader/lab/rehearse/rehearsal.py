"""Rehearse a playbook: everything from the room to the accounts, and nothing of it left behind."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from ruamel.yaml import YAML

from upgrader.adapters.journal import read_journal
from upgrader.adapters.playbook_file import LoadedPlaybook
from upgrader.errors import ExitCode, Refused
from upgrader.lab.entered import Entered
from upgrader.lab.images import EVERY_IMAGE
from upgrader.lab.rehearse.access_logs import read_rows
from upgrader.lab.rehearse.accounts import Books, checks
from upgrader.lab.rehearse.acts import ApiTrouble, InMidRun, act_of
from upgrader.lab.rehearse.derived import derived, swapped
from upgrader.lab.rehearse.drills import Drill
from upgrader.lab.rehearse.fronts import require_front
from upgrader.lab.rehearse.journal import RunJournal
from upgrader.lab.rehearse.loads import Loads, clients_of
from upgrader.lab.rehearse.outcome import Back, Outcome
from upgrader.lab.rehearse.remains import Snapshot, left_behind, left_in_place
from upgrader.lab.rehearse.stage import FAULT_VALUES, FOLDER, PLAYBOOK, Stage
from upgrader.lab.rehearse.telling import Stages, Teller
from upgrader.lab.rehearse.troubles import require_trouble
from upgrader.lab.room import Room
from upgrader.lab.traffic.kinds import Kind
from upgrader.model.phase import EXIT_CODES, Phase
from upgrader.model.plugins import Color
from upgrader.model.run import fold
from upgrader.report.summary import ClientCount, Summary, summarize

RATE = 1_200.0
"""Requests a second, unless told otherwise; a good upgrade of the demo sees about 90,000 of them."""
LOOK_SECONDS = 0.1
BOOKS_SECONDS = 10.0
"""How long the last lines of the access logs may be under way."""
RESUME_AFTER_SECONDS = 0.5
"""How long a killed run lies before the drill resumes it: its Lease is still held, its batch under way."""
TAKEN_UP_SECONDS = 1_800.0
"""How long a run that somebody killed is waited for to be resumed by hand."""
RESUME, BACK_PLAYBOOK = FOLDER / "resume", FOLDER / "back.json"


@dataclass(frozen=True, slots=True)
class Setting:
    """How to rehearse.

    Args:
        drill: What goes wrong.
        state: A new folder for the run's journal.
        rate: Requests and messages a second, of all kinds.
        output: The run's view: ``live``, ``text`` or ``json``.
        back: Whether a good upgrade is rolled back afterwards, under the same traffic.
        kinds: What the clients speak.
    """

    drill: Drill
    state: Path
    rate: float = RATE
    output: str = "text"
    back: bool = False
    kinds: tuple[Kind, ...] = (Kind.HTTP1,)


def rehearse(loaded: LoadedPlaybook, setting: Setting, *, name: str, teller: Teller) -> Outcome:
    """Rehearse once.

    Args:
        loaded: The playbook.
        setting: How.
        name: The room's name.
        teller: Where the stages are told.

    Raises:
        Refused: The playbook or its chart cannot be rehearsed so.
        LabUnavailable: This machine cannot make rooms, or lacks what the playbook wants in front.
        ProgramFailed: A part of the stage did not come up.
    """
    require(loaded, setting.drill)
    require_front(loaded.playbook.lab, loaded.path.parent, kinds=setting.kinds)
    stages = Stages(teller)
    began = time.monotonic()
    try:
        with _room(loaded, name=name, stages=stages) as room:
            outcome = _play(Stage(room, loaded), loaded, setting, stages)
    finally:
        teller.end("room gone, all in all", time.monotonic() - began)
    return outcome


def require(loaded: LoadedPlaybook, drill: Drill) -> None:
    """Refuse what cannot be rehearsed, before anything is started.

    Raises:
        Refused: with the reason.
    """
    chart = loaded.playbook.release.chart
    if not chart.is_local:
        raise Refused(
            f"the lab has no network to fetch {chart.ref} from",
            remedy="`helm pull` both versions and name them by path: chart.ref: charts/NAME-{version}.tgz",
        )
    values = Path(loaded.chart) / "values.yaml"
    if drill.values and not _has_faults(values):
        raise Refused(
            f"the drill {drill.name} sets fault.* values of the chart, and {values} has none",
            remedy="rehearse it with playbooks/demo.yaml, or give your chart such values",
        )
    if drill.trouble:
        require_trouble(drill.name, drill.trouble, loaded.playbook)


def _has_faults(values: Path) -> bool:
    return values.is_file() and "fault" in (YAML(typ="safe").load(values) or {})


@contextmanager
def _room(loaded: LoadedPlaybook, *, name: str, stages: Stages) -> Iterator[Room]:
    named = {prefix: image.model_dump() for prefix, image in loaded.playbook.lab.images.items()}
    images = {EVERY_IMAGE: {"run": "standin"}, **named}
    with stages.stage("room up"):
        room = Room.up(name, images=images, owned=True, tell=stages.teller.progress)
    with room:
        yield room


def _set_up(stage: Stage, loaded: LoadedPlaybook, setting: Setting, stages: Stages) -> Loads:
    """Put the old version, the front balancer and the traffic in place, and return the traffic."""
    chart = loaded.playbook.release.chart
    with stages.stage(f"{loaded.playbook.release.name} {chart.from_version} installed") as details:
        details.append(f"{stage.install()} pods ready")
    with stages.stage("front balancer") as details:
        details.append(f"sees {stage.open_front()} gateways healthy")
    loads = Loads(stage, clients_of(loaded))
    with stages.stage("traffic") as details:
        loads.start(setting.kinds, setting.rate)
        details.append(f"{setting.rate:,.0f} requests a second by {', '.join(setting.kinds)}")
    return loads


def _play(stage: Stage, loaded: LoadedPlaybook, setting: Setting, stages: Stages) -> Outcome:
    loads = _set_up(stage, loaded, setting, stages)
    journal = RunJournal(setting.state)
    before = stage.snapshot()
    is_beside = loaded.playbook.is_beside
    with stages.stage("upgrader run") as details:
        driver = _Driver(stage, loaded, setting, journal, stages.teller)
        code = driver.drive()
        details.append(f"exit {code}")
    back = None
    if setting.back and code == ExitCode.COMPLETED:
        with stages.stage("upgrader run, back" if is_beside else "upgrader rollback") as details:
            back = driver.drive_back()
            details.append(f"exit {back.exit_code}")
    with stages.stage("accounts"):
        books = _books(stage, loads)
        after = stage.snapshot()
        beside = stage.snapshot(Color.GREEN) if is_beside else None
    summary = _summary(journal, books.client)
    phase = summary and summary.run.phase
    is_over = phase in (Phase.COMPLETED, Phase.ROLLED_BACK)
    returned = back is not None or phase is Phase.ROLLED_BACK
    return Outcome(
        drill=setting.drill,
        exit_code=code,
        summary=summary,
        books=books,
        checks=checks(books, summary.run if summary else None, loaded.playbook.release.chart.to_version),
        has_come=driver.act.has_come,
        met=driver.act.met if isinstance(driver.act, ApiTrouble) else None,
        left=_left(before, after, beside, returned=returned, back=back) if is_over else (),
        stage_seconds=dict(stages.seconds),
        journal=journal.path,
        back=back,
    )


def _left(
    before: Snapshot, after: Snapshot, beside: Snapshot | None, *, returned: bool, back: Back | None
) -> tuple[str, ...]:
    """Return what was left; after a way there and back the old version is another installation."""
    if beside is None:
        return left_behind(before, after, returned=returned)
    first = left_behind(before, after, returned=True) if returned and back is None else ()
    first = first or left_in_place(after, stands=returned)
    return (*first, *(f"beside: {one}" for one in left_in_place(beside, stands=not returned)))


class _Driver:
    """Runs ``upgrader run`` inside the room, does the drill's act, and resumes where the drill says so."""

    def __init__(
        self, stage: Stage, loaded: LoadedPlaybook, setting: Setting, journal: RunJournal, teller: Teller
    ) -> None:
        self._stage = stage
        self._loaded = loaded
        self._setting = setting
        self._journal = journal
        self._teller = teller
        self.act = act_of(setting.drill, stage, loaded, self._kill)
        self._child: Entered | None = None
        self._killed = False

    def drive(self) -> int:
        """Run to the end and return the exit status."""
        playbook = self._playbook()
        self._write_resume()
        with _interrupts(self._interrupt), _undone(self.act):
            code = self._follow(["run", str(playbook), "--yes"], self._journal)
            if self._killed:
                time.sleep(RESUME_AFTER_SECONDS)
                self._teller.note("upgrader resume")
                code = self._follow(["resume"], self._journal)
            elif code < 0 or code > 128:
                code = self._await_taken_up(code)
        return code

    def drive_back(self) -> Back:
        """Roll a good upgrade back, by a run of its own, and tell how that ended.

        From one place to the other, back is the same playbook with the versions swapped.
        """
        journal = RunJournal(self._setting.state / "back")
        command = ["rollback", str(self._loaded.path)]
        if self._loaded.playbook.is_beside:
            written = swapped(YAML(typ="safe").load(self._loaded.path))
            book = derived(written, folder=self._loaded.path.parent, changes={}, values="")
            self._stage.write(BACK_PLAYBOOK, json.dumps(book, indent=1, default=str))
            command = ["run", str(BACK_PLAYBOOK)]
        with _interrupts(self._interrupt):
            code = self._follow([*command, "--yes"], journal)
        return Back(code, _summary(journal))

    def _follow(self, arguments: list[str], journal: RunJournal) -> int:
        """Start one command of ours inside the room and act until it ends."""
        options = ["--state", str(journal.state), "--output", self._setting.output]
        self._child = self._stage.python(
            "upgrader.cli", *arguments, *options, environment=self._environment()
        )
        with self._child as child:
            while child.poll() is None:
                journal.look()
                if done := self.act.look(journal, time.monotonic()):
                    self._teller.note(done)
                time.sleep(LOOK_SECONDS)
        journal.look()
        return int(child.returncode or 0)

    def _kill(self) -> None:
        assert self._child
        self._killed = True
        self._child.send_signal(signal.SIGKILL)

    def _interrupt(self) -> None:
        if self._child:
            self._child.send_signal(signal.SIGINT)

    def _environment(self) -> dict[str, str]:
        """Return the secrets, and what the front balancer's API asks for."""
        secrets = {name: value.get_secret_value() for name, value in self._loaded.secrets.items()}
        return secrets | dict(self._stage.front.environment)

    def _playbook(self) -> Path:
        """Return the playbook for the run: the operator's own wherever that will do."""
        drill = self._setting.drill
        if not drill.changes_playbook and not self._loaded.playbook.context:
            return self._loaded.path
        written = YAML(typ="safe").load(self._loaded.path)
        values = ""
        if drill.values:
            self._stage.write(FAULT_VALUES, json.dumps({"fault": dict(drill.values)}))
            values = str(FAULT_VALUES)
        book = derived(written, folder=self._loaded.path.parent, changes=drill.playbook, values=values)
        self._stage.write(PLAYBOOK, json.dumps(book, indent=1, default=str))
        return PLAYBOOK

    def _write_resume(self) -> None:
        """Write the command that takes the run up again by hand; the secrets stay in the room."""
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self._environment().items()]
        command = [sys.executable, "-m", "upgrader.cli", "resume", "--state", str(self._setting.state)]
        self._stage.write(RESUME, "\n".join([*exports, "exec " + shlex.join(command) + ' "$@"', ""]))

    def _await_taken_up(self, code: int) -> int:
        """Wait until a run that somebody killed was resumed by hand and has ended."""
        if not self._journal.path:
            return code
        name = self._stage.room.name
        self._teller.note(
            f"the run was killed (status {code}); room, traffic and journal stay. Take it up again with\n"
            f"  upgrader lab exec --name {name} -- sh {RESUME}\n"
            "or end it all with Ctrl-C"
        )
        deadline = time.monotonic() + TAKEN_UP_SECONDS
        while time.monotonic() < deadline:
            self._journal.look()
            run = fold(self._journal.records)
            if run.is_over or run.phase is Phase.PAUSED:
                return EXIT_CODES[run.phase]
            time.sleep(1.0)
        return code


@contextmanager
def _undone(act: InMidRun) -> Iterator[None]:
    try:
        yield
    finally:
        act.undo()


@contextmanager
def _interrupts(pass_on: Callable[[], None]) -> Iterator[None]:
    """Pass the first Ctrl-C on to the run, which brakes and pauses; the second one ends everything."""
    came = 0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came > 1:
            raise KeyboardInterrupt
        pass_on()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _books(stage: Stage, loads: Loads) -> Books:
    """Stop the traffic and gather what everybody counted, once all of it is written."""
    clients = loads.stop()
    deadline = time.monotonic() + BOOKS_SECONDS
    while True:
        counters, told = stage.front.counters(), stage.access_counts()
        books = Books(clients, read_rows(told["front"]), read_rows(told["gateways"]), counters)
        if books.are_complete or time.monotonic() > deadline:
            return books
        time.sleep(0.3)


def _summary(journal: RunJournal, client: Mapping[str, Any] | None = None) -> Summary | None:
    if not journal.path:
        return None
    from upgrader.model.undo import undo_commands

    count = ClientCount(client["sent"], client["failed"], client["failures"]) if client else None
    told = summarize(read_journal(journal.path), client=count)
    return replace(told, undo=undo_commands(told.run))
