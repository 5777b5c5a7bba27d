"""Provide the lab's one binary: a given one, an installed one, a cached one, else build it.

A build that was interrupted goes on where it was: its compiler cache stays below the user's cache folder
until the binary is finished, and is removed then.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from upgrader.errors import LabUnavailable, ProgramFailed
from upgrader.lab import wheel
from upgrader.lab.compiling import Downloads, Packages
from upgrader.lab.namespaces import check_system
from upgrader.lab.progress import Progress, Tell, tell_nobody
from upgrader.lab.sources import Sources, needed_modules, read_sources
from upgrader.lab.toolchain import Go, find_go

BINARY = "lab-kube"
GIVEN = "UPGRADER_LAB_BINARY"

_NEEDED_BYTES = 6 * 2**30
"""Free space a build needs: 3.6 GB of compiler cache, 0.7 GB of modules, the binary; measured, rounded up."""

_KEPT_BUILDS = 3
"""Finished binaries kept, 170 MB each; chosen by us: a room in use must not lose its binary to an upgrade."""

_STALE = (
    "{{if .Stale}}{{if ne .StaleReason"
    ' "not installed but available in build cache"}}{{.ImportPath}}{{end}}{{end}}'
)
"""What ``go list`` shall print: the packages to compile; the main one counts as stale even when compiled.

Source: cmd/go/internal/work, reasons for staleness, Go 1.26.
"""


def cache_folder() -> Path:
    """Return the folder for everything the lab caches."""
    return Path(platformdirs.user_cache_dir("upgrader")) / "lab"


def ensure(tell: Tell = tell_nobody) -> Path:
    """Return the lab's binary, built now if there is none.

    Args:
        tell: Called with each step of a build.

    Raises:
        LabUnavailable: It cannot be had on this machine.
        ProgramFailed: Go failed; its last words are in ``output``.
    """
    check_system()
    if given := os.environ.get(GIVEN):
        return _given(Path(given))
    sources = read_sources()
    if found := wheel.installed(sources.digest, tell=tell) or find(cache_folder(), sources):
        return found
    return Build(cache_folder(), sources, tell=tell).run()


def find(cache: Path, sources: Sources) -> Path | None:
    """Return a finished binary of these sources, by whichever Go; ``None`` when there is none."""
    found = sorted((cache / sources.digest).glob(f"*/{BINARY}"))
    if not found:
        return None
    os.utime(found[-1].parent.parent)
    return found[-1]


def _given(path: Path) -> Path:
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise LabUnavailable(f"{GIVEN}={path} is no program", remedy=f"correct it, or unset {GIVEN}")
    return path.absolute()


@dataclass(frozen=True, slots=True)
class Build:
    """One build of the binary.

    Args:
        cache: The lab's cache folder.
        sources: What to build.
        tell: Called with each step.
    """

    cache: Path
    sources: Sources
    tell: Tell = tell_nobody

    def run(self) -> Path:
        """Build, or wait for whoever builds already, and return the binary."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with self._lock():
            if found := find(self.cache, self.sources):  # another builder was first
                return found
            self._check_space()
            go = find_go(self.cache, oldest=self.sources.go, tell=self.tell)
            return self._build(go)

    @property
    def _workshop(self) -> Path:
        """The one place to build in: what an interrupted build of other sources compiled is of use, too."""
        return self.cache / "building"

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.cache / "build.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.tell(Progress("waiting", "for another build of the lab to end"))
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.cache).free
        if free < _NEEDED_BYTES and not self._workshop.exists():
            raise LabUnavailable(
                f"{self.cache} has {free / 2**30:.1f} GiB free; a build needs {_NEEDED_BYTES / 2**30:.0f}",
                remedy="make room (it is given back after the build), or set XDG_CACHE_HOME",
            )

    def _build(self, go: Go) -> Path:
        began, workshop = time.monotonic(), self._workshop
        (workshop / "tmp").mkdir(parents=True, exist_ok=True)
        environment = build_environment(os.environ, workshop=workshop)
        flags = [*self.sources.build_flags, "-buildvcs=false"]
        draft = workshop / BINARY
        total = needed_modules((self.sources.folder / "go.sum").read_text())
        self.tell(Progress("resolving", "which packages there are and which are compiled already"))
        listed = self._go(
            go,
            ["list", "-deps", *flags, "-f", _STALE, "."],
            read=Downloads(total).read,
            environment=environment,
        )
        packages = Packages(frozenset(listed.split()), clock=time.monotonic)
        self.tell(packages.begin())
        self._go(
            go,
            ["build", "-v", *flags, "-ldflags", self.sources.link_flags, "-o", str(draft), "."],
            read=packages.read,
            environment=environment,
        )
        return self._finish(draft, go, seconds=time.monotonic() - began)

    def _go(
        self,
        go: Go,
        arguments: Sequence[str],
        *,
        read: Callable[[str], Progress | None],
        environment: Mapping[str, str],
    ) -> str:
        """Run Go in the module's folder, telling of its progress, and return its standard output."""
        output = os.memfd_create("go-output")
        command = [str(go.program), *arguments]
        with (
            os.fdopen(output, "r+") as printed,
            subprocess.Popen(
                command,
                cwd=self.sources.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
        ):
            assert process.stderr
            said: list[str] = []
            try:
                for line in process.stderr:
                    if progress := read(line):
                        self.tell(progress)
                    else:
                        said = [*said[-40:], line]
            except BaseException:
                process.terminate()
                raise
            if process.wait():
                raise ProgramFailed(
                    f"go {arguments[0]} failed in {self.sources.folder}",
                    exit_status=process.returncode,
                    output="".join(said),
                    remedy="run it again: what is compiled already is kept",
                )
            printed.seek(0)
            return printed.read()

    def _finish(self, draft: Path, go: Go, *, seconds: float) -> Path:
        """Try the binary, put it in its place in one step, and remove the compiler's cache."""
        self.tell(Progress("finishing", "removing the build cache"))
        done = subprocess.run(
            [draft, "kubectl", "version", "--client"], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode or self.sources.kubernetes not in done.stdout:
            raise ProgramFailed("the binary just built does not run", output=done.stdout + done.stderr)
        notes = {"go": go.version, "kubernetes": self.sources.kubernetes, "seconds": round(seconds)}
        place = self.cache / self.sources.digest / go.version
        place.mkdir(parents=True, exist_ok=True)
        (place / "build.json").write_text(json.dumps(notes))
        os.replace(draft, place / BINARY)
        shutil.rmtree(self._workshop)
        prune(self.cache)
        return place / BINARY


def build_environment(outside: Mapping[str, str], *, workshop: Path) -> dict[str, str]:
    """Return the environment for Go: caches of our own, unless the user names some, which then stay."""
    own = {"GOCACHE": str(workshop / "gocache"), "GOMODCACHE": str(workshop / "modcache")}
    chosen = {name: outside.get(name) or folder for name, folder in own.items()}
    fixed = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-modcacherw"}
    return dict(outside) | chosen | fixed | {"GOTMPDIR": str(workshop / "tmp")}


def prune(cache: Path, *, keep: int = _KEPT_BUILDS) -> None:
    """Remove all but the most recently used finished binaries."""
    finished = [path.parent.parent for path in cache.glob(f"*/*/{BINARY}")]
    newest_first = sorted(set(finished), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in newest_first[keep:]:
        shutil.rmtree(old, ignore_errors=True)
