"""`upgrader plan` refuses definitions that would break what exists, and touches nothing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.gateway import Gateway
from upgrader.lab.room import Room

pytestmark = pytest.mark.lab

Definition = dict[str, Any]
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: proxy}
spec:
  replicas: 0
  selector: {matchLabels: {app: proxy}}
  template:
    metadata: {labels: {app: proxy}}
    spec: {containers: [{name: proxy, image: "absent.invalid/proxy:{{ .Chart.Version }}"}]}
"""
SIZE = {"type": "integer", "minimum": 1}
COLOUR = {"type": "string", "default": "blue", "enum": ["blue", "red"]}
SPEC = {"type": "object", "required": ["size"], "properties": {"size": SIZE, "colour": COLOUR}}
SCHEMA = {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}}
V1 = {"name": "v1", "served": True, "storage": True, "schema": SCHEMA, "subresources": {"status": {}}}
V2 = {**V1, "name": "v2", "storage": False}


def definition(group: str) -> Definition:
    """Return a definition in the few words of its author; the API server fills in more."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [deepcopy(V1)],
        },
    }


def without_the_stored_version(new: Definition) -> None:
    new["spec"]["versions"] = [{**deepcopy(V2), "storage": True}]


def narrowed(new: Definition) -> None:
    spec = new["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["size"]["maximum"] = 10


def converted_by_nobody(new: Definition) -> None:
    new["spec"]["versions"].append(deepcopy(V2))
    client = {"service": {"namespace": "nowhere", "name": "converter"}, "caBundle": "Q0E="}
    webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
    new["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}


@dataclass(frozen=True)
class Case:
    """How the new version's definition differs, and what is said of that.

    Args:
        change: Makes the difference.
        rules: What refuses, besides that Helm does not write it.
        says: What is said.
    """

    change: Callable[[Definition], None]
    rules: frozenset[str]
    says: str = ""


CASES = {
    "removed": Case(
        without_the_stored_version, frozenset({"crd-version-lost", "crd-version-unserved"}), "in v1"
    ),
    "narrowed": Case(narrowed, frozenset({"crd-objects-rejected"}), "/big (spec.size: maximum 10)"),
    "unconverted": Case(
        converted_by_nobody,
        frozenset({"crd-webhook-unanswered"}),
        "Service nowhere/converter, which does not exist",
    ),
}


@dataclass(frozen=True)
class Stage:
    """A release whose chart has one definition, with two objects of its kind."""

    gateway: Gateway

    @property
    def group(self) -> str:
        """Return the API group of its definition."""
        return f"{self.gateway.name}.example"

    def chart(self, version: str, new: Definition) -> Path:
        """Write one version of the chart."""
        folder = self.gateway.folder / f"chart-{version}"
        for name in ("templates", "crds"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: gw\nversion: {version}\n")
        (folder / "templates/proxy.yaml").write_text(DEPLOYMENT)
        (folder / "crds/widgets.yaml").write_text(yaml.safe_dump(new))
        return folder

    def install(self) -> None:
        """Install version 1.0.0 and make the objects."""
        name = self.gateway.name
        chart = str(self.chart("1.0.0", definition(self.group)))
        self.gateway.room.run(["helm", "install", name, chart, "--namespace", name, "--create-namespace"])
        self.gateway.kubectl("wait", "--for=condition=Established", "crd", f"widgets.{self.group}")
        objects = [
            {
                "apiVersion": f"{self.group}/v1",
                "kind": "Widget",
                "metadata": {"name": each, "namespace": name},
                "spec": {"size": size},
            }
            for each, size in (("big", 11), ("small", 3))
        ]
        self.gateway.room.run(["kubectl", "create", "-f", "-"], input=yaml.safe_dump_all(objects))

    def plan(self) -> tuple[int, list[Mapping[str, Any]]]:
        """Plan the upgrade to 2.0.0; return the exit status and the findings about definitions."""
        release = {
            "name": self.gateway.name,
            "namespace": self.gateway.name,
            "chart": {"ref": "chart-{version}", "from": "1.0.0", "to": "2.0.0"},
        }
        book = {
            "apiVersion": "upgrader/v1",
            "name": "crds",
            "releases": [release],
            "signals": [{"kind": "rollout"}],
        }
        self.gateway.playbook.write_text(yaml.safe_dump(book))
        ended = self.gateway.call("plan", str(self.gateway.playbook), "--output", "json")
        assert ended.said.startswith("{"), ended.said
        findings = json.loads(ended.said)["findings"]
        return ended.code, [one for one in findings if one["rule"].startswith("crd-")]

    def versions(self) -> str:
        """Return what would change if anything were written: every object's resourceVersion."""
        columns = "NAME:.metadata.name,VERSION:.metadata.resourceVersion"
        kinds = f"widgets.{self.group},deployments,secrets,leases,configmaps"
        crd = self.gateway.kubectl(
            "get", "crd", f"widgets.{self.group}", f"--output=custom-columns={columns}"
        )
        return crd + self.gateway.kubectl("get", kinds, f"--output=custom-columns={columns}")


@pytest.fixture(scope="module")
def stage(shared_room: Room, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A release in a namespace of its own; both it and its definition go afterwards. Nothing changes it."""
    made = Stage(Gateway(shared_room, f"crds-{uuid.uuid4().hex[:6]}", tmp_path_factory.mktemp("crds")))
    made.install()
    yield made
    shared_room.run(["kubectl", "delete", "crd", f"widgets.{made.group}", "--wait=false"])
    shared_room.run(["kubectl", "delete", "namespace", made.gateway.name, "--wait=false"])


@pytest.mark.parametrize("name", CASES)
def test_a_definition_that_breaks_what_exists_is_refused_and_nothing_is_touched(
    name: str, stage: Stage
) -> None:
    case, new = CASES[name], definition(stage.group)
    case.change(new)
    stage.chart("2.0.0", new)
    before = stage.versions()

    code, findings = stage.plan()

    blocking = {one["rule"] for one in findings if one["severity"] == "block"}
    assert code == 3
    assert blocking == case.rules | {"crd-not-updated"}, findings
    assert any(case.says in one["seen"] for one in findings), findings
    assert all(one["remedy"] for one in findings)
    assert stage.versions() == before


def test_of_a_definition_that_the_server_only_filled_in_nothing_is_said(stage: Stage) -> None:
    stage.chart("2.0.0", definition(stage.group))

    _, findings = stage.plan()

    assert findings == []
