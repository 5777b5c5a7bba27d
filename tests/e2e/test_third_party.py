"""Somebody else's package is found by its entry points, and held to the contracts, by another process.

Not a line of `upgrader` knows it. It is laid out as an installer would, by hand: no network, no builder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.promises.sources import ROOT, sources

PACKAGE = Path(__file__).parent / "third_party"
MAIN = "from upgrader.cli import main; main()"
PLAYBOOK = """\
apiVersion: upgrader/v1
name: edge-acme
releases:
  - name: gateway
    namespace: gateway-blue
    chart: {ref: "oci://registry.example/gateway", from: 1.0.0, to: 1.1.0}
strategy:
  kind: acme_switch
  green: {name: gateway-green, namespace: gateway-green}
  notices: https://status.acme.example
  taste: 25%
signals:
  - {kind: acme_errors, url: "https://acme.example", tenant: edge}
balancers:
  - {kind: acme, url: "https://acme.example", pool: blue, green: green, settle: 40s}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package into a folder of its own, with the entry points of its project file."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shutil.copytree(PACKAGE / "upgrader_acme", folder / "upgrader_acme")
    told = folder / f"upgrader_acme-{project['version']}.dist-info"
    told.mkdir()
    named = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (told / "METADATA").write_text(named, encoding="utf-8")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in points.items())
        for group, points in project["entry-points"].items()
    ]
    (told / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    return folder


def run(*command: str, site: Path | None = None, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in another process that has the package, or has it not."""
    path = os.pathsep.join(str(one) for one in (site, ROOT) if one)
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def validated(text: str, *, site: Path | None, folder: Path) -> subprocess.CompletedProcess[str]:
    book = folder / "book.yaml"
    book.write_text(text, encoding="utf-8")
    return run("-c", MAIN, "playbook", "validate", str(book), site=site, cwd=folder)


def test_a_playbook_may_name_what_the_package_brings(installed: Path, tmp_path: Path) -> None:
    said = validated(PLAYBOOK, site=installed, folder=tmp_path)

    assert (said.returncode, said.stderr) == (0, "")
    assert "edge-acme is valid" in said.stdout


def test_without_the_package_the_same_playbook_is_refused(tmp_path: Path) -> None:
    said = validated(PLAYBOOK, site=None, folder=tmp_path)

    assert said.returncode == 2
    assert "book.yaml:8: strategy.kind: unknown kind; there is: rolling, canary, blue_green" in said.stderr
    assert "signals[0].kind: unknown kind" in said.stderr
    assert "balancers[0].kind: unknown kind" in said.stderr


@pytest.mark.parametrize(
    ("was", "written", "told"),
    [
        ("taste: 25%", "taste: 25", "book.yaml:11: strategy.taste: "),
        ("taste: 25%", "tast: 25%", "strategy.tast: unknown key; allowed here: green, notices"),
        ("tenant: edge", "tennant: edge", "signals[0].tennant: unknown key"),
        ("settle: 40s", "settle: 40", "balancers[0].settle: "),
        ("namespace: gateway-green", "namespace: gateway-blue", "must be another than the release's own"),
        (", green: green", "", "one balancer must have a green backend"),
    ],
)  # fmt: skip
def test_a_wrong_key_of_the_package_is_refused_with_line_and_key(
    installed: Path, tmp_path: Path, was: str, written: str, told: str
) -> None:
    assert was in PLAYBOOK

    said = validated(PLAYBOOK.replace(was, written), site=installed, folder=tmp_path)

    assert said.returncode == 2
    assert told in said.stderr


def test_what_the_package_brings_passes_the_contracts(installed: Path, tmp_path: Path) -> None:
    suite = str(shutil.copy(PACKAGE / "acme_contracts.py", tmp_path))
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-W", "error"]

    said = run("-m", "pytest", *options, "--rootdir", str(tmp_path), suite, site=installed, cwd=tmp_path)

    assert said.returncode == 0, said.stdout + said.stderr
    counted: Any = said.stdout.strip().splitlines()[-1]
    assert "failed" not in counted
    assert int(counted.split(" passed")[0].split()[-1]) > 100


def test_nothing_of_ours_knows_the_package() -> None:
    assert not [source.path for source in sources("upgrader") if "acme_" in source.text]
