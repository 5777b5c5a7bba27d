"""One run at a time for a release: a ``coordination.k8s.io/v1`` Lease beside it.

Clocks of two machines are never compared. Whoever wants to know if the holder lives watches the Lease for as
long as it lasts, by a clock of his own, as client-go's leader election does; on the holder's own machine the
kernel is asked instead. An unfinished run keeps the Lease however long its process is gone: what it left in
the cluster must be ended first.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from upgrader.adapters.shell import look
from upgrader.errors import ClusterConflict, Locked, Refused
from upgrader.model.ports import Clock, Kube, Manifest, Ref

LEASE_SECONDS = 30
RENEW_SECONDS = 5.0
"""A sixth of the Lease: five writes may fail before anybody may think us gone."""
LOOK_SECONDS = 1.0
RACES = 3
RUN = "upgrader/run"
UNFINISHED = "upgrader/unfinished"
PROCESS = "upgrader/process"
ABORT = "upgrader/abort"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process, told from every other one there ever was.

    Args:
        host: The machine's name.
        world: The kernel's boot id, the process namespace and the user: within one such world pids mean the
            same, and its processes can be seen.
        pid: Process id.
        started: Its start time, as the kernel counts.
    """

    host: str
    world: str
    pid: int
    started: int


class Processes:
    """The processes of this machine, as far as we see them."""

    def ours(self) -> Identity:
        """Return this very process."""
        boot = namespace = ""
        with suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            namespace = os.readlink("/proc/self/ns/pid")
        host, pid = socket.gethostname(), os.getpid()
        state = look(pid)
        return Identity(host, f"{boot or host} {namespace} {os.getuid()}", pid, state.started if state else 0)

    def alive(self, process: Identity) -> bool:
        """Tell whether a process of our own world runs."""
        state = look(process.pid)
        return state is not None and state.alive and state.started == process.started


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a Lease.

    Args:
        run: The run's id.
        process: Its process; ``None`` when that cannot be read.
        renewed: When it was renewed last, by the clock of its machine, as text.
        unfinished: Whether the run left something to be ended.
        abort: Why somebody asked it to abort, or the empty text.
    """

    run: str
    process: Identity | None
    renewed: str
    unfinished: bool
    abort: str

    @classmethod
    def of(cls, lease: Manifest) -> Holder:
        """Read it off a Lease."""
        notes = lease["metadata"].get("annotations") or {}
        spec = lease.get("spec") or {}
        process = None
        with suppress(ValueError, TypeError):
            process = Identity(**json.loads(notes.get(PROCESS, "")))
        return cls(
            run=str(notes.get(RUN) or spec.get("holderIdentity") or ""),
            process=process,
            renewed=str(spec.get("renewTime") or "never"),
            unfinished=notes.get(UNFINISHED) == "true",
            abort=str(notes.get(ABORT) or ""),
        )

    @property
    def place(self) -> str:
        """Return where it is, for a sentence."""
        return f"process {self.process.pid} on {self.process.host}" if self.process else "an unknown process"


class ReleaseLease:
    """The Lease ``upgrader-RELEASE``; implements `upgrader.model.ports.Lease`."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        *,
        namespace: str,
        release: str,
        processes: Processes | None = None,
    ) -> None:
        """Take nothing yet.

        Args:
            kube: Holds the Lease.
            clock: For waiting, and for the times written into it.
            namespace: The release's.
            release: Its name.
            processes: Tells who we are, and who lives.
        """
        self._kube = kube
        self._clock = clock
        self._ref = Ref("coordination.k8s.io/v1", "Lease", namespace, f"upgrader-{release}")
        self._release = release
        self._processes = processes or Processes()
        self._identity = self._processes.ours()
        self._held: Manifest | None = None
        self._renewed = 0.0

    def holder(self) -> Holder | None:
        """Return who holds it now; ``None`` when nobody does."""
        lease = self._kube.get(self._ref)
        return Holder.of(lease) if lease else None

    def told(self) -> str:
        """Say in words who holds it now, and whether his process lives."""
        holder = self.holder()
        if holder is None:
            return "nobody holds it"
        abort = f"; asked to go back: {holder.abort}" if holder.abort else ""
        return f"{_said(holder, self._seen_alive(holder))}{abort}"

    def require_free(self, run_id: str) -> None:
        """Look whether `acquire` would get it now; takes nothing.

        Raises:
            Locked: Another run holds it or left it unfinished.
        """
        lease = self._kube.get(self._ref)
        if lease is not None:
            self._refuse_unless_free(lease, run_id, resume=False)

    def acquire(self, run_id: str, *, resume: bool = False) -> None:
        """Take it.

        Args:
            run_id: Our run.
            resume: Take up that very run after its process is gone. Where that cannot be seen, this waits for
                as long as a Lease lasts (30 s).

        Raises:
            Locked: Another run holds it or left it unfinished, or the run's own process still lives.
        """
        for _ in range(RACES):
            lease = self._kube.get(self._ref)
            if lease is not None:
                self._refuse_unless_free(lease, run_id, resume=resume)
            with suppress(ClusterConflict):
                write = self._kube.replace if lease else self._kube.create
                self._keep(write(self._ours(run_id, lease)))
                return
        raise Locked(f"{self._ref} changed {RACES} times while run {run_id} wanted it", remedy="try again")

    def renew(self) -> None:
        """Keep it: writes at most every 5 s, else does nothing.

        Raises:
            Locked: It is ours no longer; whatever we did next could undo what the new holder does.
        """
        if self._clock.monotonic() - self._renewed < RENEW_SECONDS:
            return
        held = self._must_be_held()
        spec = held["spec"] | {"renewTime": self._now(), "leaseDurationSeconds": LEASE_SECONDS}
        try:
            self._keep(self._kube.replace(held | {"spec": spec}))
        except ClusterConflict:
            self._look_again()

    def abort_requested(self) -> str:
        """Return the reason another process gave to abort this run, or the empty text; 5 s old at most."""
        return Holder.of(self._held).abort if self._held else ""

    def request_abort(self, reason: str) -> None:
        """Ask the run that holds it to bring the old version back.

        Raises:
            Refused: No run holds it.
        """
        try:
            if self._kube.get(self._ref) is None:
                raise ClusterConflict("there is no such Lease")
            self._kube.patch(
                self._ref, {"metadata": {"annotations": {ABORT: reason or "asked by the operator"}}}
            )
        except ClusterConflict as error:
            raise Refused(
                f"no run of release {self._release} is under way in namespace {self._ref.namespace}",
                remedy="see `upgrader status`",
            ) from error

    def release(self) -> None:
        """Delete it: the run is over. One that is not ours is left alone."""
        for _ in range(RACES):
            if self._held is None:
                return
            version = str(self._held["metadata"]["resourceVersion"])
            try:
                self._kube.delete(self._ref, resource_version=version)
                self._held = None
            except ClusterConflict:
                lease = self._kube.get(self._ref)
                self._held = lease if lease and self._is_ours(lease) else None

    def _refuse_unless_free(self, lease: Manifest, run_id: str, *, resume: bool) -> None:
        holder = Holder.of(lease)
        if self._is_ours(lease) and holder.run == run_id:
            return
        if holder.run != run_id and holder.unfinished:
            raise self._locked(holder, self._seen_alive(holder))
        if holder.run == run_id and not resume:
            raise self._locked(holder, self._seen_alive(holder))
        alive = self._seen_alive(holder)
        if alive is None:
            alive = self._is_renewed(lease)
        if alive:
            raise self._locked(holder, alive)

    def _seen_alive(self, holder: Holder) -> bool | None:
        """Return whether the holder's process runs; ``None`` when it is not for us to see."""
        if holder.process is None or holder.process.world != self._identity.world:
            return None
        return self._processes.alive(holder.process)

    def _is_renewed(self, lease: Manifest) -> bool:
        """Watch it for as long as it lasts, and tell whether anybody wrote it meanwhile."""
        lasts = float(lease.get("spec", {}).get("leaseDurationSeconds") or LEASE_SECONDS)
        ends = self._clock.monotonic() + lasts
        while self._clock.monotonic() < ends:
            self._clock.sleep(LOOK_SECONDS)
            seen = self._kube.get(self._ref)
            if seen is None:
                return False
            if seen.get("spec", {}).get("renewTime") != lease.get("spec", {}).get("renewTime"):
                return True
        return False

    def _locked(self, holder: Holder, alive: bool | None) -> Locked:
        run, delete = holder.run, f"kubectl delete lease -n {self._ref.namespace} {self._ref.name}"
        return Locked(
            f"release {self._release} is held by {_said(holder, alive)}",
            remedy=f"there, `upgrader resume {run}` goes on and `upgrader abort {run}` goes back; "
            f"only if its machine is gone for good, bring the release in order by hand and `{delete}`",
        )

    def _look_again(self) -> None:
        lease = self._kube.get(self._ref)
        if lease is None or not self._is_ours(lease):
            self._held = None
            self._must_be_held()
        self._held = lease

    def _must_be_held(self) -> Manifest:
        if self._held is None:
            raise Locked(
                f"{self._ref} is not ours any more: another process took the run up, or deleted it",
                remedy="see `upgrader status` for who drives the run now",
            )
        return self._held

    def _is_ours(self, lease: Manifest) -> bool:
        return Holder.of(lease).process == self._identity

    def _keep(self, lease: Manifest) -> None:
        self._held = lease
        self._renewed = self._clock.monotonic()

    def _ours(self, run_id: str, lease: Manifest | None) -> Manifest:
        """Return the Lease as we want it; a request to abort the same run stays."""
        now = self._now()
        old: Mapping[str, Any] = lease or {}
        same = lease is not None and Holder.of(lease).run == run_id
        kept = (old["metadata"].get("annotations") or {}) if same else {}
        process = json.dumps(asdict(self._identity), separators=(",", ":"))
        notes = kept | {RUN: run_id, UNFINISHED: "true", PROCESS: process}
        spec = {
            "holderIdentity": run_id,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": int((old.get("spec") or {}).get("leaseTransitions") or 0)
            + (1 if lease else 0),
        }
        metadata = {"name": self._ref.name, "namespace": self._ref.namespace, "annotations": notes}
        if lease is not None:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        return {
            "apiVersion": self._ref.api_version,
            "kind": self._ref.kind,
            "metadata": metadata,
            "spec": spec,
        }

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _said(holder: Holder, alive: bool | None) -> str:
    """Say who a holder is, and whether his process runs, as far as that is for us to see."""
    state = {
        True: "and is running",
        False: "whose process is gone, so it was left unfinished",
        None: f"and renewed it last at {holder.renewed} by its own clock",
    }[alive]
    return f"run {holder.run}, {holder.place}, {state}"
