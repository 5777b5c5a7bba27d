"""What all tests share: the lab is built once, before the first test that needs it, with progress."""

from __future__ import annotations

import subprocess
import sys

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the lab before any test's own time limit runs; minutes on a new machine, nothing later.

    Of several workers one builds, and the others wait for it. What it tells goes to standard error: a
    worker's standard output speaks to the controller.
    """
    needs_lab = any(item.get_closest_marker("lab") for item in session.items)
    if session.config.option.collectonly or not needs_lab:
        return
    build = [sys.executable, "-m", "upgrader.lab.commands", "build"]
    built = subprocess.run(build, check=False, stdin=subprocess.DEVNULL, stdout=sys.__stderr__)
    if built.returncode:
        pytest.exit("the lab could not be built; see above", returncode=built.returncode)
