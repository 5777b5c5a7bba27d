"""What the flow may ask of the world: one protocol a port, data in and data out.

Adapters implement these; fakes in ``upgrader.testing`` do too. Every call that leaves the process has
a deadline. Reads are retried inside the adapter; writes never are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from upgrader.errors import BalancerUnwilling, Refused

if TYPE_CHECKING:
    from upgrader.model.plugins import Traffic

Manifest = dict[str, Any]
"""A Kubernetes object as the API serves it (``apiVersion``, ``kind``, ``metadata`` …)."""


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Name one Kubernetes object.

    Args:
        api_version: ``apps/v1``, ``v1`` …
        kind: ``Deployment`` …
        namespace: Empty for a cluster-wide object.
        name: Its ``metadata.name``.
    """

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any], *, namespace: str = "") -> Ref:
        """Read the name off a manifest; ``namespace`` is used where the manifest names none."""
        metadata = manifest.get("metadata", {})
        return cls(
            str(manifest.get("apiVersion", "")),
            str(manifest.get("kind", "")),
            str(metadata.get("namespace") or namespace),
            str(metadata.get("name", "")),
        )

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"


class PatchKind(StrEnum):
    """The content type of a patch."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class Denied:
    """What the API server answered to a dry-run write it would not take.

    Args:
        ref: The object.
        status: HTTP status: 409 a field conflict, 422 invalid (an immutable field), 403 admission or quota.
        message: The server's own words.
    """

    ref: Ref
    status: int
    message: str


class Watch(Protocol):
    """A live copy of some kinds of objects, kept by the adapter."""

    def objects(self) -> tuple[Manifest, ...]:
        """Return every object as last seen."""

    def age_seconds(self) -> float:
        """Return for how long the copy may have been out of date; 0 while the watch is connected."""

    def error(self) -> str:
        """Return why the copy is out of date, or the empty text."""

    def close(self) -> None:
        """Stop watching."""


class Kube(Protocol):
    """The Kubernetes API. Raises `ClusterUnreachable`, `ClusterConflict` or `Refused` (rights)."""

    def server_version(self) -> str:
        """Return the server's version, such as ``v1.37.2``."""

    def cluster_uid(self) -> str:
        """Return the uid of namespace ``kube-system``: it tells one cluster from another."""

    def get(self, ref: Ref) -> Manifest | None:
        """Return the object, or ``None`` when there is none of that name, or no such kind."""

    def list(
        self, api_version: str, kind: str, *, namespace: str = "", selector: str = "", limit: int = 0
    ) -> list[Manifest]:
        """Return all objects of a kind; empty when there are none or the kind is not served.

        Args:
            api_version: ``apps/v1`` …
            kind: ``Deployment`` …
            namespace: Empty for all namespaces.
            selector: A label selector; empty for all.
            limit: How many at most; 0 for all.
        """

    def apply(
        self, manifest: Manifest, *, manager: str, dry_run: bool = False, force: bool = False
    ) -> Manifest | Denied:
        """Server-side apply; a refusal of the object itself (403, 409, 422) is a value."""

    def patch(
        self, ref: Ref, body: Any, *, kind: PatchKind = PatchKind.MERGE, dry_run: bool = False
    ) -> Manifest:
        """Patch one object as field manager ``upgrader`` and return it as it now is."""

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object; one that exists is a `ClusterConflict`."""

    def replace(self, manifest: Manifest) -> Manifest:
        """Write an object whole; a changed ``resourceVersion`` is a `ClusterConflict`."""

    def delete(self, ref: Ref, *, propagation: str = "Background", resource_version: str = "") -> None:
        """Delete an object; one that is gone already is success.

        Args:
            ref: The object.
            propagation: ``Background``, ``Foreground`` or ``Orphan``.
            resource_version: Where given, an object changed since then is a `ClusterConflict`.
        """

    def drop_ownership(self, ref: Ref) -> bool:
        """Remove our entries from ``metadata.managedFields``, leaving the values; False if there were none.

        Helm 4 applies server-side: a field that another manager owns makes its next write fail.
        """

    def allowed(self, verb: str, ref: Ref, *, subresource: str = "") -> bool:
        """Ask (SelfSubjectAccessReview) whether we may; an empty name asks for the whole kind."""

    def watch(self, kinds: Sequence[tuple[str, str]], *, namespace: str) -> Watch:
        """Keep a live copy of these ``(apiVersion, kind)`` pairs in one namespace."""


class ReleaseStatus(StrEnum):
    """Helm's status of a revision (Helm 3.21 and 4.3, ``pkg/release``)."""

    UNKNOWN = "unknown"
    DEPLOYED = "deployed"
    UNINSTALLED = "uninstalled"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    UNINSTALLING = "uninstalling"
    PENDING_INSTALL = "pending-install"
    PENDING_UPGRADE = "pending-upgrade"
    PENDING_ROLLBACK = "pending-rollback"


