"""How long it takes until the program says its first word, and until a room is up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from upgrader.lab import build
from upgrader.lab.room import Room

pytestmark = pytest.mark.benchmark

LOOKS, ROOMS = 5, 3
MOST_TIMES_HELM, MOST_ROOM_SECONDS = 2.5, 15.0
PACKAGE = Path(__file__).parents[2]


def fastest(command: Sequence[str]) -> tuple[float, float]:
    """Return the least wall and CPU seconds of a program, files and byte code warm."""
    environment = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    walls, processor = [], []
    for _ in range(LOOKS + 1):
        before, began = os.times(), time.perf_counter()
        subprocess.run(command, env=environment, cwd=PACKAGE, capture_output=True, check=True)
        walls.append(time.perf_counter() - began)
        after = os.times()
        processor.append(
            after.children_user - before.children_user + after.children_system - before.children_system
        )
    return min(walls[1:]), min(processor[1:])


def test_help_comes_nearly_as_quickly_as_that_of_helm(
    tmp_path: Path, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Python starts an interpreter, Helm a compiled program; what is dear is imported when it is needed."""
    helm = shutil.which("helm") or str(tmp_path / "helm")
    if not Path(helm).exists():
        Path(helm).symlink_to(build.ensure())

    theirs, their_processor = fastest([helm, "version"])
    bare, _ = fastest([sys.executable, "-c", "pass"])
    ours, our_processor = fastest([sys.executable, "-m", "upgrader.cli", "--help"])

    figures = {
        "help_seconds": round(ours, 3),
        "help_by_helm_version": round(ours / theirs, 2),
        "help_cpu_by_helm_version": round(our_processor / their_processor, 2),
        "help_by_bare_python": round(ours / bare, 2),
    }
    _tell(figures, record_property, capsys)
    assert ours / theirs <= MOST_TIMES_HELM


def test_a_room_is_up_within_seconds(
    record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the binary built. The floor is the room's own `kubectl version`, asked in the room that is up."""
    build.ensure()
    walls, floors = [], []
    for _ in range(ROOMS):
        began = time.perf_counter()
        with Room.up(f"start-{uuid.uuid4().hex[:8]}") as room:
            walls.append(time.perf_counter() - began)
            began = time.perf_counter()
            room.run(["kubectl", "version"])
            floors.append(time.perf_counter() - began)

    figures = {
        "room_seconds": round(min(walls), 2),
        "room_by_kubectl_version": round(min(walls) / min(floors), 1),
    }
    _tell(figures, record_property, capsys)
    assert min(walls) <= MOST_ROOM_SECONDS


def _tell(
    figures: dict[str, float],
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in figures.items():
        record_property(name, value)
    with capsys.disabled():
        print(f"\n{figures}")
