"""Two releases under the real engine and rolling steps: what Helm and the Deployment controller do is played.

Both tiers have a Deployment of the same name, in namespaces of their own. The tiers, the clock and the
journal outlive every crash of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from tests.scenario.slow_helm import SlowHelm
from upgrader import plugins
from upgrader.engine import Engine
from upgrader.flow.recorder import Recorder
from upgrader.model.evidence import Counts
from upgrader.model.fleet import Fleet, Pod, Side, Workload
from upgrader.model.measure import joint
from upgrader.model.plugins import Gate, StepPlan
from upgrader.model.policy import Policy, SignalPolicy, weighed
from upgrader.model.ports import Kube, Manifest, Ports, Process, Ref, ReleaseStatus, Revision
from upgrader.model.reading import Reading
from upgrader.model.record import RULE, SCHEMA, Record
from upgrader.model.run import Run
from upgrader.model.tiers import in_one
from upgrader.model.world import World
from upgrader.testing.fakes import Crash, FakeClock, FakeJournal, FakeLease

REPLICAS = 3
POD_SECONDS = 1.0
"""How long the controller takes to replace as many pods as its surge."""
INTERVAL_SECONDS = 2.0
STRATEGY = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
NAMES = ("inner", "outer")


def steps_of_one() -> tuple[StepPlan, ...]:
    """Return what the strategy plans for a tier of three proxies."""

    def batch(number: int, count: int, gate: Gate) -> StepPlan:
        settings = {"workloads": ["proxy"], "counts": {"proxy": count}, "of": {"proxy": REPLICAS}}
        share = count / REPLICAS
        name = f"roll proxies {number}/2"
        return StepPlan(name, "roll_batch", gate, {**settings, "group": "proxies"}, 60.0, share)

    whose = {"workloads": ["proxy"], "run": "r"}
    return (
        StepPlan("freeze", "freeze", Gate.NONE, whose, 30.0),
        StepPlan("helm", "helm_upgrade", Gate.NONE, {"run": "r", "revision": 0}, 60.0),
        batch(1, 1, Gate.STAND),
        batch(2, 2, Gate.BAKE),
        StepPlan("thaw", "thaw", Gate.SETTLE, whose, 60.0, 1.0),
    )


@dataclass
class Tier(SlowHelm):
    """One release: its history, its Deployment, and the Helm that acts on it.

    Args:
        clock: The scenario's.
        number: Its place in the playbook.
        known_good: The revision it begins with.
        acts: What Helm was asked to do, in all tiers.
    """

    number: int = 0
    known_good: int = 1
    acts: list[str] = field(default_factory=list)
    template: str = "old"
    new: int = 0
    moved_at: float = 0.0
    metadata: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=lambda: {"replicas": REPLICAS, "strategy": STRATEGY})

    def __post_init__(self) -> None:
        self.revisions = [Revision(self.known_good, ReleaseStatus.DEPLOYED, "gateway-1")]
        self.moved_at = self.clock.time

    @property
    def name(self) -> str:
        """Its release and namespace."""
        return NAMES[self.number]

    @property
    def is_old(self) -> bool:
        """Tell whether it is as it was before the run, and ours no longer."""
        return self._stands("old", 0)

    @property
    def is_new(self) -> bool:
        """Tell whether it is whole in the new version, and ours no longer."""
        return self._stands("new", REPLICAS)

    def _stands(self, template: str, new: int) -> bool:
        at_rest = {"replicas": REPLICAS, "strategy": STRATEGY}
        return (self.template, self.new, self.spec, self.metadata) == (template, new, at_rest, {})

    def settle(self) -> None:
        """Let Helm end what is over, and the controller replace what it would have by now."""
        super().settle()
        while self.clock.time - self.moved_at >= POD_SECONDS:
            self.moved_at += POD_SECONDS
            surge = int(self.spec["strategy"]["rollingUpdate"]["maxSurge"])
            if not self.spec.get("paused"):
                forth = surge if self.template == "new" else -surge
                self.new = max(0, min(REPLICAS, self.new + forth))

    def write(self, template: str, description: str) -> None:
        """Have Helm's write in the cluster."""
        status = ReleaseStatus.FAILED if self.fails and template == "new" else ReleaseStatus.DEPLOYED
        self.template, self.moved_at = template, self.clock.time
        number = self.revisions[-1].number + 1
        self.revisions.append(Revision(number, status, "gateway", description=description))

    def start_upgrade(self, chart: Any, *, labels: Mapping[str, str]) -> Process:
        assert str(chart.path) == f"{self.name}.tgz", "the chart of another tier"
        return self._begin("upgrade", "forward", lambda: self.write("new", "Upgrade complete"))

    def start_rollback(self, revision: int, *, as_: str) -> Process:
        return self._begin(f"rollback {revision}", as_, lambda: self.write("old", f"Rollback to {revision}"))

    def _begin(self, act: str, role: str, effect: Callable[[], None]) -> Process:
        self.acts.append(f"{self.name} {act}")
        return self.begin(role, effect)

    def fleet(self) -> Fleet:
        """Return its Deployment and pods."""
        self.settle()
        rolling = self.spec["strategy"]["rollingUpdate"]
        workload = Workload(
            Ref("apps/v1", "Deployment", self.name, "proxy"), "proxies", REPLICAS, REPLICAS, self.new,
            REPLICAS, bool(self.spec.get("paused")), 1, 1, rolling["maxSurge"], rolling["maxUnavailable"],
            min_ready=self.spec.get("minReadySeconds", 0),
            wanted_new=self.new, wanted_old=REPLICAS - self.new, template=self.template, tier=self.number,
        )  # fmt: skip
        return Fleet((workload,), tuple(self._pod(at, at < self.new) for at in range(REPLICAS)))

    def _pod(self, at: int, is_new: bool) -> Pod:
        side = Side.NEW if is_new else Side.OLD
        uid = f"{self.name}-{side}-{at}"
        return Pod(
            uid, self.name, uid, "10.0.0.1", "proxy", "proxies", side, True, False, 0, "", (),
            tier=self.number,
        )  # fmt: skip

    def measured(self) -> dict[str, Any]:
        """Return what the header says of it."""
        row = {
            "name": "proxy", "namespace": self.name, "group": "proxies", "replicas": REPLICAS,
            "template": "old", "old_hashes": [], "strategy": STRATEGY, "target_strategy": STRATEGY,
            "min_ready": 0, "target_min_ready": 0,
        }  # fmt: skip
        return {
            "release": self.name, "namespace": self.name, "from": "gateway-1", "to": "gateway-2",
            "known_good": self.known_good, "last_revision": self.known_good, "workloads": [row], "jobs": [],
            "chart": {"path": f"{self.name}.tgz", "name": "gateway", "version": "2", "digest": "d"},
            "apply_method": "ssa",
        }  # fmt: skip


