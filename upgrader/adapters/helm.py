"""One release, driven by the helm program in the ways that were found safe.

Never: ``--atomic`` and ``--rollback-on-failure`` (they see readiness only, and race with the upgrade they
undo), ``--reuse-values`` (old images stay), any ``--force…`` that replaces, a rollback without a revision, a
signal to ``helm rollback`` (it has no handling: the release stays locked), ``--wait`` for pods (we watch).
"""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from upgrader.adapters.helm_archive import definitions, opened, over
from upgrader.adapters.helm_chart import ChartSource
from upgrader.adapters.helm_local import Serving, brought, capability_arguments, parted, scope_with
from upgrader.adapters.helm_manifest import Scope, as_sent, documents, rendered
from upgrader.adapters.helm_program import READ_SECONDS, HelmProgram, Place
from upgrader.adapters.helm_unknown import unknown_keys
from upgrader.adapters.helm_values import Values, ValuesFolder
from upgrader.adapters.redaction import Redactor
from upgrader.adapters.shell import Shell
from upgrader.errors import ProgramFailed, Refused
from upgrader.model.ports import Chart, Manifest, Process, ReleaseStatus, Rendered, Revision

HISTORY = 20
"""Revisions kept at least. Helm's own 10 may prune the known-good one, safe only while it is `deployed`."""
HISTORY_READ = 10_000
PLAN_SECONDS = 180.0
LOGS = "helm-output"
"""Folder for what helm prints."""


@dataclass(frozen=True)
class Target:
    """What the playbook says about one release.

    Args:
        place: The release and its cluster.
        run_folder: The run's own folder, mode 0700.
        chart_ref: Where the chart is.
        chart_version: Its version; may be empty for folders and files.
        values: Files and secrets.
        timeout_seconds: Helm's limit for each single operation, hooks above all. Default 300, Helm's own.
        known_good: Revision whose values are used when the playbook gives none; 0: the newest deployed.
        force_conflicts: On the way back (role ``back``), take fields from other managers where the revision
            was applied server-side. Default off.
        origin: The release it is installed beside, whose values are used where the playbook has none.
        makes_namespace: A new installation makes its namespace; Helm wants the right to, even where it is
            there already.
    """

    place: Place
    run_folder: Path
    chart_ref: str
    chart_version: str = ""
    values: Values = field(default_factory=Values)
    timeout_seconds: int = 300
    known_good: int = 0
    force_conflicts: bool = False
    origin: HelmRelease | None = None
    makes_namespace: bool = True


