"""Doctor: what works from here, and what an operator would have to mend; reads only."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from upgrader.context import Bench, bench, load_playbook, make_plan, new_run_id
from upgrader.errors import UpgraderError
from upgrader.flags import Flags
from upgrader.model.plugins import Survey
from upgrader.model.rights import OPTIONAL, needed_rights
from upgrader.model.tiers import names

PROGRAMS = {
    "helm": "needed: Helm 3.12 or newer, or 4",
    "kubectl": "not needed by upgrader; the undo commands are written for it",
}


@dataclass(frozen=True)
class Found:
    """One line of the examination.

    Args:
        well: It works; ``None`` where it is only worth knowing.
        what: What was looked at.
        said: What was seen, or what to do.
    """

    well: bool | None
    what: str
    said: str

    def __str__(self) -> str:
        return f"{ {True: 'ok  ', False: 'FAIL', None: 'note'}[self.well] } {self.what}: {self.said}"


def examine(flags: Flags, playbook: Path | None) -> tuple[tuple[str, ...], bool]:
    """Look at this machine, and with a playbook at its cluster, release, rights and signals.

    Returns:
        The lines to print, and whether nothing failed.
    """
    found = list(_machine())
    if playbook is not None:
        found += _cluster(flags, playbook)
    return tuple(map(str, found)), all(one.well is not False for one in found)


def _machine() -> Iterator[Found]:
    yield Found(
        None, "machine", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
    for name, why in PROGRAMS.items():
        path = shutil.which(name)
        yield Found(
            bool(path) if name == "helm" else (True if path else None), name, path or f"not on PATH; {why}"
        )
    yield _tried("lab", _lab)


def _lab() -> str:
    from upgrader.adapters.shell import Command, Shell
    from upgrader.lab import namespaces

    namespaces.check_system()
    argv = namespaces.make_argv(["true"], user_namespace=namespaces.needs_user_namespace())
    ended = Shell().run(Command(argv, dict(os.environ)), deadline_seconds=5.0)
    if ended.exit_status:
        switches, inside = namespaces.read_switches(), namespaces.in_container()
        raise namespaces.refusal(ended.stderr.strip(), switches=switches, in_container=inside)
    return "this kernel lets a room be made"


def _tried(what: str, look: Callable[[], str]) -> Found:
    try:
        return Found(True, what, look())
    except UpgraderError as error:
        return Found(None if what == "lab" else False, what, str(error))


def _cluster(flags: Flags, playbook: Path) -> Iterator[Found]:
    try:
        loaded = load_playbook(playbook, flags)
        yield Found(True, "playbook", f"{loaded.playbook.name} is valid")
        with bench(loaded, flags, new_run_id(loaded.playbook)) as made:
            yield from _release(made)
    except UpgraderError as error:
        yield Found(False, "cluster", str(error))


def _release(made: Bench) -> Iterator[Found]:
    surveys = make_plan(made).surveys
    where, first = made.kube.context or "in the cluster", surveys[0]
    yield Found(True, "cluster", f"{where}: Kubernetes {first.server_version}, Helm {first.helm_version}")
    for one, called in zip(surveys, names(surveys), strict=True):
        yield from _tier(one, called)


def _tier(seen: Survey, called: str) -> Iterator[Found]:
    release = f"release {called}".rstrip()
    yield Found(seen.known_good > 0, release, f"known-good is revision {seen.known_good}")
    sent = (*seen.old.objects, *seen.new.objects)
    for right in needed_rights(sent, playbook=seen.playbook, beside=seen.beside):
        if not seen.rights.get(right.key, False):
            yield Found(None if right.tier in OPTIONAL else False, "right", f"may not {right.key}")
    for name, reading in seen.trial.items():
        yield Found(not reading.error, name, reading.error or reading.source)
