"""Begin a run, take one up, ask one to go back, and find the runs there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from upgrader.adapters.background import within
from upgrader.context import JOURNAL, Bench, Plan, bench, header, lease, leases, load_playbook, world
from upgrader.engine import Engine
from upgrader.errors import JournalDamaged, PlaybookInvalid, Refused, UpgraderError
from upgrader.flags import Flags
from upgrader.flow.recorder import Recorder
from upgrader.model.measure import locks_of, tiers_of
from upgrader.model.plugins import Color
from upgrader.model.ports import Kube
from upgrader.model.record import Record
from upgrader.model.run import Run, fold

Tell = Callable[[Run, Record], None]
LEASE_SECONDS = 3.0
"""How long `status` waits for a cluster: one that answers does so in a tenth of that."""


def require_free(bench: Bench) -> None:
    """Look, before anything is planned, whether all is free: an unfinished run would only look odd.

    Raises:
        Locked: Another run holds a release, or an unfinished one does.
    """
    lease(bench).require_free(bench.run)


def begin(bench: Bench, plan: Plan, tell: Tell) -> Run:
    """Carry a plan out, to its end or to a pause.

    Raises:
        Locked: Another run holds the release, or an unfinished one does.
    """
    body = header(bench, plan)
    with world(bench, body, tell, plan=plan) as ours:
        ours.lease.acquire(bench.run)
        return _drive(bench, Recorder.open(ours, body))


def take_up(flags: Flags, run: str, tell: Tell) -> Run:
    """Go on with a run whose process ended.

    Raises:
        PlaybookInvalid: There is no such run, or its playbook has changed.
        Locked: Another process drives it.
    """
    body = header_of(flags, run)
    with _bench_of(flags, run, body) as bench, world(bench, body, tell) as ours:
        ours.lease.acquire(run, resume=True)
        return _drive(bench, Recorder.reopen(ours))


def _drive(bench: Bench, recorder: Recorder) -> Run:
    bench.flags.interrupts.listen()
    run = Engine(recorder).drive()
    if run.is_over:
        recorder.world.ports.forget_values()
    return run


def abort(flags: Flags, run: str, reason: str) -> None:
    """Ask the process that drives a run, through its Lease, to bring the old version back."""
    with _bench_of(flags, run, header_of(flags, run)) as bench:
        lease(bench).request_abort(reason)


@contextmanager
def _bench_of(flags: Flags, run: str, body: Mapping[str, Any]) -> Iterator[Bench]:
    path, said = Path(body["playbook"]["path"]), body["measured"]
    flags = _where_it_began(flags, said)
    loaded = load_playbook(path, flags)
    if loaded.digest != body["playbook"]["digest"]:
        raise PlaybookInvalid(
            "the playbook was changed since this run began",
            file=str(path),
            remedy="put it back as it was; a run ends under the playbook it began with",
        )
    live = Color(said["live"]) if said.get("live") else None
    with bench(loaded, flags, run, live=live) as made:
        require_same_cluster(made.kube, said)
        yield made


def _where_it_began(flags: Flags, measured: Mapping[str, Any]) -> Flags:
    """Return the flags with a run's own cluster where they name none."""
    return replace(
        flags,
        kubeconfig=flags.kubeconfig or measured.get("kubeconfig", ""),
        context=flags.context or measured["context"],
    )


def lease_told(flags: Flags, run: Run) -> str:
    """Say who holds the Lease of a run that is not over, asked within `LEASE_SECONDS`.

    Returns:
        A sentence; where the cluster cannot be asked, why. Empty for a run that is over: it holds none.
    """
    if run.is_over:
        return ""
    try:
        return within(LEASE_SECONDS, lambda: _lease_in_cluster(flags, run.measured))
    except TimeoutError:
        return f"not known: the cluster did not answer within {LEASE_SECONDS:g} s"
    except UpgraderError as error:
        return f"not known: {error.what}"


def _lease_in_cluster(flags: Flags, measured: Mapping[str, Any]) -> str:
    from upgrader.adapters.clock import SystemClock
    from upgrader.adapters.kube import KubeApi

    where = _where_it_began(flags, measured)
    kube = KubeApi.connect(where.kubeconfig, where.context, deadline_seconds=LEASE_SECONDS)
    require_same_cluster(kube, measured)
    return leases(kube, SystemClock(), locks_of(measured)).told()


def require_same_cluster(kube: Kube, measured: Mapping[str, Any]) -> None:
    """Refuse to go on with a run anywhere but where it began: elsewhere, nothing would be left to do.

    Raises:
        Refused: It is another cluster, whatever its context is called.
    """
    if kube.cluster_uid() != measured["cluster_uid"]:
        raise Refused(
            f"the run of release {measured['release']} was begun in another cluster than this one",
            remedy=f"name its kubeconfig and context (it was called {measured['context'] or 'in-cluster'!r})",
        )


def journal_of(flags: Flags, run: str) -> Path:
    """Return the journal of a run: an id, or the path of a journal.

    Raises:
        PlaybookInvalid: There is none.
    """
    for path in (Path(run), flags.folder(run) / JOURNAL):
        if path.is_file():
            return path
    known = ", ".join(every_run(flags)[-5:]) or "none"
    raise PlaybookInvalid(f"there is no run {run!r}", remedy=f"the latest runs here are: {known}")


def latest(flags: Flags, release: str = "") -> str:
    """Return the id of the latest run, of one release if named.

    Raises:
        PlaybookInvalid: There is none.
    """
    mine = [
        run
        for run in every_run(flags)
        if not release
        or release in (one["release"] for one in tiers_of(lines(flags, run)[0]["body"]["measured"]))
    ]
    if not mine:
        raise PlaybookInvalid(
            f"there is no run in {flags.state / 'runs'}",
            remedy="name one, or its journal's path; see --state",
        )
    return mine[-1]


def every_run(flags: Flags) -> list[str]:
    """Return the ids of all runs here, the oldest first."""
    folder = flags.state / "runs"
    made = [one for one in folder.iterdir() if (one / JOURNAL).is_file()] if folder.is_dir() else []
    return [one.name for one in sorted(made, key=lambda one: (one / JOURNAL).stat().st_ctime)]


def header_of(flags: Flags, run: str) -> dict[str, Any]:
    """Return the header of a run's journal.

    Raises:
        JournalDamaged: It has none: the process died before it could write it, and touched nothing.
    """
    records = lines(flags, run)
    if not records:
        raise JournalDamaged(
            f"the journal of run {run} is empty: it ended before it touched anything but its Lease",
            remedy="start a new run; where that is refused, delete the Lease that is named",
        )
    return dict(records[0]["body"])


def read(flags: Flags, run: str) -> Run:
    """Return a run as its journal tells it."""
    return fold(lines(flags, run))


def lines(flags: Flags, run: str) -> list[Mapping[str, Any]]:
    """Return the records of a run's journal, as it holds them."""
    from upgrader.adapters.journal import read_journal

    return list(read_journal(journal_of(flags, run)))


def recorded() -> list[Mapping[str, Any]]:
    """Return the records of the real run that ships with the program."""
    from importlib.resources import as_file, files

    from upgrader.adapters.journal import read_journal

    with as_file(files("upgrader.report") / "recorded.jsonl") as path:
        return list(read_journal(path))
