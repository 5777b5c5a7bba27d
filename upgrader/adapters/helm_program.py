"""The helm program: what this version of it can do, and how it is called."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from upgrader.adapters.redaction import Redactor
from upgrader.adapters.shell import Command, Shell
from upgrader.errors import ProgramFailed, Refused

OLDEST = (3, 12)
"""The oldest version that is driven: its ``get metadata``, ``--dry-run`` and labels are what we rely on."""
KEPT = frozenset({"HELM_DRIVER", "HELM_DRIVER_SQL_CONNECTION_STRING"})
"""The only ``HELM_*`` variables passed on: where releases are stored. Others change behaviour silently."""
READ_SECONDS = 60.0
READ_ATTEMPTS = 3
OUTPUT_CHARACTERS = 4000
BEGINNING_CHARACTERS = 120
FLAG = re.compile(r"^\s+(?:-\w, )?--([a-z][a-z0-9-]*)(?:[ ]([a-zA-Z]+))?(?:\[=.*?\])?(?:\s|$)", re.MULTILINE)


def flags_of(help_text: str) -> dict[str, str]:
    """Return the flags a ``--help`` page names, and the type of each; a boolean's type is empty."""
    return dict(FLAG.findall(help_text))


@dataclass(frozen=True, slots=True)
class Place:
    """Which release, in which cluster.

    Args:
        name: The release.
        namespace: Its namespace.
        kubeconfig: Path, or several joined by ``:``; empty for what helm finds by itself.
        context: The kubeconfig's context; empty for the current one, or inside a cluster.
    """

    name: str
    namespace: str
    kubeconfig: str = ""
    context: str = ""

    def flags(self) -> list[str]:
        """Return the global flags that say so."""
        several = os.pathsep in self.kubeconfig
        return [
            *(["--kubeconfig", self.kubeconfig] if self.kubeconfig and not several else []),
            *(["--kube-context", self.context] if self.context else []),
            *["--namespace", self.namespace],
        ]