@dataclass(frozen=True, slots=True)
class Revision:
    """One row of a release's history.

    Args:
        number: From 1, growing.
        status: What Helm says of it; ``superseded`` is no proof of health.
        chart: Chart name and version as Helm prints it, such as ``gateway-1.11.28``.
        app_version: The chart's ``appVersion``.
        description: Helm's own words.
    """

    number: int
    status: ReleaseStatus
    chart: str
    app_version: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart file pinned for the whole run.

    Args:
        path: The local ``.tgz``.
        name: Chart name.
        version: Chart version.
        digest: ``sha256:…`` of the file.
    """

    path: Path
    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a Helm operation would send, or what a revision holds.

    Args:
        objects: The manifest's objects, each with its namespace filled in.
        hooks: The hook objects, with Helm's annotations.
        stable: False when two renderings differ (random or time-based templates).
    """

    objects: tuple[Manifest, ...]
    hooks: tuple[Manifest, ...] = ()
    stable: bool = True


@dataclass(frozen=True, slots=True)
class Process:
    """A program of ours that may outlive us: enough to find it again, never mistaking another for it.

    Args:
        pid: Its process id.
        started: Kernel start time in clock ticks since boot (``/proc/PID/stat`` field 22): pids are reused.
        log: Where its output goes.
    """

    pid: int
    started: int
    log: str = ""


