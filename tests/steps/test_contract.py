"""Every kind of step that ships with us passes the contract that third parties run."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import upgrader.steps
from tests.checks.rows_crds import V1, V1_V2, widgets
from tests.scenario.two_places import Counters, TwoPlaces, shift
from tests.signals.fakes import FakeHttp
from tests.steps.played import PlayedDeployment, PlayedHelm
from tests.steps.test_crds import Bench, DefiningKube, live, named
from tests.steps.test_rolling_steps import CHART, MEASURED, plan
from upgrader import plugins
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Gate, Scene, Step, StepPlan
from upgrader.model.ports import Ports, ProbeSpec, ReleaseStatus, Revision
from upgrader.testing.contracts.steps import StepContract, StepRig
from upgrader.testing.fakes import FakeClock

NOTHING = cast(Any, None)


class _Rig(StepRig):
    def build(self, plan: StepPlan) -> Step:
        return plugins.find("steps", plan.kind).build(plan)  # type: ignore[no-any-return]


class _RollingRig(_Rig):
    """A Deployment, where the run has brought it before this step."""

    def __init__(self, plan: StepPlan, **deployment: Any) -> None:
        self.plan = plan
        self.clock: FakeClock = FakeClock()
        self.deployment = PlayedDeployment(**deployment)
        self.helm = PlayedHelm(self.clock, self.deployment)

    def scene(self, facts: Mapping[str, Any]) -> Scene:
        played: Any = self.deployment
        ports = Ports(self.clock, played, cast(Any, self.helm), NOTHING, NOTHING, NOTHING)
        return Scene(ports, self.fleet(), {**MEASURED, **CHART}, facts)

    def fleet(self) -> Fleet:
        return self.deployment.fleet()

    def advance(self) -> None:
        super().advance()
        self.deployment.advance()

    def state(self) -> Any:
        one = self.deployment
        return (one.template, one.paused, one.strategy, dict(one.annotations), one.old, one.new)


class _PausedAgain(_RollingRig):
    """What goes back goes back by Helm: such a step has only to let nothing more be replaced."""

    def is_back(self, before: Any) -> bool:
        return self.deployment.paused


class HelmRig(_RollingRig):
    def state(self) -> Any:
        return (self.deployment.template, self.helm.history())

    def is_back(self, before: Any) -> bool:
        is_deployed = self.helm.history()[-1].status is ReleaseStatus.DEPLOYED
        return self.deployment.template == "old" and is_deployed


class DependentsRig(_RollingRig):
    """The controller of the gateway changes the Deployment by itself after a while; nothing of it is ours."""

    def advance(self) -> None:
        super().advance()
        if self.clock.time >= 1_000_005:
            self.deployment.template = "new"

    def state(self) -> Any:
        return (self.deployment.paused, self.deployment.old, self.deployment.new)


class _TwoPlacesRig(_Rig):
    def __init__(self, plan: StepPlan) -> None:
        self.plan = plan
        self.stage = TwoPlaces()
        self.clock: FakeClock = self.stage.clock

    def scene(self, facts: Mapping[str, Any]) -> Scene:
        world, measured = self.stage.world(), self.stage.header()["measured"]
        latest = {"envoy_stats": Counters(self.stage).read(self.fleet())}
        return Scene(world.ports, self.fleet(), measured, facts, latest)

    def fleet(self) -> Fleet:
        return self.stage.world().fleet()

    def state(self) -> Any:
        places = (self.stage.old.history(), self.stage.new.history())
        return (*places, self.stage.kube.there, self.stage.front.green)


class InstallRig(_TwoPlacesRig):
    """The namespace comes with Helm."""

    def __init__(self) -> None:
        super().__init__(StepPlan("install", "helm_install", Gate.SETTLE, {"run": "r"}, 60.0))
        self.stage.kube.there = False

    def advance(self) -> None:
        super().advance()
        self.stage.kube.there |= bool(self.stage.new.history())


class RetireRig(_TwoPlacesRig):
    """The new version has all the traffic."""

    def __init__(self) -> None:
        super().__init__(StepPlan("retire", "retire", Gate.SETTLE, {}, 60.0, 1.0))
        self.stage.front.move(1.0)
        self.stage.new.revisions = [Revision(1, ReleaseStatus.DEPLOYED, "gateway-2")]
        self.stage.new.whole_at = 0.0

    def is_back(self, before: Any) -> bool:
        last = self.stage.old.history()[-1]
        return self.stage.old.is_whole and last.status is ReleaseStatus.DEPLOYED


class DefinitionsRig(_Rig):
    """Two definitions of the chart, one of which is there in an older form; they stay on the way back."""

    def __init__(self) -> None:
        self.clock: FakeClock = FakeClock()
        brought = tuple(named(name, widgets(V1_V2)) for name in ("a.example", "b.example"))
        kube = DefiningKube(self.clock, {"a.example": live(named("a.example", widgets(V1)))}, seconds=0.4)
        self.bench = Bench(kube, brought, ("a.example", "b.example"))
        self.plan = StepPlan("crds", "crds", Gate.NONE, {"names": [*self.bench.names]}, 60.0)

    def scene(self, facts: Mapping[str, Any]) -> Scene:
        return replace(self.bench.scene, facts=facts)

    def state(self) -> Any:
        return {name: one["spec"] for name, one in self.bench.kube.stored.items()}

    def is_back(self, before: Any) -> bool:
        return bool(self.state().keys() >= before.keys())


class ProbeRig(_Rig):
    """The new version answers as it must; nothing is changed by asking."""

    def __init__(self) -> None:
        self.plan = StepPlan("probe", "probe_directly", Gate.NONE, {}, 60.0)
        self.clock: FakeClock = FakeClock()

    def scene(self, facts: Mapping[str, Any]) -> Scene:
        http = FakeHttp({"http://green/": b"fine"})
        ports = Ports(self.clock, NOTHING, NOTHING, http, NOTHING, NOTHING)
        return Scene(replace(ports, direct=(ProbeSpec("http://green/", 1.0, 200),)), self.fleet(), {}, facts)

    def state(self) -> Any:
        return None


class TestFreeze(StepContract):
    def make_rig(self) -> StepRig:
        return _RollingRig(plan("freeze"))


class TestHelmUpgrade(StepContract):
    def make_rig(self) -> StepRig:
        return HelmRig(plan("helm_upgrade", revision=0), paused=True)


class TestRollBatch(StepContract):
    def make_rig(self) -> StepRig:
        settings = {"counts": {"proxy": 3}, "of": {"proxy": 4}}
        return _PausedAgain(plan("roll_batch", **settings), template="new", paused=True)


class TestAwaitDependents(StepContract):
    def make_rig(self) -> StepRig:
        return DependentsRig(plan("await_dependents", patience_seconds=90.0), paused=True)


class TestThaw(StepContract):
    def make_rig(self) -> StepRig:
        return _PausedAgain(plan("thaw"), template="new", paused=True, old=1, new=3)


class TestCrds(StepContract):
    def make_rig(self) -> StepRig:
        return DefinitionsRig()


class TestHelmInstall(StepContract):
    def make_rig(self) -> StepRig:
        return InstallRig()


class TestShiftTraffic(StepContract):
    def make_rig(self) -> StepRig:
        return _TwoPlacesRig(shift(1, 0.25, Gate.STAND))


class TestRetire(StepContract):
    def make_rig(self) -> StepRig:
        return RetireRig()


class TestProbeDirectly(StepContract):
    def make_rig(self) -> StepRig:
        return ProbeRig()


def test_every_kind_of_step_that_ships_is_held_to_its_contract() -> None:
    """One without a rig fails here; two files are no step themselves."""
    names = {one.name for one in pkgutil.iter_modules(upgrader.steps.__path__)}
    ships = {name for name in names if hasattr(plugins.find("steps", name), "build")}

    own = [one for one in globals().values() if getattr(one, "__module__", "") == __name__]
    contracts = [one for one in own if isinstance(one, type) and issubclass(one, StepContract)]

    assert {one().make_rig().plan.kind for one in contracts} == ships
    assert names - ships == {"deployments", "helm_process"}
