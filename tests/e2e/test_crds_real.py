"""Definitions on a real API server: we read schemas as it does, and the step applies what it should.

Needs ``UPGRADER_TEST_KUBECONFIG``.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from tests.model.test_structural import DROPPED, REFUSED, TAKEN
from upgrader.adapters.clock import SystemClock
from upgrader.adapters.helm_manifest import documents
from upgrader.adapters.kube import KubeApi
from upgrader.adapters.run_folder import kept
from upgrader.errors import Refused
from upgrader.model.definitions import definition_ref, is_same, served
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Gate, Progress, Scene, StepPlan
from upgrader.model.ports import Chart, Denied, Manifest, Ports
from upgrader.model.structural import dropped, refused
from upgrader.steps import crds

KUBECONFIG = os.environ.get("UPGRADER_TEST_KUBECONFIG", "")

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not KUBECONFIG, reason="UPGRADER_TEST_KUBECONFIG names no kubeconfig"),
]
FIELDS = [
    *((f"refused-{name}", field, value) for name, (field, value, _) in REFUSED.items()),
    *((f"taken-{name}", field, value) for name, (field, value) in TAKEN.items()),
    *((f"dropped-{name}", field, value) for name, (field, value, _) in DROPPED.items()),
]


def definition(group: str, properties: dict[str, Any], *versions: str) -> Manifest:
    """Return a definition of a cluster-wide kind; the first version is stored."""
    fields = {"type": "object", "properties": properties}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": fields}}}
    rows = [
        {"name": name, "served": True, "storage": place == 0, "schema": schema}
        for place, name in enumerate(versions)
    ]
    names = {"kind": "Widget", "plural": "widgets"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "scope": "Cluster", "names": names, "versions": rows},
    }


@pytest.fixture(scope="module")
def kube() -> KubeApi:
    return KubeApi.connect(KUBECONFIG)


@dataclass
class Widgets:
    """A kind whose ``spec`` has each field of the tables of ``tests/model``, as ``f0``, ``f1`` …"""

    kube: KubeApi
    group: str
    live: Manifest

    def make(self, number: int, value: Any) -> Manifest:
        metadata = {"name": f"w{number}-{uuid.uuid4().hex[:4]}"}
        spec = {f"f{number}": value}
        return {"apiVersion": f"{self.group}/v1", "kind": "Widget", "metadata": metadata, "spec": spec}

    @property
    def schema(self) -> dict[str, Any]:
        return cast(dict[str, Any], self.live["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


@pytest.fixture(scope="module")
def widgets(kube: KubeApi) -> Iterator[Widgets]:
    group = f"w{uuid.uuid4().hex[:8]}.example"
    properties = {f"f{number}": field for number, (_, field, _) in enumerate(FIELDS)}
    name = kube.create(definition(group, properties, "v1"))["metadata"]["name"]
    ends = time.monotonic() + 20
    while not _is_served(kube, f"{group}/v1"):
        assert time.monotonic() < ends
        time.sleep(0.1)
    live = kube.get(definition_ref(name))
    assert live is not None
    yield Widgets(kube, group, live)
    kube.delete(definition_ref(name))


def _is_served(kube: KubeApi, api_version: str) -> bool:
    if kube.is_namespaced(api_version, "Widget") is None:
        return False
    try:
        probe = {"apiVersion": api_version, "kind": "Widget", "metadata": {"name": "probe"}}
        return not isinstance(kube.apply(probe, manager="test"), Denied)
    except Refused:
        return False


@pytest.mark.parametrize("number", range(len(FIELDS)), ids=[name for name, _, _ in FIELDS])
def test_the_api_server_takes_refuses_and_drops_what_we_say(number: int, widgets: Widgets) -> None:
    name, _, value = FIELDS[number]
    sent = widgets.make(number, value)

    try:
        stored: Manifest | None = widgets.kube.create(sent)
    except Refused:
        stored = None

    assert (stored is None) == name.startswith("refused")
    assert (stored is None) == bool(refused(sent, widgets.schema))
    if stored is not None:
        assert dropped(stored, widgets.schema) == ()
        assert _has_lost(sent["spec"], stored["spec"]) == bool(dropped(sent, widgets.schema))


def _has_lost(sent: Any, stored: Any) -> bool:
    """Tell whether something that was sent, and no null, is not there."""
    if isinstance(sent, dict):
        kept = {key: value for key, value in sent.items() if value is not None}
        return any(key not in stored or _has_lost(kept[key], stored[key]) for key in kept)
    if isinstance(sent, list):
        return any(_has_lost(one, other) for one, other in zip(sent, stored, strict=True))
    return False


def test_what_the_api_server_fills_in_is_no_difference(widgets: Widgets) -> None:
    properties = {f"f{number}": field for number, (_, field, _) in enumerate(FIELDS)}

    assert is_same(widgets.live, definition(widgets.group, properties, "v1"))
    assert not is_same(widgets.live, definition(widgets.group, properties, "v1", "v2"))


@dataclass
class ChartOfDefinitions:
    """A helm that knows what one chart brings."""

    brought: tuple[Manifest, ...]

    def crds(self, chart: Chart) -> tuple[Manifest, ...]:
        return self.brought


@dataclass
class Bench:
    """The step on a real cluster."""

    kube: KubeApi
    new: Manifest
    folder: Path

    @property
    def step(self) -> crds.Crds:
        return crds.build(
            StepPlan("crds", "crds", Gate.NONE, {"names": [self.new["metadata"]["name"]]}, 60.0)
        )

    def scene(self, facts: dict[str, Any] | None = None) -> Scene:
        nothing = cast(Any, None)
        helm = cast(Any, ChartOfDefinitions((self.new,)))
        ports = Ports(
            *(SystemClock(), self.kube, helm, nothing, nothing, nothing), keep=partial(kept, self.folder)
        )
        chart = {"path": "gw.tgz", "name": "gw", "version": "2", "digest": "sha256:1"}
        return Scene(ports, Fleet((), ()), {"chart": chart}, facts or {})

    def carry_out(self) -> tuple[dict[str, Any], Progress]:
        facts = dict(self.step.start(self.scene()))
        ends = time.monotonic() + 20
        while True:
            progress = self.step.poll(self.scene(facts))
            facts |= progress.facts
            if progress.done or progress.failed or time.monotonic() > ends:
                return facts, progress
            time.sleep(0.1)


@pytest.fixture
def bench(kube: KubeApi, tmp_path: Path) -> Iterator[Bench]:
    group = f"w{uuid.uuid4().hex[:8]}.example"
    old = definition(group, {"size": {"type": "integer"}}, "v1")
    assert not isinstance(kube.apply(old, manager="helm"), Denied)
    yield Bench(kube, definition(group, {"size": {"type": "integer"}}, "v1", "v2"), tmp_path)
    kube.delete(definition_ref(old["metadata"]["name"]))


def test_the_step_adds_a_version_to_what_helm_installed_and_leaves_it_on_the_way_back(bench: Bench) -> None:
    name = bench.new["metadata"]["name"]
    undone = bench.step.is_done(bench.scene())

    facts, progress = bench.carry_out()

    live = bench.kube.get(definition_ref(name))
    assert live is not None
    assert (undone, progress.done, bench.step.is_done(bench.scene())) == (False, True, True), progress
    assert served(live) == {"v1", "v2"}
    [before] = documents(Path(facts["kept"]).read_text())
    assert served(before) == {"v1"}
    assert bench.step.undo(bench.scene(facts)).done
    after = bench.kube.get(definition_ref(name))
    assert after == live
    assert not isinstance(bench.kube.apply(before, manager="someone", dry_run=True, force=True), Denied)


def test_the_step_takes_nothing_from_a_controller(bench: Bench) -> None:
    taken = bench.kube.apply(bench.new, manager="edge-operator", force=True)
    assert not isinstance(taken, Denied)
    bench.new["spec"]["versions"] = bench.new["spec"]["versions"][:1]

    _, progress = bench.carry_out()

    assert "edge-operator owns" in progress.failed
    assert served(bench.kube.get(definition_ref(bench.new["metadata"]["name"])) or {}) == {"v1", "v2"}