@dataclass
class TieredKube:
    """The API over the Deployments of all tiers, by namespace."""

    tiers: tuple[Tier, ...]

    def _of(self, ref: Ref) -> Tier:
        return next(one for one in self.tiers if one.name == ref.namespace)

    def get(self, ref: Ref) -> Manifest | None:
        tier = self._of(ref)
        return {"metadata": {"name": "proxy", "annotations": dict(tier.metadata)}, "spec": dict(tier.spec)}

    def patch(self, ref: Ref, body: Any) -> Manifest:
        tier = self._of(ref)
        tier.settle()
        tier.moved_at = tier.clock.time
        tier.metadata = _merged(tier.metadata, body.get("metadata", {}).get("annotations", {}))
        tier.spec = _merged(tier.spec, body.get("spec", {}))
        if not tier.spec.get("minReadySeconds"):
            tier.spec.pop("minReadySeconds", None)  # the API stores no 0
        return {}

    def drop_ownership(self, ref: Ref) -> bool:
        return False


def _merged(one: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch."""
    found = dict(one)
    for key, value in patch.items():
        found[key] = _merged(found.get(key) or {}, value) if isinstance(value, dict) else value
    return {key: value for key, value in found.items() if value is not None}


@dataclass
class Counters:
    """What the proxies of the tier that is looked at count: a third of the requests each."""

    stage: TwoTiers
    name: str = "envoy_stats"
    interval_seconds: float = INTERVAL_SECONDS
    counts_requests: bool = True
    compares_pods: bool = True
    speaks_of_backends: bool = False

    def read(self, fleet: Fleet) -> Reading:
        assert {pod.tier for pod in fleet.pods} == {fleet.tier}, "two tiers are compared"
        assert len(fleet.pods) == len(fleet.others) == REPLICAS
        now = self.stage.clock.now()
        new, old = (600 * len(fleet.of_side(side)) for side in (Side.NEW, Side.OLD))
        failures = int(new * self.stage.errors(self.stage.tiers[fleet.tier]))
        counts = Counts(new, failures, old, 0, INTERVAL_SECONDS)
        return Reading(self.name, now, now, "script", window_seconds=INTERVAL_SECONDS, counts=counts)

    def close(self) -> None:
        pass


@dataclass
class TwoTiers:
    """A whole scenario.

    Args:
        errors: The share of requests that fail on the new pods of a tier.
    """

    errors: Callable[[Tier], float] = lambda tier: 0.0
    journal: FakeJournal = field(default_factory=FakeJournal)
    clock: FakeClock = field(default_factory=FakeClock)
    lease: FakeLease = field(default_factory=FakeLease)
    acts: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tiers = tuple(
            Tier(self.clock, number=at, known_good=good, acts=self.acts) for at, good in enumerate((4, 7))
        )

    def world(self) -> World:
        """Wire the engine's world, as a new process would."""
        nowhere, helms = cast(Any, None), cast(Any, self.tiers)
        kube = cast(Kube, TieredKube(self.tiers))
        return World(
            ports=Ports(self.clock, kube, helms[0], nowhere, nowhere, nowhere, tiers=helms),
            journal=self.journal,
            lease=self.lease,
            signals=(Counters(self),),
            fleet=self._fleet,
            step=lambda plan: plugins.find("steps", plan.kind).build(plan),
            preflight=lambda: (),
            differences=lambda tier: () if self.tiers[tier].is_old else (f"{NAMES[tier]} differs",),
            tell=self._see,
            interrupted=lambda: "",
        )

    def _fleet(self) -> Fleet:
        parts = [tier.fleet() for tier in self.tiers]
        return Fleet(
            tuple(one for part in parts for one in part.workloads),
            tuple(pod for part in parts for pod in part.pods),
        )

    def header(self) -> dict[str, Any]:
        """Return a header as a run writes it."""
        signals = {"envoy_stats": SignalPolicy(INTERVAL_SECONDS, weight=1.0, compares_pods=True)}
        policy = Policy(0.001, 0.001, 0.2, 0.05, 0.001, 9.0, 9.0, 20.0, 300.0, weighed(signals), 2)
        steps = in_one(dict.fromkeys(range(len(NAMES)), steps_of_one()), NAMES)
        return {
            "schema": SCHEMA,
            "rule": RULE,
            "policy": policy.to_body(),
            "steps": [{**asdict(step), "gate": step.gate.value} for step in steps],
            "measured": joint([tier.measured() for tier in self.tiers]),
        }

    def run(self) -> Run:
        """Run to the end, taking the run up again after every crash."""
        for _ in range(5):
            try:
                world = self.world()
                begun = bool(self.journal.lines)
                recorder = Recorder.reopen(world) if begun else Recorder.open(world, self.header())
                return Engine(recorder).drive()
            except Crash:
                self.clock.sleep(1.0)
        raise AssertionError("the run crashed more often than it was told to")

    def _see(self, run: Run, record: Record) -> None:
        assert self.clock.time < 1_000_000.0 + 3600, f"no end in sight: {run.phase} {run.reason}"
        inner, outer = self.tiers
        if not (outer.is_old or inner.is_new):
            self.out_of_order.append(f"{record.seq} {run.phase} {record.step}")
        if not self.seen or self.seen[-1] != run.phase.value:
            self.seen.append(run.phase.value)