@dataclass(frozen=True)
class HelmProgram:
    """Calls helm for one release.

    Args:
        place: The release.
        shell: Runs programs.
        home: Folder for helm's own files; private to the run.
        redactor: Masks secrets in what is reported.
        inherited: The environment to start from.
        hidden: Names of variables that hold secrets: helm gets them in files, not by its environment.
        program: Its name or path.
        pause: Waits between repetitions of a read.
    """

    place: Place
    shell: Shell
    home: Path
    redactor: Redactor
    inherited: Mapping[str, str] = field(repr=False)
    hidden: Iterable[str] = ()
    program: str = "helm"
    pause: Callable[[float], None] = time.sleep

    @cached_property
    def path(self) -> str:
        """Return where the program is; `Refused` when it is not installed."""
        found = shutil.which(self.program, path=self.inherited.get("PATH"))
        if found is None:
            raise Refused(
                f"there is no program {self.program!r} on PATH",
                remedy="install Helm 3.12 or newer, or Helm 4",
            )
        return found

    @cached_property
    def version(self) -> str:
        """Return its version, such as ``v4.3.1``; `Refused` when it is older than 3.12."""
        text = self.plain(["version", "--template", "{{.Version}}"]).strip()
        match = re.match(r"v?(\d+)\.(\d+)", text)
        if match is None:
            raise Refused(
                f"{self.path} says its version is {text!r}", remedy="install Helm 3.12 or newer, or Helm 4"
            )
        if (int(match[1]), int(match[2])) < OLDEST:
            raise Refused(
                f"{self.path} is Helm {text}, which is too old", remedy="install Helm 3.12 or newer, or 4"
            )
        return text

    @cached_property
    def upgrade_flags(self) -> Mapping[str, str]:
        """Return the flags of ``helm upgrade``, each with its type."""
        return flags_of(self.plain(["upgrade", "--help"]))

    @cached_property
    def rollback_flags(self) -> Mapping[str, str]:
        """Return the flags of ``helm rollback``, each with its type."""
        return flags_of(self.plain(["rollback", "--help"]))

    @cached_property
    def install_flags(self) -> Mapping[str, str]:
        """Return the flags of ``helm install``, each with its type."""
        return flags_of(self.plain(["install", "--help"]))

    @cached_property
    def list_flags(self) -> Mapping[str, str]:
        """Return the flags of ``helm list``, each with its type."""
        return flags_of(self.plain(["list", "--help"]))

    @cached_property
    def environment(self) -> dict[str, str]:
        """Return the environment helm gets: ours, without anything that changes what it does."""
        dropped = {name for name in self.inherited if name.startswith("HELM_")} - KEPT
        dropped |= {"KUBECONFIG", *self.hidden}
        kept = {name: value for name, value in self.inherited.items() if name not in dropped}
        homes = {f"HELM_{kind}_HOME": str(self.home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        several = os.pathsep in self.place.kubeconfig
        return (
            kept
            | homes
            | {"HELM_NO_PLUGINS": "1"}
            | ({"KUBECONFIG": self.place.kubeconfig} if several else {})
        )

    def command(self, arguments: Sequence[str], *, cluster: bool = True) -> Command:
        """Return a call of helm, for our release unless ``cluster`` is false."""
        return Command([self.path, *arguments, *(self.place.flags() if cluster else [])], self.environment)

    def read(self, arguments: Sequence[str], *, deadline_seconds: float = READ_SECONDS) -> str:
        """Return what a call that changes nothing prints; tried three times, within one deadline begun.

        Raises:
            ProgramFailed: With helm's own words, redacted.
        """
        attempts = Retrying(
            retry=retry_if_exception_type(ProgramFailed),
            stop=stop_after_attempt(READ_ATTEMPTS) | stop_before_delay(deadline_seconds),
            wait=wait_random_exponential(multiplier=0.3, max=3.0),
            sleep=self.pause,
            reraise=True,
        )
        return attempts(self.once, self.command(arguments), deadline_seconds)

    @contextmanager
    def understood(self, asked: Sequence[str], text: str) -> Iterator[None]:
        """Read what a call that ended well printed; that it is not what was asked for is helm's failure.

        Of what came only the first words are told, up to what may be the beginning of values.

        Args:
            asked: The call's arguments.
            text: What it printed.

        Raises:
            ProgramFailed: What is done inside could make nothing of it.
        """
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            begins = self.redactor.text(text.strip().partition("\n")[0].partition("{")[0])
            came = f"what begins with {begins[:BEGINNING_CHARACTERS]!r}" if begins else "something else"
            came = came if text.strip() else "nothing"
            raise ProgramFailed(
                f"`{shlex.join(['helm', *asked])}` ended well, but printed {came} where Helm's own answer "
                f"belongs ({type(error).__name__}: {error})",
                exit_status=0,
                remedy=f"look what {self.path} is: a wrapper must print what Helm prints, and its own words "
                "to stderr",
            ) from error

    def plain(self, arguments: Sequence[str], *, deadline_seconds: float = READ_SECONDS) -> str:
        """Return what a call that needs no cluster prints; `ProgramFailed` when it ends badly."""
        return self.once(self.command(arguments, cluster=False), deadline_seconds)

    def once(self, command: Command, deadline_seconds: float) -> str:
        """Run one call and return what it prints; `ProgramFailed` when it ends badly."""
        output = self.shell.run(command, deadline_seconds=deadline_seconds)
        if output.exit_status == 0:
            return output.stdout
        words = self.redactor.text(output.stderr or output.stdout).strip()
        raise ProgramFailed(
            f"helm {command.argv[1]} of release {self.place.name} ended with status {output.exit_status}",
            exit_status=output.exit_status,
            output=words[-OUTPUT_CHARACTERS:],
        )