class HelmRelease:
    """One release and its helm program; implements `upgrader.model.ports.Helm`."""

    def __init__(
        self, target: Target, *, helm: HelmProgram, scope: Scope, serving: Callable[[], Serving] | None = None
    ) -> None:
        """Drive a release; `of` makes the helm program, too.

        Args:
            target: What the playbook says.
            helm: Calls helm for that release.
            scope: Tells which kinds live in namespaces.
            serving: Tells what the API server serves; needed for `plan_install` only.
        """
        self._target = target
        self._helm = helm
        self._scope = scope
        self._serving = serving or _unasked
        self._renderings: dict[int, Rendered] = {}
        self._crds: dict[str, tuple[Manifest, ...]] = {}
        self._values = ValuesFolder(
            target.run_folder / "values",
            target.values,
            environment=helm.inherited,
            redactor=helm.redactor,
        )

    @classmethod
    def of(
        cls,
        target: Target,
        *,
        scope: Scope,
        redactor: Redactor,
        environment: Mapping[str, str],
        serving: Callable[[], Serving] | None = None,
    ) -> HelmRelease:
        """Drive a release by the helm program on ``environment``'s PATH; secrets are read from it too."""
        helm = HelmProgram(
            target.place,
            shell=Shell(),
            home=target.run_folder / "helm",
            redactor=redactor,
            inherited=environment,
            hidden=tuple(target.values.env.values()),
        )
        return cls(target, helm=helm, scope=scope, serving=serving)

    def version(self) -> str:
        """Return the program's version, such as ``v4.3.1``; `Refused` when it is older than 3.12."""
        return self._helm.version

    def history(self) -> tuple[Revision, ...]:
        """Return all revisions, oldest first; empty when there is no such release."""
        asked = ["history", self._name, "--max", str(HISTORY_READ), "--output", "json"]
        try:
            text = self._helm.once(self._helm.command(asked), READ_SECONDS)
        except ProgramFailed:
            if not self._exists():
                return ()
            text = self._helm.read(asked)
        with self._helm.understood(asked, text):
            return tuple(sorted(map(revision_of, json.loads(text)), key=lambda revision: revision.number))

    def _exists(self) -> bool:
        every = ["--all"] if "all" in self._helm.list_flags else []
        asked = ["list", "--filter", f"^{re.escape(self._name)}$", *every, "--output", "json"]
        text = self._helm.read(asked)
        with self._helm.understood(asked, text):
            return bool(json.loads(text))

    def rendered(self, revision: int) -> Rendered:
        """Return what a revision of the history holds; a revision never changes, so it is asked for once."""
        if revision not in self._renderings:
            of = [self._name, "--revision", str(revision)]
            asked = ["get", "manifest", *of]
            manifest, hooks = self._helm.read(asked), self._helm.read(["get", "hooks", *of])
            with self._helm.understood(asked, manifest):
                self._renderings[revision] = self._render(manifest, [hooks])
        return self._renderings[revision]

    def _render(self, manifest: str, hooks: Sequence[str], scope: Scope | None = None) -> Rendered:
        place = self._target.place
        found = rendered(manifest, hooks, namespace=place.namespace, scope=scope or self._scope)
        for item in found.objects + found.hooks:
            self._helm.redactor.add_kubernetes_secret(item)
        sent = (as_sent(item, release=place.name, namespace=place.namespace) for item in found.objects)
        return replace(found, objects=tuple(sent))

    def apply_method(self, revision: int) -> str:
        """Return ``ssa`` or ``csa``: how that revision was applied (Helm 3: always ``csa``)."""
        if "server-side" not in self._helm.rollback_flags:
            return "csa"
        asked = ["get", "metadata", self._name, "--revision", str(revision), "--output", "json"]
        text = self._helm.read(asked)
        with self._helm.understood(asked, text):
            return str(json.loads(text).get("applyMethod") or "csa")

    def pull(self) -> Chart:
        """Fetch the playbook's target chart once into the run's folder and pin it by digest."""
        source = ChartSource(
            self._target.chart_ref,
            self._target.chart_version,
            folder=self._target.run_folder / "chart",
            helm=self._helm,
        )
        return source.fetch()

    def crds(self, chart: Chart) -> tuple[Manifest, ...]:
        """Return the definitions in ``crds/`` of the chart and of its enabled subcharts; read once."""
        if chart.digest not in self._crds:
            found = definitions(opened(chart.path.read_bytes()), self._given())
            self._crds[chart.digest] = tuple(found)
        return self._crds[chart.digest]

    def unknown_values(self, chart: Chart) -> Mapping[str, tuple[str, ...]]:
        """Return which keys of the values the chart does not know, by the file's name or ``values.env``."""
        archive, paths = opened(chart.path.read_bytes()), self._values.write(self._known_good_values)
        return {
            source: tuple(unknown_keys(archive, next(documents(path.read_text()), {})))
            for source, path in zip(self._values.sources(), paths, strict=True)
        }

    def _given(self) -> dict[str, Any]:
        """Return the operator's values as one map, the later file over the earlier."""
        given: dict[str, Any] = {}
        for path in self._values.write(self._known_good_values):
            given = over(next(documents(path.read_text()), {}), given)
        return given

    def plan_upgrade(self, chart: Chart) -> Rendered:
        """Render the upgrade twice with ``--dry-run=server``; sends nothing to admission.

        The renderings hold Secrets in clear; they stay in memory.
        """
        return self._rendered_twice(lambda: self._upgrade_arguments(chart))

    def plan_install(self, chart: Chart) -> Rendered:
        """Render a new installation twice with ``--dry-run=server``; Helm refuses a name that is taken.

        Where ``crds/`` brings kinds that are not served yet, it is rendered as if they were: `helm_local`.
        """
        coming = brought(self.crds(chart))
        if all(self._scope(*what) is not None for what in coming):
            return self._rendered_twice(lambda: self._install_arguments(chart))
        serving = self._serving()
        return _twice(lambda: self._rendered_here(chart, serving, coming))

    def _rendered_twice(self, arguments: Callable[[], list[str]]) -> Rendered:
        return _twice(lambda: self._dry_run(arguments))

    def _rendered_here(
        self, chart: Chart, serving: Serving, coming: Mapping[tuple[str, str], bool]
    ) -> Rendered:
        self._write_values()
        values = [word for path in self._values.paths() for word in ("--values", str(path))]
        asked = ["template", self._name, str(chart.path), *values, *capability_arguments(serving, coming)]
        text = self._helm.read(asked, deadline_seconds=PLAN_SECONDS)
        with self._helm.understood(asked[:3], text):
            manifest, hooks = parted(text)
            return self._render(manifest, hooks, scope_with(self._scope, coming))

    def _dry_run(self, arguments: Callable[[], list[str]]) -> Rendered:
        dry = "--dry-run=server" if self._helm.upgrade_flags.get("dry-run") else "--dry-run"
        self._write_values()
        asked = [*arguments(), dry, "--output", "json"]
        text = self._helm.read(asked, deadline_seconds=PLAN_SECONDS)
        with self._helm.understood(asked, text):
            release = json.loads(text)
            hooks = [str(hook["manifest"]) for hook in release.get("hooks") or ()]
            return self._render(str(release["manifest"]), hooks)

    def start_upgrade(self, chart: Chart, *, labels: Mapping[str, str]) -> Process:
        """Start ``helm upgrade`` in a session of its own and return at once."""
        self._write_values()
        arguments = [*self._upgrade_arguments(chart), *_labels(labels, self._helm.upgrade_flags)]
        return self._start("forward-upgrade", arguments)

    def start_install(self, chart: Chart, *, labels: Mapping[str, str]) -> Process:
        """Start ``helm install`` without CRDs in a session of its own and return at once."""
        self._write_values()
        arguments = [*self._install_arguments(chart), *_labels(labels, self._helm.install_flags)]
        return self._start("forward-install", arguments)

    def start_uninstall(self, *, as_: str, keep_history: bool) -> Process:
        """Start ``helm uninstall`` in a session of its own and return at once."""
        kept = ["--keep-history"] if keep_history else []
        timeout = ["--timeout", f"{self._target.timeout_seconds}s"]
        return self._start(f"{as_}-uninstall", ["uninstall", self._name, *kept, *timeout])

    def start_rollback(self, revision: int, *, as_: str) -> Process:
        """Start ``helm rollback`` to that revision in a session of its own; never signal it."""
        force = self._target.force_conflicts and as_ == "back"
        return self._start(f"{as_}-rollback", self._rollback_arguments(revision, force=force))

    def started(self, role: str) -> Process | None:
        """Return the last process this run started in that role, by its log and its mark in ``/proc``.

        One that has ended, and whose pid nobody wrote down, is a process with pid 0: it does not run.
        """
        logs = sorted((self._target.run_folder / LOGS).glob(f"*-{role}-*.log"))
        if not logs:
            return None
        running = self._helm.shell.find(self._target.run_folder / LOGS)
        return next((one for one in running if one.log == str(logs[-1])), Process(0, 0, str(logs[-1])))

    def _start(self, act: str, arguments: Sequence[str]) -> Process:
        folder = self._target.run_folder / LOGS
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = len(list(folder.iterdir())) + 1
        return self._helm.shell.start(self._helm.command(arguments), log=folder / f"{number:03d}-{act}.log")

    def _write_values(self) -> None:
        self._values.write(self._known_good_values)

    def _known_good_values(self) -> str:
        if self._target.origin is not None:
            return self._target.origin._known_good_values()
        good = self._target.known_good or newest_deployed(self.history())
        if not good:
            raise Refused(
                f"release {self._name} has no deployed revision to take values from",
                remedy="name the values files in the playbook (values.files)",
            )
        asked = ["get", "values", self._name, "--revision", str(good), "--output", "json"]
        text = self._helm.read(asked)
        with self._helm.understood(asked, text):
            return json.dumps(dict(json.loads(text) or {}))

    def _upgrade_arguments(self, chart: Chart) -> list[str]:
        values = [word for path in self._values.paths() for word in ("--values", str(path))]
        flags = self._helm.upgrade_flags
        return [
            *["upgrade", self._name, str(chart.path), "--reset-values", *values],
            *self._limits(),
            *(["--server-side=auto"] if "server-side" in flags else []),
            *(["--wait=hookOnly"] if flags.get("wait") else []),
            *(["--hide-notes"] if "hide-notes" in flags else []),
        ]

    def _install_arguments(self, chart: Chart) -> list[str]:
        """Return the arguments of a new installation; CRDs are a step of their own.

        ``--replace``: the place may hold the kept history of a version that was retired there.
        """
        values = [word for path in self._values.paths() for word in ("--values", str(path))]
        flags = self._helm.install_flags
        return [
            *[
                "install",
                self._name,
                str(chart.path),
                *(["--create-namespace"] if self._target.makes_namespace else []),
                "--skip-crds",
                "--replace",
                *values,
            ],
            *["--timeout", f"{self._target.timeout_seconds}s"],
            *(["--wait=hookOnly"] if flags.get("wait") else []),
            *(["--hide-notes"] if "hide-notes" in flags else []),
        ]

    def _rollback_arguments(self, revision: int, *, force: bool = False) -> list[str]:
        if revision < 1:
            raise ValueError("a rollback names its revision: 0 would be whatever came before")
        flags = self._helm.rollback_flags
        force = force and self.apply_method(revision) == "ssa"
        return [
            *["rollback", self._name, str(revision)],
            *self._limits(),
            *(["--server-side=auto"] if "server-side" in flags else []),
            *(["--wait=hookOnly"] if flags.get("wait") else []),
            *(["--force-conflicts"] if force else []),
        ]

    def _limits(self) -> list[str]:
        kept = max(HISTORY, len(self.history()) + 1)
        return ["--timeout", f"{self._target.timeout_seconds}s", "--history-max", str(kept)]

    def running(self, process: Process) -> bool:
        """Tell whether that very process still runs."""
        return self._helm.shell.running(process)

    def exit_status(self, process: Process) -> int | None:
        """Return how it ended; ``None`` while it runs, or when an earlier process of ours started it."""
        return self._helm.shell.exit_status(process)

    def find(self) -> tuple[Process, ...]:
        """Return the helm processes of this run that still run, also those whose start was not recorded."""
        return self._helm.shell.find(self._target.run_folder / LOGS)

    def stop(self, process: Process) -> None:
        """Ask a running ``helm upgrade`` to end (SIGTERM once); returns at once."""
        self._helm.shell.signal(upgrade_only(process), signal.SIGTERM)

    def kill(self, process: Process) -> None:
        """End a ``helm upgrade`` that ignored `stop`; leaves the release pending."""
        self._helm.shell.signal(upgrade_only(process), signal.SIGKILL, group=True)

    def output(self, process: Process) -> str:
        """Return the end of what it printed, redacted."""
        return self._helm.redactor.text(self._helm.shell.tail(process))

    def upgrade_command(self, chart: Chart) -> str:
        """Return the exact command line of the upgrade, for `plan`; without secrets."""
        return self._command_line(self._upgrade_arguments(chart))

    def install_command(self, chart: Chart) -> str:
        """Return the exact command line of a new installation, for `plan`; without secrets."""
        return self._command_line(self._install_arguments(chart))

    def rollback_command(self, revision: int) -> str:
        """Return the exact command line that goes back, for the undo list."""
        return self._command_line(self._rollback_arguments(revision))

    def _command_line(self, arguments: Sequence[str]) -> str:
        return shlex.join(["helm", *arguments, *self._target.place.flags()])

    def forget_values(self) -> None:
        """Delete the values files, secrets among them: the run is over, and helm has read them."""
        self._values.forget()

    @property
    def _name(self) -> str:
        return self._target.place.name