class Helm(Protocol):
    """One release, driven by the helm program on PATH (3.12 or newer, or 4).

    Raises `ProgramFailed` when helm ends badly where that is no answer. Secret values travel in files of
    mode 0600 only.
    """

    def version(self) -> str:
        """Return the program's version, such as ``v4.3.1``; `Refused` when it is older than 3.12."""

    def history(self) -> tuple[Revision, ...]:
        """Return all revisions, oldest first; empty when there is no such release."""

    def rendered(self, revision: int) -> Rendered:
        """Return what a revision of the history holds."""

    def apply_method(self, revision: int) -> str:
        """Return ``ssa`` or ``csa``: how that revision was applied (Helm 3: always ``csa``)."""

    def pull(self) -> Chart:
        """Fetch the playbook's target chart once into the run's folder and pin it by digest."""

    def crds(self, chart: Chart) -> tuple[Manifest, ...]:
        """Return the definitions in ``crds/`` of the chart and its enabled subcharts, as written there.

        Helm sends them at the first install only, never at an upgrade.
        """

    def unknown_values(self, chart: Chart) -> Mapping[str, tuple[str, ...]]:
        """Return which keys of the values the chart does not know, by where they come from."""

    def plan_upgrade(self, chart: Chart) -> Rendered:
        """Render the upgrade twice with ``--dry-run=server``; sends nothing to admission."""

    def plan_install(self, chart: Chart) -> Rendered:
        """Render a new installation twice as a dry run; `ProgramFailed` where Helm would refuse it.

        Kinds that the chart's ``crds/`` bring need not be served yet: they are applied before.
        """

    def start_install(self, chart: Chart, *, labels: Mapping[str, str]) -> Process:
        """Start ``helm install`` without CRDs, in a session of its own, and return at once."""

    def start_uninstall(self, *, as_: str, keep_history: bool) -> Process:
        """Start ``helm uninstall`` in a session of its own and return at once.

        Args:
            as_: The role `started` finds it by: ``forward`` or ``back``.
            keep_history: Keep the records, so that `start_rollback` can bring it all back.
        """

    def start_upgrade(self, chart: Chart, *, labels: Mapping[str, str]) -> Process:
        """Start ``helm upgrade`` in a session of its own and return at once."""

    def start_rollback(self, revision: int, *, as_: str) -> Process:
        """Start ``helm rollback`` to that revision in a session of its own; never signal it.

        Args:
            revision: Where to; never 0, which Helm reads as "the one before".
            as_: The role `started` finds it by: ``forward`` or ``back``.
        """

    def started(self, role: str) -> Process | None:
        """Return the process this run started in that role, also if we died before we wrote it down.

        Args:
            role: ``forward`` (`start_upgrade` always is) or ``back``.
        """

    def running(self, process: Process) -> bool:
        """Tell whether that very process still runs."""

    def stop(self, process: Process) -> None:
        """Ask a running ``helm upgrade`` to end (SIGTERM once); returns at once."""

    def kill(self, process: Process) -> None:
        """End a ``helm upgrade`` that ignored `stop`; leaves the release pending."""

    def output(self, process: Process) -> str:
        """Return the end of what it printed, redacted."""

    def forget_values(self) -> None:
        """Delete the files that hold values, secrets among them: no Helm of ours needs them any more."""

    def upgrade_command(self, chart: Chart) -> str:
        """Return the exact command line of the upgrade, for `plan`; without secrets."""

    def install_command(self, chart: Chart) -> str:
        """Return the exact command line of a new installation, for `plan`; without secrets."""

    def rollback_command(self, revision: int) -> str:
        """Return the exact command line that goes back, for the undo list."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One HTTP port of one pod, or of anything with an address.

    Args:
        key: What the answer is filed under; the pod's uid.
        namespace: The pod's namespace.
        pod: The pod's name.
        address: Its IP.
        port: 1-65535.
    """

    key: str
    namespace: str
    pod: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What one endpoint said.

    Args:
        status: HTTP status; 0 when there was no answer.
        body: The body.
        error: Why there was no answer, or the empty text.
        seconds: How long it took.
        headers: Of the answer, names in small letters; empty where whoever asked has no use for them.
    """

    status: int
    body: bytes = b""
    error: str = ""
    seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


class Sweep(Protocol):
    """Read one path from many pods at once, by the way that was found to reach them."""

    @property
    def reach(self) -> str:
        """Return the way in use: ``direct``, ``portforward`` or ``apiserver``."""

    def read(
        self, endpoints: Sequence[Endpoint], path: str, *, deadline_seconds: float
    ) -> Mapping[str, Answer]:
        """Return an answer for every endpoint, by key; a pod that did not answer has an error."""

    def close(self) -> None:
        """Close all connections and forwards."""


@dataclass(frozen=True, slots=True)
class ProbeCounts:
    """Probes that ended since the last look; each is counted once.

    Args:
        sent: Probes that ended.
        failed: Those not answered as expected, refused and reset ones included.
        reasons: How many failed for which reason, such as ``http_503`` or ``refused``.
    """

    sent: int = 0
    failed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)


class Prober(Protocol):
    """Send one kind of request at a steady rate, in the background; never twice the same."""

    def start(self) -> None:
        """Begin; a second call does nothing."""

    def take(self) -> ProbeCounts:
        """Return what ended since the last call."""

    def close(self) -> None:
        """Stop and forget what is in flight."""


class Clock(Protocol):
    """Time. Deadlines use `monotonic`; records use `now`."""

    def now(self) -> float:
        """Return UTC seconds since 1970."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    def sleep(self, seconds: float) -> None:
        """Wait; 0 is allowed."""


class Lease(Protocol):
    """One run at a time for a release; a `coordination.k8s.io/v1` Lease beside it."""

    def acquire(self, run_id: str, *, resume: bool = False) -> None:
        """Take it; `Locked` when another run holds it or left it unfinished (unless it is resumed)."""

    def renew(self) -> None:
        """Keep it; `Locked` when it is ours no longer. Cheap to call each second."""

    def abort_requested(self) -> str:
        """Return the reason another process gave to abort this run, or the empty text."""

    def release(self) -> None:
        """Delete it: the run is over."""


