"""Provide the lab's binary."""

from __future__ import annotations

import os
from pathlib import Path

from upgrader.errors import LabUnavailable
from upgrader.lab.progress import Tell, tell_nobody


def ensure(tell: Tell = tell_nobody) -> Path:
    """Return the lab's binary."""
    if path := os.environ.get("UPGRADER_LAB_BINARY"):
        return Path(path)
    raise LabUnavailable("set UPGRADER_LAB_BINARY")
