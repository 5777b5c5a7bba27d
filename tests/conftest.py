"""What all tests share: the lab is built once, before the first test that needs it, with progress."""

from __future__ import annotations

import subprocess
import sys

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the lab before any test's own time limit runs; minutes on a new machine, nothing later."""
    options = session.config.option
    needs_lab = any(item.get_closest_marker("lab") for item in session.items)
    if options.collectonly or not needs_lab or hasattr(session.config, "workerinput"):
        return
    built = subprocess.run([sys.executable, "-m", "upgrader.lab.commands", "build"], check=False)
    if built.returncode:
        pytest.exit("the lab could not be built; see above", returncode=built.returncode)
