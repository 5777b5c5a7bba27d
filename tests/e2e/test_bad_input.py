"""Bad input: each is refused with where it is and what to do next, and nothing is touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.e2e.gateway import CHARTS, KEY, Gateway
from upgrader.lab import layout

pytestmark = pytest.mark.lab

KINDS = "deployments,replicasets,pods,services,secrets,configmaps,jobs,leases,poddisruptionbudgets"
REFUSED_SECONDS = 60.0


@dataclass(frozen=True)
class Bad:
    """One mistake.

    Args:
        code: How the run ends.
        says: What its message holds; ``LINE`` is the playbook's path and the line of ``marks``.
        old: What of the playbook is replaced ...
        new: ... by what.
        marks: What stands in the line that is to be named.
        arguments: More of the command line.
        environment: Of the command line.
    """

    code: int
    says: tuple[str, ...]
    old: str = ""
    new: str = ""
    marks: str = ""
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


NEXT = "next: "
MISTAKES = {
    "unknown key": Bad(2, ("LINE", "gates", "gate"), "gate:", "gates:", "gates:"),
    "unit missing": Bad(2, ("LINE", "bake", "unit"), "bake: 1s", "bake: 10", "bake:"),
    "unknown unit": Bad(2, ("LINE", "gate.stand", "3 parsecs"), "stand: 1s", "stand: 3 parsecs", "stand:"),
    "zero timeout": Bad(
        2, ("LINE", "ready_within"), "ready_within: 40s", "ready_within: 0s", "ready_within:"
    ),
    "no YAML": Bad(2, ("LINE",), "bake: 1s", "bake: [1s", "checks:"),
    "chart absent": Bad(2, ("LINE", "ref", "no-such-chart"), f"{CHARTS}/", "/no-such-chart/", "ref:"),
    "values file absent": Bad(2, ("LINE", "absent.yaml", "values.files"), "- new.yaml", "- absent.yaml"),
    "variable not set": Bad(2, ("LINE", "NO_SUCH_VARIABLE", "apiKey"), KEY, "NO_SUCH_VARIABLE"),
    "release not found": Bad(
        3, ("no Helm release absent", NEXT, "helm list"), "releases:\n- name: ", "releases:\n- name: absent"
    ),
    "context unknown": Bad(3, ("no-such-context", NEXT), arguments=("--context", "no-such-context")),
    "kubeconfig absent": Bad(
        3, ("/no/such/kubeconfig", NEXT), arguments=("--kubeconfig", "/no/such/kubeconfig")
    ),
    "API unreachable": Bad(
        3, ("no answer from the API server", "port=1)", NEXT), arguments=("--kubeconfig", "DEAF")
    ),
    "Helm too old": Bad(3, ("v3.10.0", "too old", NEXT, "3.12"), environment={"PATH": "OLD_HELM"}),
    "no Helm": Bad(3, ("no program 'helm'", NEXT, "3.12"), environment={"PATH": "NO_HELM"}),
}


@pytest.fixture(scope="module")
def gateway(make_gateways: Callable[..., Gateway]) -> Gateway:
    return make_gateways("input", proxy={"replicas": 1})


def touched(gateway: Gateway) -> list[str]:
    """Return every object of the namespace, with its version."""
    columns = "NAME:.kind,NAME:.metadata.name,VERSION:.metadata.resourceVersion"
    said = gateway.kubectl("get", KINDS, "--no-headers", f"--output=custom-columns={columns}")
    return sorted(said.splitlines())


def staged(gateway: Gateway, folder: Path) -> dict[str, str]:
    """Make what some mistakes need, and return it by name."""
    helm = folder / "bin/helm"
    helm.parent.mkdir()
    helm.write_text("#!/bin/sh\necho v3.10.0\n")
    helm.chmod(0o755)
    deaf = folder / "deaf.kubeconfig"
    own = yaml.safe_load(gateway.room.run(["cat", str(layout.KUBECONFIG)]).stdout)
    own["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    deaf.write_text(yaml.safe_dump(own))
    helmless = folder / "helmless"
    helmless.mkdir()
    for door in ("nsenter", "setpriv", "env"):  # the way into the room
        (helmless / door).symlink_to(str(shutil.which(door)))
    usual = os.environ["PATH"]
    return {
        "DEAF": str(deaf),
        "OLD_HELM": f"{helm.parent}:{layout.BIN}:{usual}",
        "NO_HELM": str(helmless),
    }


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_and_nothing_is_touched(name: str, gateway: Gateway, tmp_path: Path) -> None:
    bad, stage = MISTAKES[name], staged(gateway, tmp_path)
    gateway.write()
    text = gateway.playbook.read_text()
    assert bad.old in text
    gateway.playbook.write_text(text.replace(bad.old, bad.new, 1) if bad.old else text)
    marked = bad.marks or bad.new
    lines = [n for n, line in enumerate(gateway.playbook.read_text().splitlines(), 1) if marked in line]
    before = touched(gateway)

    arguments = [stage.get(one, one) for one in bad.arguments]
    environment = {key: stage.get(value, value) for key, value in bad.environment.items()}
    with gateway.start("run", str(gateway.playbook), "--yes", *arguments, environment=environment) as running:
        ended = running.end(REFUSED_SECONDS)

    wanted = [f"{gateway.playbook}:{lines[0]}" if word == "LINE" else word for word in bad.says]
    assert ended.code == bad.code, ended.said
    assert [word for word in wanted if word not in ended.said] == [], ended.said
    assert "Traceback" not in ended.said
    assert touched(gateway) == before
    assert gateway.journals() == []
    assert not [path for path in gateway.folder.glob("state/runs/*") if path.exists()]