def _labels(labels: Mapping[str, str], flags: Mapping[str, str]) -> list[str]:
    if not labels or "labels" not in flags:
        return []
    return ["--labels", ",".join(f"{key}={value}" for key, value in labels.items())]


def revision_of(row: Mapping[str, Any]) -> Revision:
    """Return one row of ``helm history -o json``."""
    try:
        status = ReleaseStatus(row["status"])
    except ValueError:
        status = ReleaseStatus.UNKNOWN
    return Revision(
        number=int(row["revision"]),
        status=status,
        chart=str(row.get("chart", "")),
        app_version=str(row.get("app_version") or ""),
        description=str(row.get("description") or ""),
    )


def newest_deployed(history: Sequence[Revision]) -> int:
    """Return the number of the newest deployed revision, or 0."""
    return max((each.number for each in history if each.status is ReleaseStatus.DEPLOYED), default=0)


def upgrade_only(process: Process) -> Process:
    """Return the process unless it is a rollback: a signalled rollback leaves the release locked."""
    if process.log.endswith("-rollback.log"):
        raise ValueError("helm rollback must never be signalled")
    return process


def _twice(render: Callable[[], Rendered]) -> Rendered:
    """Render twice: what differs between two renderings is said to be unstable."""
    first, second = render(), render()
    return replace(second, stable=first == second)


def _unasked() -> Serving:
    raise TypeError("nobody said what the API server serves")
