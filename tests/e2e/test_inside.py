"""Tests that need a kubeconfig, run inside a room of their own: the Kubernetes and the Helm adapter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from upgrader.lab.room import Room

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

HELM3 = "helm.sh/helm/v3/cmd/helm@v3.22.0"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with Room.up(f"inside-{os.getpid()}", owned=True) as made:
        yield made


@pytest.fixture(scope="module")
def helm3() -> Path:
    """Install Helm 3 from its Go module into a cache of the tests' own; it is built once a machine."""
    folder = platformdirs.user_cache_path("upgrader") / "tests" / f"helm-{HELM3.rpartition('@')[2]}"
    if not (folder / "helm").exists():
        go = shutil.which("go") or "/usr/local/go/bin/go"
        environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"}
        subprocess.run([go, "install", HELM3], env=environment, check=True, timeout=800)
    return folder / "helm"


@pytest.mark.parametrize("module", ["test_kube_real.py", "test_helm_real.py", "test_crds_real.py"])
def test_the_adapters_hold_on_a_real_cluster(room: Room, helm3: Path, module: str) -> None:
    """Each of its tests ran and passed; none was skipped for want of a cluster or a Helm."""
    options = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command = [sys.executable, "-m", "pytest", *options, str(ROOT / "tests" / "e2e" / module)]
    environment = {
        "PYTHONPATH": str(ROOT),
        "UPGRADER_TEST_KUBECONFIG": str(room.kubeconfig),
        "UPGRADER_TEST_HELM3": str(helm3),
    }

    ended = room.run(command, environment=environment, timeout_seconds=800, check=False)

    assert ended.returncode == 0, ended.stdout[-8000:]
    assert "skipped" not in ended.stdout.splitlines()[-1]
