"""The plan of a run over two releases: each surveyed alone, all shown as one, forth and back."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from tests.flow.test_survey import StoredHelm, StoredKube, held, history
from upgrader.adapters.playbook_file import LoadedPlaybook
from upgrader.context import Bench, Plan, header, make_plan, new_run_id
from upgrader.flags import Flags
from upgrader.model.fleet import POD_HASH_LABEL, Fleet
from upgrader.model.measure import tiers_of
from upgrader.model.playbook import Playbook
from upgrader.model.plugins import Signal
from upgrader.model.ports import Manifest, Ports, ReleaseStatus, Rendered
from upgrader.model.reading import Reading
from upgrader.report.plan import Shown, plan_text
from upgrader.testing.fakes import FakeClock
from upgrader.testing.surveys import NAMESPACE, SurveyBuilder, playbook_data

INNER = "inner"


@dataclass
class Looking:
    """A signal that notes which pods it was shown."""

    clock: FakeClock
    seen: list[tuple[int, set[str], set[str]]] = field(default_factory=list)
    name: str = "rollout"
    interval_seconds: float = 1.0
    counts_requests: bool = False
    compares_pods: bool = False
    speaks_of_backends: bool = False

    def read(self, fleet: Fleet) -> Reading:
        spaces = {pod.namespace for pod in fleet.pods}, {pod.namespace for pod in fleet.others}
        self.seen.append((fleet.tier, *spaces))
        return Reading(self.name, self.clock.now(), self.clock.now(), "script")

    def close(self) -> None:
        pass


def there(one: Manifest) -> Manifest:
    """Return an object as it is in the inner tier's namespace."""
    moved = deepcopy(one)
    if moved["metadata"].get("namespace") == NAMESPACE:
        moved["metadata"]["namespace"] = INNER
    return moved


def hashed(one: Manifest) -> Manifest:
    """Return a ReplicaSet or pod with what the API server and its controller give it."""
    labels = {**one["metadata"].get("labels", {}), POD_HASH_LABEL: "1"}
    return {**one, "metadata": {"uid": one["metadata"]["name"], **one["metadata"], "labels": labels}}


def helm(*, inner: bool) -> StoredHelm:
    def rendered(version: str) -> Rendered:
        objects = held(version).objects
        return Rendered(tuple(map(there, objects)) if inner else objects)

    statuses = history(ReleaseStatus.SUPERSEDED, ReleaseStatus.DEPLOYED)
    return StoredHelm(statuses, {1: rendered("1.11.27"), 2: rendered("1.11.28")}, rendered("1.11.30"))


@pytest.fixture
def signal() -> Looking:
    return Looking(FakeClock())


@pytest.fixture
def bench(tmp_path: Path, signal: Looking) -> Bench:
    """Two tiers of one name, the inner one first."""
    data = playbook_data()
    [outer] = data["releases"]
    data["releases"] = [outer | {"namespace": INNER}, outer]
    playbook = Playbook.read(data, plugins={"balancers": ["front"]})
    seen = SurveyBuilder().build()
    objects = [*seen.live.values(), *map(hashed, seen.nearby)]
    kube, nothing = StoredKube([*objects, *map(there, objects)]), cast(Any, None)
    helms = cast(Any, (helm(inner=True), helm(inner=False)))
    ports = Ports(signal.clock, cast(Any, kube), helms[0], nothing, nothing, nothing, tiers=helms)
    loaded = LoadedPlaybook(playbook, tmp_path / "book.yaml", "sha256:0", "c", "c", (), {})
    locked = ((INNER, "gateway"), (NAMESPACE, "gateway"))
    return Bench(loaded, Flags(tmp_path), "r", nothing, ports, (cast(Signal, signal),), locked)


def tiers_in_order(plan: Plan) -> list[str]:
    return list(dict.fromkeys(step.id.partition(": ")[0] for step in plan.steps))


def test_each_tier_is_surveyed_in_its_own_namespace_and_the_first_is_planned_first(bench: Bench) -> None:
    plan = make_plan(bench)

    assert [one.playbook.release.namespace for one in plan.surveys] == [INNER, NAMESPACE]
    assert [{ref.namespace for ref in one.live if ref.kind == "Deployment"} for one in plan.surveys] == [
        {INNER},
        {NAMESPACE},
    ]
    assert tiers_in_order(plan) == ["inner/gateway", "edge/gateway"]
    assert plan.policy.tiers == 2


def test_the_way_to_the_last_good_revisions_begins_with_the_last_tier(bench: Bench) -> None:
    plan = make_plan(bench, revisions=(1, 1))
    body = header(bench, plan)

    assert tiers_in_order(plan) == ["edge/gateway", "inner/gateway"]
    assert [step.tier for step in plan.steps if step.kind == "helm_upgrade"] == [1, 0]
    assert [(one["namespace"], one["revision"]) for one in tiers_of(body["measured"])] == [
        (INNER, 1),
        (NAMESPACE, 1),
    ]


def test_a_signal_is_tried_for_each_tier_with_the_pods_of_the_others_apart(
    bench: Bench, signal: Looking
) -> None:
    make_plan(bench)

    assert signal.seen == [(0, {INNER}, {NAMESPACE})] * 2 + [(1, {NAMESPACE}, {INNER})] * 2


def test_the_plan_shows_all_tiers_in_the_order_of_the_run(bench: Bench) -> None:
    plan = make_plan(bench)
    commands = ("helm of inner", "helm of edge")

    text = plan_text(Shown(plan.surveys, plan.findings, plan.steps, plan.policy, commands, plan.revisions))

    places = [text.index(each) for each in ("gateway in inner:", "gateway in edge:", *commands)]
    assert places == sorted(places)
    assert "known-good: gateway 2, gateway 2" in text
    back = [line.split()[2] for line in text.splitlines() if " rollback gateway " in line]
    assert back == [NAMESPACE, INNER]


def test_a_run_over_several_releases_is_called_by_the_playbook(bench: Bench) -> None:
    assert new_run_id(bench.loaded.playbook).startswith("good-")
