"""Bring a chart into the run's folder once, and pin it by digest: what was planned is what is applied."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from upgrader.adapters.helm_manifest import documents
from upgrader.adapters.helm_program import HelmProgram
from upgrader.adapters.helm_values import write_private
from upgrader.errors import PlaybookInvalid, ProgramFailed, Refused
from upgrader.model.ports import Chart

PIN = "chart.json"
PULL_SECONDS = 300.0


class ChartSource:
    """A chart as the playbook names it."""

    def __init__(self, ref: str, version: str, *, folder: Path, helm: HelmProgram) -> None:
        """Fetch nothing yet.

        Args:
            ref: ``oci://…``, ``https://…/chart.tgz``, ``https://repository/chart``, ``repository/chart``, a
                folder or a ``.tgz``.
            version: Its version; for folders and files what they say themselves counts.
            folder: Where the file goes; private to the run.
            helm: Calls helm.
        """
        self._ref = ref
        self._version = version
        self._folder = folder
        self._helm = helm

    def fetch(self) -> Chart:
        """Return the pinned chart, fetched at the first call.

        Raises:
            PlaybookInvalid: When a path names nothing.
            ProgramFailed: When helm could not fetch or read it.
            Refused: When the pinned file is not what it was.
        """
        pin = self._folder / PIN
        if pin.exists():
            return self._pinned(json.loads(pin.read_text()))
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._folder.glob("*.tgz"):
            leftover.unlink()
        self._bring()
        (path,) = self._folder.glob("*.tgz")
        name, version = self._identity(path)
        chart = Chart(path, name, version, digest(path))
        facts = {
            "file": path.name,
            "name": name,
            "version": version,
            "digest": chart.digest,
            "ref": self._ref,
        }
        write_private(pin, json.dumps(facts).encode())
        return chart

    def _pinned(self, facts: Mapping[str, str]) -> Chart:
        path = self._folder / facts["file"]
        if not path.exists() or digest(path) != facts["digest"]:
            raise Refused(
                f"the chart file {path} is not the one that was pinned ({facts['digest']})",
                remedy="bring that very file back, or start a new run",
            )
        return Chart(path, facts["name"], facts["version"], facts["digest"])

    def _bring(self) -> None:
        if not is_local(self._ref):
            self._pull()
        else:
            self._copy()
        if not any(self._folder.glob("*.tgz")):
            raise ProgramFailed(
                f"helm was asked for the chart {self._ref} and ended well, but brought no file",
                exit_status=0,
                remedy=f"look what {self._helm.path} is: a wrapper must hand all arguments on",
            )

    def _copy(self) -> None:
        source = Path(self._ref).expanduser()
        if source.is_dir():
            self._helm.plain(["package", str(source), "--destination", str(self._folder)])
        elif source.is_file():
            shutil.copyfile(source, self._folder / f"{source.stem}.tgz")
        else:
            raise PlaybookInvalid(f"there is no chart at {source}", key="chart.ref")

    def _pull(self) -> None:
        operators = operator_flags(self._helm.inherited)
        self._update_index(operators)
        self._helm.plain(
            [
                "pull",
                *pull_arguments(self._ref, self._version),
                "--destination",
                str(self._folder),
                *operators,
            ],
            deadline_seconds=PULL_SECONDS,
        )

    def _update_index(self, operators: list[str]) -> None:
        """Fetch the index of a repository the operator has added; our own cache is empty at first."""
        if "://" not in self._ref:
            name = self._ref.partition("/")[0]
            self._helm.plain(["repo", "update", name, *operators], deadline_seconds=PULL_SECONDS)

    def _identity(self, path: Path) -> tuple[str, str]:
        asked = ["show", "chart", str(path)]
        text = self._helm.plain(asked)
        with self._helm.understood(asked, text):
            facts: dict[str, Any] = next(documents(text), {})
            return str(facts["name"]), str(facts["version"])


def is_local(ref: str) -> bool:
    """Tell whether a chart is a folder or file, by how it is written or because it is there."""
    return "://" not in ref and (
        ref.startswith((".", "/", "~")) or ref.endswith(".tgz") or Path(ref).exists()
    )


def pull_arguments(ref: str, version: str) -> list[str]:
    """Return how ``helm pull`` is told which chart; a file's URL names its version itself."""
    wanted = ["--version", version] if version else []
    if ref.startswith("oci://") or "://" not in ref:
        return [ref, *wanted]
    if ref.endswith(".tgz"):
        return [ref]
    repository, _, name = ref.rstrip("/").rpartition("/")
    return [name, "--repo", repository, *wanted]


def operator_flags(environment: Mapping[str, str]) -> list[str]:
    """Return where the operator's logins and repositories are; helm's other files stay private to the run.

    Source: helm v4.3.1 ``pkg/helmpath`` and ``pkg/cli/environment.go``, checked 2026-11.
    """
    default = "Library/Preferences" if sys.platform == "darwin" else ".config"
    base = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", ""), default)
    home = environment.get("HELM_CONFIG_HOME") or os.path.join(base, "helm")
    files = {
        "--registry-config": environment.get("HELM_REGISTRY_CONFIG") or f"{home}/registry/config.json",
        "--repository-config": environment.get("HELM_REPOSITORY_CONFIG") or f"{home}/repositories.yaml",
    }
    return [word for flag, file in files.items() if os.path.exists(file) for word in (flag, file)]


def digest(path: Path) -> str:
    """Return ``sha256:…`` of a file."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
