"""What the step that applies definitions asks of the cluster; a real API server is asked in ``tests/e2e``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.checks.rows_crds import V1, V1_V2, widgets
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Gate, Progress, Scene, StepPlan
from upgrader.model.ports import Chart, Denied, Manifest, Ports, Ref
from upgrader.steps import crds
from upgrader.testing.fakes import FakeClock

CHART = Chart(Path("gw.tgz"), "gw", "2.0.0", "sha256:1")
MEASURED = {"chart": {"path": "gw.tgz", "name": "gw", "version": "2.0.0", "digest": "sha256:1"}}
ESTABLISHED = [{"type": kind, "status": "True"} for kind in ("NamesAccepted", "Established")]


def named(name: str, definition: Manifest) -> Manifest:
    found = deepcopy(definition)
    found["metadata"]["name"] = name
    return found


def live(definition: Manifest, conditions: Sequence[Mapping[str, str]] = ESTABLISHED) -> Manifest:
    found = deepcopy(definition)
    found["metadata"] |= {"uid": "u", "resourceVersion": "7", "managedFields": [{"manager": "helm"}]}
    found["status"] = {"conditions": list(conditions), "storedVersions": ["v1"]}
    return found


@dataclass
class DefiningKube:
    """Definitions by name; applies take a moment to be established, and may be refused by an owner's name."""

    clock: FakeClock
    stored: dict[str, Manifest]
    owners: tuple[str, ...] = ()
    establishes: bool = True
    seconds: float = 0.0
    written: list[tuple[str, str, bool]] = field(default_factory=list)

    def get(self, ref: Ref) -> Manifest | None:
        return self.stored.get(ref.name)

    def apply(
        self, manifest: Manifest, *, manager: str, dry_run: bool = False, force: bool = False
    ) -> Manifest | Denied:
        ref, name = Ref.of(manifest), manifest["metadata"]["name"]
        was = self.stored.get(name)
        if self.owners and not force and was and was["spec"] != manifest["spec"]:
            words = ", ".join(f'conflict with "{owner}": .spec.versions' for owner in self.owners)
            return Denied(ref, 409, f"Apply failed with {len(self.owners)} conflicts: {words}")
        if dry_run:
            return (was or {}) | deepcopy(manifest)
        self.clock.sleep(self.seconds)
        self.written.append((name, manager, force))
        self.stored[name] = live(manifest, ESTABLISHED if self.establishes else [])
        return self.stored[name]


@dataclass
class ChartOfDefinitions:
    """A helm that knows what one chart brings."""

    brought: tuple[Manifest, ...]

    def crds(self, chart: Chart) -> tuple[Manifest, ...]:
        assert chart == CHART
        return self.brought