class Journal(Protocol):
    """The append-only record of a run; `append` returns when the record is on the disk."""

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record; the caller has numbered and chained it."""

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Read all records, oldest first; a torn last line is dropped."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to send to a URL.

    Args:
        method: ``GET``, ``POST``, ``PUT``, ``PATCH`` …
        url: Where to.
        body: The body; empty for none.
        headers: Sent along; may hold credentials, never logged.
    """

    method: str
    url: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Http(Protocol):
    """Plain HTTP to something with a URL: a balancer's admin page, a provider's API."""

    def get(self, url: str, *, deadline_seconds: float) -> Answer:
        """Fetch once; no answer is an `Answer` with an error, never an exception."""

    def send(self, request: Request, *, deadline_seconds: float) -> Answer:
        """Send once, never again by itself; else as `get`. Without an answer it may have been taken."""


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """One kind of request to send.

    Args:
        url: Where to.
        rate_per_second: > 0.
        expect: The HTTP status that is right; any other, or no answer, is a failure.
        headers: Sent along; may hold secrets, never logged.
        timeout_seconds: > 0; after it the probe has failed.
    """

    url: str
    rate_per_second: float
    expect: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = 2.0


def _no_credentials(provider: str) -> str:
    raise BalancerUnwilling(f"there are no credentials for {provider} here")


def _no_client(service: str, region: str, endpoint: str) -> Any:
    raise BalancerUnwilling(f"there is no client for {service} here", remedy="pip install 'upgrader[aws]'")


def _no_runtime(address: str, command: str, deadline_seconds: float) -> Answer:
    return Answer(0, error=f"{address}: there is no way to a command socket here")


def _no_folder(name: str, objects: Sequence[Manifest]) -> str:
    raise Refused(f"there is no folder to keep {name} in")


@dataclass(frozen=True)
class Ports:
    """Everything a plugin may reach the world through.

    Args:
        clock: Time.
        kube: The API server.
        helm: The release.
        http: Plain HTTP.
        sweep: Makes a reader of many pods; takes ``auto``, ``direct``, ``portforward`` or ``apiserver``.
        prober: Makes a background prober.
        token: Gives a bearer token for a provider's API (``gcp``, ``azure``), from where its own tools find
            their credentials. Raises `BalancerUnwilling` when there are none.
        aws: Makes boto3's client of a service: its name, region and endpoint (empty for AWS's own).
        runtime: Sends one line to a command socket: ``unix:/PATH`` or ``HOST:PORT``, the line, the deadline
            in seconds. Status 200 for an answer that ended, else an error; never an exception.
        keep: Keeps objects as YAML in the run's folder, in a file of that name and mode 0600, and returns its
            path. A file that is there already stays as it is.
        beside: The release in the other place, where a second installation stands beside the first.
        traffic: What moves traffic between the two.
        direct: Requests straight at a place, past the balancer, and what each must answer.
        tiers: The release of each tier, in the playbook's order, where there are several; else empty.
    """

    clock: Clock
    kube: Kube
    helm: Helm
    http: Http
    sweep: Callable[[str], Sweep]
    prober: Callable[[ProbeSpec], Prober]
    token: Callable[[str], str] = field(default=_no_credentials, repr=False)
    aws: Callable[[str, str, str], Any] = field(default=_no_client, repr=False)
    runtime: Callable[[str, str, float], Answer] = field(default=_no_runtime, repr=False)
    keep: Callable[[str, Sequence[Manifest]], str] = field(default=_no_folder, repr=False)
    beside: Helm | None = None
    traffic: Traffic | None = None
    direct: tuple[ProbeSpec, ...] = ()
    tiers: tuple[Helm, ...] = ()

    @property
    def releases(self) -> tuple[Helm, ...]:
        """Return the release of each tier, also where there is but one."""
        return self.tiers or (self.helm,)

    def forget_values(self) -> None:
        """Delete the values files of every Helm, secrets among them; also of the one in the place beside."""
        for helm in (*self.releases, *([self.beside] if self.beside else ())):
            helm.forget_values()

    def of_tier(self, tier: int) -> Ports:
        """Return the same world with another tier's release as ``helm``."""
        return replace(self, helm=self.releases[tier])
