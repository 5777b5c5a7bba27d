"""What all tests share: the lab is built once, before the first test that needs it, with progress."""

from __future__ import annotations

import subprocess
import sys

import pytest

ALONE = frozenset({"test_drills.py", "test_canaries.py"})
"""End-to-end tests that share nothing and take minutes: any worker may take any of them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the end-to-end tests of a file on one worker: they share a room, which takes seconds."""
    for item in items:
        if item.path.parent.name == "e2e" and item.path.name not in ALONE:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


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