@dataclass
class Bench:
    """A step, the world it acts in, and what it has said so far."""

    kube: DefiningKube
    brought: tuple[Manifest, ...]
    names: tuple[str, ...]
    kept: list[tuple[str, Sequence[Manifest]]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def scene(self) -> Scene:
        nothing = cast(Any, None)
        helm = cast(Any, ChartOfDefinitions(self.brought))
        ports = Ports(self.kube.clock, cast(Any, self.kube), helm, nothing, nothing, nothing, keep=self.keep)
        return Scene(ports, Fleet((), ()), MEASURED, self.facts)

    def keep(self, name: str, objects: Sequence[Manifest]) -> str:
        self.kept.append((name, objects))
        return f"/run/{name}"

    @property
    def step(self) -> crds.Crds:
        return crds.build(StepPlan("crds", "crds", Gate.NONE, {"names": list(self.names)}, 60.0))

    def start(self) -> None:
        self.facts |= self.step.start(self.scene)

    def poll(self) -> Progress:
        progress = self.step.poll(self.scene)
        self.facts |= progress.facts
        return progress


def bench(*new: Manifest, was: Sequence[Manifest] = (), names: Sequence[str] = (), **more: Any) -> Bench:
    stored = {one["metadata"]["name"]: one for one in was}
    kube = DefiningKube(FakeClock(), stored, **more)
    return Bench(kube, new, tuple(names or [one["metadata"]["name"] for one in new]))


def test_it_is_done_where_an_apply_would_change_nothing() -> None:
    assert (here := bench(widgets(V1), was=[live(widgets(V1))])).step.is_done(here.scene)


@pytest.mark.parametrize(
    "was",
    [
        pytest.param([], id="absent"),
        pytest.param([live(widgets(V1))], id="different"),
        pytest.param([live(widgets(V1_V2), [])], id="not-established"),
        pytest.param([live(widgets({"v1": True, "v2": False}))], id="a-version-unserved"),
    ],
)
def test_it_is_not_done_before_all_is_as_the_chart_has_it_and_served(was: list[Manifest]) -> None:
    here = bench(widgets(V1_V2), was=was)

    assert not here.step.is_done(here.scene)


def test_the_live_ones_are_kept_before_the_first_write_as_they_can_be_applied_again() -> None:
    here = bench(widgets(V1_V2), was=[live(widgets(V1))])

    here.start()

    [(name, [one])] = here.kept
    assert name == "crds-before.yaml"
    assert one["spec"] == widgets(V1)["spec"]
    assert set(one["metadata"]) == {"name"}
    assert here.kube.written == []


def test_where_nothing_was_live_nothing_is_kept() -> None:
    here = bench(widgets(V1))

    here.start()

    assert (here.kept, here.facts) == ([], {"kept": ""})


def test_what_differs_is_written_and_then_waited_for() -> None:
    here = bench(widgets(V1_V2), was=[live(widgets(V1))], establishes=False)

    here.start()
    first = here.poll()
    here.kube.stored["widgets.x"] = live(widgets(V1_V2))
    second = here.poll()

    assert here.kube.written == [("widgets.x", "upgrader", False)]
    assert not first.done
    assert first.detail == "0 of 1 CRDs are established; widgets.x: not NamesAccepted yet"
    assert (second.done, second.detail) == (True, "1 of 1 CRDs are established")


def test_what_is_as_the_chart_has_it_is_not_written() -> None:
    same, other = named("a.x", widgets(V1)), named("b.x", widgets(V1_V2))
    here = bench(same, other, was=[live(same)])

    here.start()
    progress = here.poll()

    assert progress.done
    assert [name for name, _, _ in here.kube.written] == ["b.x"]


def test_only_the_named_ones_are_written() -> None:
    here = bench(named("a.x", widgets(V1)), named("b.x", widgets(V1)), names=["b.x"])

    assert here.poll().done
    assert [name for name, _, _ in here.kube.written] == ["b.x"]


def test_a_poll_that_took_long_goes_on_in_the_next() -> None:
    many = [named(f"{letter}.x", widgets(V1)) for letter in "abc"]
    here = bench(*many, seconds=0.3)

    first, second = here.poll(), here.poll()

    assert not first.done
    assert first.detail == "2 of 3 CRDs are established; c.x: not written yet"
    assert second.done
    assert len(here.kube.written) == 3


def test_after_a_crash_before_the_facts_were_kept_nothing_is_written_twice() -> None:
    here = bench(widgets(V1_V2), was=[live(widgets(V1))])

    here.step.poll(here.scene)
    here.poll()

    assert len(here.kube.written) == 1


@pytest.mark.parametrize("owner", ["helm", "kubectl", "kubectl-client-side-apply"])
def test_fields_of_who_writes_definitions_whole_are_taken(owner: str) -> None:
    here = bench(widgets(V1_V2), was=[live(widgets(V1))], owners=(owner,))

    progress = here.poll()

    assert progress.done
    assert here.kube.written == [("widgets.x", "upgrader", True)]


def test_fields_of_anybody_else_are_not_taken() -> None:
    here = bench(widgets(V1_V2), was=[live(widgets(V1))], owners=("helm", "edge-operator"))

    progress = here.poll()

    assert "edge-operator owns .spec.versions" in progress.failed
    assert "helm" not in progress.failed
    assert here.kube.written == []


def test_a_name_that_the_chart_does_not_have_is_a_failure() -> None:
    here = bench(widgets(V1), names=["gadgets.x"])

    assert not here.step.is_done(here.scene)
    assert here.poll().failed == "the chart's crds/ has no gadgets.x"


def test_on_the_way_back_they_stay() -> None:
    here = bench(widgets(V1_V2), was=[live(widgets(V1))])
    here.start()
    here.poll()
    written = len(here.kube.written)

    progress = here.step.undo(here.scene)

    assert progress.done
    assert (
        progress.detail
        == "the CRDs stay: they serve the old version too; as they were: /run/crds-before.yaml"
    )
    assert len(here.kube.written) == written
    assert here.step.brake(here.scene).done


def test_it_says_what_it_will_do() -> None:
    assert bench(widgets(V1)).step.describe() == "apply 1 CRDs of the chart, server-side: widgets.x"
