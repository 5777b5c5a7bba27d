"""What a survey reads, and what it does where there is nothing to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.checks.rows import add, all_checks
from tests.checks.rows_beside import canary
from tests.checks.rows_crds import NARROW, V1, V1_V2, webhook, widget, widgets
from tests.flow.test_beside import Told
from upgrader.errors import ProgramFailed, Refused
from upgrader.flow.survey import survey
from upgrader.model.findings import run_all
from upgrader.model.fleet import Fleet
from upgrader.model.manifests import labels_of
from upgrader.model.playbook import Playbook
from upgrader.model.plugins import Color, Signal, Split, Survey
from upgrader.model.ports import (
    Chart,
    Denied,
    Helm,
    Kube,
    Manifest,
    Ports,
    Ref,
    ReleaseStatus,
    Rendered,
    Revision,
)
from upgrader.model.reading import Reading
from upgrader.strategies.canary import plan as canary_plan
from upgrader.testing.fakes import FakeClock
from upgrader.testing.surveys import (
    NAMESPACE,
    SurveyBuilder,
    an_object,
    deployment,
    good_objects,
    node,
    playbook_data,
)

S = ReleaseStatus
CHART = Chart(Path("gateway.tgz"), "gateway", "1.11.30", "sha256:0")


@dataclass
class StoredKube:
    """The API over a list of objects. Takes every dry run as sent, but for those it was told to refuse."""

    objects: list[Manifest]
    forbidden: frozenset[str] = frozenset()
    refusals: Mapping[str, Denied | Refused] = field(default_factory=dict)
    forced: list[bool] = field(default_factory=list)
    listed: list[tuple[str, str]] = field(default_factory=list)

    def server_version(self) -> str:
        return "v1.37.2"

    def cluster_uid(self) -> str:
        return "uid"

    def get(self, ref: Ref) -> Manifest | None:
        return next((one for one in self.objects if Ref.of(one) == ref), None)

    def list(
        self, api_version: str, kind: str, *, namespace: str = "", selector: str = "", limit: int = 0
    ) -> list[Manifest]:
        self.listed.append((kind, namespace))
        if f"list {kind} {namespace}" in self.forbidden:
            raise Refused(f"not allowed to list {kind}")
        found = [one for one in self.objects if (one["apiVersion"], one["kind"]) == (api_version, kind)]
        found = [one for one in found if namespace in ("", one["metadata"].get("namespace"))]
        key, _, value = selector.partition("=")
        return [one for one in found if not selector or labels_of(one).get(key) == value]

    def allowed(self, verb: str, ref: Ref, *, subresource: str = "") -> bool:
        assert not subresource
        return f"{verb} {ref.kind} {ref.namespace}" not in self.forbidden

    def apply(
        self, manifest: Manifest, *, manager: str, dry_run: bool = False, force: bool = False
    ) -> Manifest | Denied:
        assert (manager, dry_run) == ("helm", True)
        self.forced.append(force)
        refusal = self.refusals.get(manifest["metadata"]["name"])
        if isinstance(refusal, Refused):
            raise refusal
        return refusal or deepcopy(manifest)


@dataclass
class StoredHelm:
    """A release with a history, each revision holding what it was given."""

    revisions: Sequence[Revision]
    held: Mapping[int, Rendered]
    planned: Rendered | ProgramFailed
    method: str = "ssa"
    calls: list[str] = field(default_factory=list)
    brought: tuple[Manifest, ...] = ()
    unknown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def unknown_values(self, chart: Chart) -> Mapping[str, tuple[str, ...]]:
        assert chart == CHART
        return self.unknown

    def crds(self, chart: Chart) -> tuple[Manifest, ...]:
        assert chart == CHART
        return self.brought

    def version(self) -> str:
        return "v4.3.1"

    def history(self) -> tuple[Revision, ...]:
        return tuple(self.revisions)

    def rendered(self, revision: int) -> Rendered:
        return self.held[revision]

    def apply_method(self, revision: int) -> str:
        assert revision in self.held
        return self.method

    def pull(self) -> Chart:
        self.calls.append("pull")
        return CHART

    def plan_upgrade(self, chart: Chart) -> Rendered:
        assert chart == CHART
        self.calls.append("plan")
        if isinstance(self.planned, ProgramFailed):
            raise self.planned
        return self.planned


@dataclass
class OtherPlace(StoredHelm):
    """The place beside; the chart is rendered for an installation there."""

    def plan_install(self, chart: Chart) -> Rendered:
        assert isinstance(self.planned, Rendered)
        return self.planned


@dataclass
class CountingSignal:
    """A signal that says how often it was read."""

    name: str = "rollout"
    interval_seconds: float = 2.5
    fleets: list[Fleet] = field(default_factory=list)

    def read(self, fleet: Fleet) -> Reading:
        self.fleets.append(fleet)
        return Reading(self.name, read_at=0.0, data_time=0.0, source=f"look {len(self.fleets)}")

    def close(self) -> None:
        raise AssertionError("a survey closes nothing")


def history(*statuses: ReleaseStatus) -> list[Revision]:
    return [Revision(number, status, "gateway-1.11.28") for number, status in enumerate(statuses, start=1)]


def held(version: str) -> Rendered:
    return Rendered(tuple(good_objects(version)))


@dataclass
class Stage:
    """A good gateway in a cluster, and its release."""

    kube: StoredKube = field(default_factory=lambda: StoredKube([*good_objects("1.11.28"), node("n1")]))
    helm: StoredHelm = field(
        default_factory=lambda: StoredHelm(history(S.DEPLOYED), {1: held("1.11.28")}, held("1.11.30"))
    )
    playbook: dict[str, Any] = field(default_factory=playbook_data)
    signals: tuple[CountingSignal, ...] = ()
    clock: FakeClock = field(default_factory=FakeClock)

    def survey(self, target_revision: int | None = None, beside: OtherPlace | None = None) -> Survey:
        book = Playbook.read(self.playbook, plugins={"balancers": ["front"]})
        playbook = book.with_live(Color.BLUE) if beside else book
        unused: Any = None
        ports = Ports(self.clock, cast(Kube, self.kube), cast(Helm, self.helm), unused, unused, unused)
        if beside:
            ports = replace(ports, beside=cast(Helm, beside), traffic=Told(Split(0.0)))
        signals = cast("tuple[Signal, ...]", self.signals)
        live = Color.BLUE if beside else None
        return survey(playbook, ports, signals, target_revision=target_revision, live=live)


def test_a_release_that_is_not_there_is_refused_with_the_next_thing_to_do() -> None:
    stage = Stage(helm=StoredHelm([], {}, held("1.11.30")))

    with pytest.raises(Refused, match="no Helm release gateway in namespace edge") as caught:
        stage.survey()

    assert "helm list --namespace edge" in caught.value.remedy


def test_a_revision_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="no revision 7; it has 1"):
        Stage().survey(target_revision=7)


def test_a_chart_that_does_not_render_is_refused_with_helms_words() -> None:
    failure = ProgramFailed(
        "helm upgrade ended with status 1", exit_status=1, output="nil pointer in proxy.yaml"
    )
    stage = Stage(helm=StoredHelm(history(S.DEPLOYED), {1: held("1.11.28")}, failure))

    with pytest.raises(Refused, match=r"gateway 1\.11\.30: nil pointer in proxy\.yaml"):
        stage.survey()


def test_what_to_do_about_a_failed_plan_is_said_by_who_knows_it() -> None:
    """A helm that is none is not mended in the chart."""
    failure = ProgramFailed("helm printed nothing", exit_status=0, remedy="look what helm is")
    stage = Stage(helm=StoredHelm(history(S.DEPLOYED), {1: held("1.11.28")}, failure))

    with pytest.raises(Refused) as refused:
        stage.survey()

    assert refused.value.remedy == "look what helm is"


@pytest.mark.parametrize(
    ("statuses", "known_good"),
    [
        pytest.param([S.SUPERSEDED, S.DEPLOYED, S.FAILED, S.FAILED], 2, id="not-the-one-before"),
        pytest.param([S.DEPLOYED, S.DEPLOYED], 2, id="the-newest"),
        pytest.param([S.SUPERSEDED, S.FAILED], 0, id="superseded-is-no-proof"),
    ],
)
def test_known_good_is_the_highest_deployed_revision(statuses: list[ReleaseStatus], known_good: int) -> None:
    stage = Stage(
        helm=StoredHelm(history(*statuses), {2: held("1.11.28"), 1: held("1.11.27")}, held("1.11.30"))
    )

    found = stage.survey()

    assert found.known_good == known_good
    assert bool(found.old.objects) == bool(known_good)


def test_nothing_is_rendered_while_helm_is_locked() -> None:
    stage = Stage(helm=StoredHelm(history(S.DEPLOYED, S.PENDING_UPGRADE), {1: held("1")}, held("2")))

    found = stage.survey()

    assert found.new.objects == ()
    assert "plan" not in stage.helm.calls


def test_a_run_to_a_revision_takes_what_it_holds_and_pulls_no_chart() -> None:
    stage = Stage(
        helm=StoredHelm(
            history(S.SUPERSEDED, S.DEPLOYED), {1: held("1.11.27"), 2: held("1.11.28")}, held("x")
        )
    )

    found = stage.survey(target_revision=1)

    assert (found.chart, found.new, found.known_good) == (None, held("1.11.27"), 2)
    assert stage.helm.calls == []


def test_groups_come_from_the_playbooks_selectors_in_its_order() -> None:
    found = Stage().survey()

    assert dict(found.groups) == {"control": "control_plane", "gateway": "proxies"}
    assert list(found.services) == ["proxies"]


def test_a_deployment_in_no_manifest_that_serves_the_service_joins_its_group_and_is_live() -> None:
    made = deployment("made", replicas=1, container={"name": "envoy", "image": "made:1"})
    made["spec"]["template"]["metadata"]["labels"] = {"app": "gateway"}
    other = deployment("shop", replicas=1, container={"name": "shop", "image": "shop:1"})
    stage = Stage()
    stage.kube.objects += [made, other]

    found = stage.survey()

    assert list(found.groups.items())[-1] == ("made", "proxies")
    assert Ref.of(made) in found.live
    assert Ref.of(other) not in found.live


def test_without_workloads_every_deployment_of_the_manifest_is_a_group_and_the_front_service_is_its_own() -> (
    None
):
    stage = Stage()
    del stage.playbook["releases"][0]["workloads"]

    found = stage.survey()

    assert dict(found.groups) == {"control": "control", "gateway": "gateway"}
    assert list(found.services) == ["gateway"]


@pytest.mark.parametrize(("method", "forced"), [("ssa", False), ("csa", True)])
def test_a_dry_run_is_forced_only_where_helm_knows_no_conflicts(method: str, forced: bool) -> None:
    stage = Stage()
    stage.helm.method = method

    found = stage.survey()

    assert set(stage.kube.forced) == {forced}
    assert len(stage.kube.forced) == len(found.dry_run) + len(found.dry_run_back)


def test_what_the_api_server_refuses_is_kept_as_its_answer() -> None:
    gateway, control = (Ref("apps/v1", "Deployment", NAMESPACE, name) for name in ("gateway", "control"))
    stage = Stage()
    stage.kube.refusals = {
        "gateway": Denied(gateway, 409, "conflict"),
        "control": Refused("no right to patch"),
    }

    found = stage.survey()

    assert found.dry_run[gateway] == Denied(gateway, 409, "conflict")
    assert found.dry_run_back[control] == Denied(control, 403, "no right to patch")


def test_what_may_not_be_listed_is_left_alone_and_filed_as_a_missing_right() -> None:
    stage = Stage()
    stage.kube.forbidden = frozenset({"list Node ", "list Pod "})

    found = stage.survey()

    assert found.rights["list Node everywhere"] is False
    assert found.rights["list Pod in edge"] is True
    assert ("Node", "") not in stage.kube.listed
    assert ("Pod", NAMESPACE) in stage.kube.listed


def test_endpoints_are_read_where_webhooks_are_served() -> None:
    hooks = [{"name": "x", "clientConfig": {"service": {"namespace": "certs", "name": "x"}}}]
    slices = an_object("discovery.k8s.io/v1", "EndpointSlice", name="x-1", metadata={"namespace": "certs"})
    stage = Stage()
    api = "admissionregistration.k8s.io/v1"
    stage.kube.objects += [an_object(api, "ValidatingWebhookConfiguration", name="x", webhooks=hooks), slices]

    assert slices in stage.survey().nearby


def test_each_signal_is_read_twice_the_longest_interval_apart() -> None:
    slow, fast = CountingSignal(), CountingSignal("fast", interval_seconds=1.0)
    stage = Stage(signals=(slow, fast))

    found = stage.survey()

    assert {name: reading.source for name, reading in found.trial.items()} == {
        "rollout": "look 2",
        "fast": "look 2",
    }
    assert stage.clock.time == FakeClock().time + 2.5
    assert [one.ref.name for one in slow.fleets[0].workloads] == ["control", "gateway"]


def test_without_definitions_nothing_is_read_of_them() -> None:
    stage = Stage()

    found = stage.survey()

    assert (found.crds, dict(found.live_crds), dict(found.custom)) == ((), {}, {})


def test_of_definitions_that_change_the_live_ones_and_their_objects_are_read() -> None:
    live, new, one = widgets(V1), widgets(V1, properties=NARROW), widget("a", size=3)
    stage = Stage()
    stage.kube.objects += [live, one]
    stage.helm.brought = (new,)

    found = stage.survey()

    assert found.crds == (new,)
    assert found.live_crds == {"widgets.x": live}
    assert found.custom == {"widgets.x": (one,)}


def test_objects_of_a_definition_that_stays_are_not_read() -> None:
    stage = Stage()
    stage.kube.objects += [widgets(V1), widget("a", size=3)]
    stage.helm.brought = (widgets(V1),)

    assert dict(stage.survey().custom) == {}
    assert ("Widget", "") not in stage.kube.listed


def test_definitions_among_the_templates_count_too() -> None:
    old, new = widgets(V1), widgets(V1_V2)
    stage = Stage()
    stage.kube.objects += [old]
    stage.helm.planned = Rendered((*good_objects("1.11.30"), new))

    found = stage.survey()

    assert found.crds == (new,)
    assert found.custom == {"widgets.x": ()}


def test_objects_that_may_not_be_listed_are_missing() -> None:
    stage = Stage()
    stage.kube.forbidden = frozenset({"list Widget "})
    stage.kube.objects += [widgets(V1)]
    stage.helm.brought = (widgets(V1_V2),)

    assert "widgets.x" not in stage.survey().custom


def test_what_shall_convert_objects_is_looked_at() -> None:
    service = an_object("v1", "Service", name="control", metadata={"namespace": "edge"}, spec={})
    slices = an_object("discovery.k8s.io/v1", "EndpointSlice", name="control-1")
    stage = Stage()
    stage.kube.objects += [widgets(V1), service, slices]
    stage.helm.brought = (widgets(V1_V2, conversion=webhook()),)

    near = stage.survey().nearby

    assert service in near
    assert slices in near


def test_resources_of_a_definition_that_comes_first_refuse_no_second_installation() -> None:
    """The API server does not serve their kind before the step `crds`: that is told, and planned."""
    builder = SurveyBuilder()
    canary(add(widget("w", size=3), to="new"))(builder)
    unserved = Denied(Ref("x/v1", "Widget", "edge", "w"), 404, "the API server does not serve Widget of x/v1")
    stage = Stage(playbook=builder.playbook)
    stage.kube.objects.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "edge-green"}})
    stage.kube.refusals = {"w": unserved}

    found = stage.survey(beside=OtherPlace([], {}, Rendered(tuple(builder.new)), brought=(widgets(V1),)))
    said = {one.rule: one for one in run_all(found, all_checks().values())}
    steps = [step.id for step in canary_plan(found, "r-1")]

    assert found.dry_run[unserved.ref] == unserved
    assert "kind-unserved" not in said
    assert "Widget w" in said["beside-crd-new"].seen
    assert steps[:2] == ["crds", "install"]


def test_keys_of_values_that_the_chart_does_not_know_are_carried() -> None:
    stage = Stage()
    stage.helm.unknown = {"prod.yaml": ("replicaCuont",)}

    assert stage.survey().unknown_values == {"prod.yaml": ("replicaCuont",)}
