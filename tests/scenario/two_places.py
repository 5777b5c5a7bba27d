"""A gateway in two places under the real engine and steps: what Helm, pods and balancer do is played.

The places, the clock and the journal outlive every crash of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from tests.scenario.slow_helm import SlowHelm
from upgrader import plugins
from upgrader.engine import Engine
from upgrader.errors import BalancerUnwilling
from upgrader.flow.recorder import Recorder
from upgrader.model.evidence import Counts
from upgrader.model.fleet import Fleet, Pod, Side, Workload
from upgrader.model.plugins import Gate, Split, StepPlan
from upgrader.model.policy import Policy, SignalPolicy, weighed
from upgrader.model.ports import Kube, Manifest, Ports, Process, Ref, ReleaseStatus, Revision
from upgrader.model.reading import Reading
from upgrader.model.record import RULE, SCHEMA, Record
from upgrader.model.run import Run
from upgrader.model.world import World
from upgrader.testing.fakes import Crash, FakeClock, FakeJournal, FakeLease

RENDERED, LIVE = 2, 3
"""Pods by the chart, and of the old version before the run: somebody had scaled it."""
START_SECONDS = 3.0
"""How long a pod takes to turn ready after Helm."""
HOLD_SECONDS = 20.0
REQUESTS = 1_000


def shift(number: int, ratio: float, gate: Gate) -> StepPlan:
    """Return one rung as the strategy plans it."""
    settings = {"new_ratio": ratio}
    return StepPlan(f"shift {number}/3", "shift_traffic", gate, settings, HOLD_SECONDS, ratio, patient=True)


STEPS = (
    StepPlan("install", "helm_install", Gate.SETTLE, {"run": "r"}, 60.0),
    shift(1, 0.1, Gate.STAND),
    shift(2, 0.5, Gate.STAND),
    shift(3, 1.0, Gate.BAKE),
    StepPlan("retire", "retire", Gate.SETTLE, {}, 60.0, 1.0, patient=True),
)


@dataclass
class Place(SlowHelm):
    """One of the two, and the Helm that acts on it.

    Args:
        namespace: Its name.
        side: Old or new in this run.
    """

    namespace: str = ""
    side: Side = Side.OLD
    whole_at: float = float("inf")
    replicas: int = RENDERED
    asked: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Tell whether its pods are ready."""
        return self.clock.time >= self.whole_at

    def start_install(self, chart: Any, *, labels: Mapping[str, str]) -> Process:
        status = ReleaseStatus.FAILED if self.fails else ReleaseStatus.DEPLOYED
        return self._begin("install", "forward", lambda: self._stand(status))

    def start_rollback(self, revision: int, *, as_: str) -> Process:
        return self._begin(f"rollback {revision}", as_, lambda: self._stand(ReleaseStatus.DEPLOYED))

    def start_uninstall(self, *, as_: str, keep_history: bool) -> Process:
        return self._begin("uninstall", as_, lambda: self._fall(keep_history))

    def _begin(self, act: str, role: str, effect: Callable[[], None]) -> Process:
        self.asked.append(act)
        return self.begin(role, effect)

    def _stand(self, status: ReleaseStatus) -> None:
        self.revisions.append(Revision(len(self.revisions) + 1, status, "gateway"))
        self.scale(RENDERED)

    def scale(self, replicas: int) -> None:
        """Have so many pods; those that are missing take their time."""
        self.replicas, self.whole_at = replicas, self.clock.time + START_SECONDS

    def _fall(self, keep_history: bool) -> None:
        self.whole_at = float("inf")
        if keep_history:
            last = self.revisions.pop()
            self.revisions.append(Revision(last.number, ReleaseStatus.UNINSTALLED, last.chart))
        else:
            self.revisions.clear()

    def fleet(self) -> Fleet:
        """Return its one Deployment and pod, as far as they are there."""
        self.settle()
        if self.whole_at == float("inf"):
            return Fleet((), ())
        ready, count = int(self.is_whole), self.replicas
        ref = Ref("apps/v1", "Deployment", self.namespace, "proxy")
        workload = Workload(ref, "proxies", count, count, count, count * ready, False, 1, 1, "25%", "25%")
        pod = Pod(
            f"{self.namespace}-1", self.namespace, self.namespace, "10.0.0.1", "proxy", "proxies",
            self.side, bool(ready), False, 0, "", (),
        )  # fmt: skip
        return Fleet((workload,), (pod,))


@dataclass
class Front:
    """The balancer: it does what it is told, unless its `trouble` says otherwise."""

    clock: FakeClock
    lag_seconds: float = 0.0
    told: float = 0.0
    moves: list[float] = field(default_factory=list)
    asked: int = 0
    name: str = "front"
    finest_ratio: float = 0.001
    delay_seconds: float = 0.0
    trouble: Callable[[float], str] = lambda seconds: ""
    _due: list[tuple[float, float]] = field(default_factory=list)

    @property
    def green(self) -> float:
        """The share it really gives to green: that of the last move whose time has come."""
        return next((one for at, one in reversed(self._due) if at <= self.clock.time), 0.0)

    def split(self) -> Split:
        why = self.trouble(self.clock.time - 1_000_000.0)
        return Split(None, "timed out") if why == "silent" else Split(self.told)

    def move(self, green_ratio: float) -> None:
        self.asked += 1
        why = self.trouble(self.clock.time - 1_000_000.0)
        if why in ("throttled", "silent", "denied"):
            raise BalancerUnwilling(f"the balancer said: {why}", remedy="ask for the right")
        if why == "lies":
            return
        self.told = green_ratio
        if why != "pretends":
            self._due.append((self.clock.time + self.lag_seconds, green_ratio))
            self.moves.append(green_ratio)

    def by_hand(self, green_ratio: float) -> str:
        return "by hand"


@dataclass
class NamespaceKube:
    """Holds the new namespace as long as nobody deletes it, and scales the old version.

    Args:
        old: The old place.
    """

    old: Place
    there: bool = True

    def get(self, ref: Ref) -> Manifest | None:
        return {"kind": "Namespace"} if self.there else None

    def delete(self, ref: Ref) -> None:
        self.there = False

    def patch(self, ref: Ref, body: Any) -> Manifest:
        assert ref == Ref("apps/v1", "Deployment", "gw", "proxy")
        self.old.scale(int(body["spec"]["replicas"]))
        return {}


@dataclass
class Counters:
    """What the proxies count: the balancer's shares, and a share of failures on the new side.

    The first look of a process counts nothing: a counter has grown only since another look.
    """

    stage: TwoPlaces
    name: str = "envoy_stats"
    interval_seconds: float = 1.0
    counts_requests: bool = True
    compares_pods: bool = True
    speaks_of_backends: bool = False
    looked: bool = False

    def read(self, fleet: Fleet) -> Reading:
        now, ratio = self.stage.clock.now(), self.stage.front.green
        if not self.looked:
            self.looked = True
            values = {"new_requests": 0.0, "old_requests": 0.0, "green_ratio": self.stage.front.told}
            return Reading(self.name, now, now, "script", values=values)
        new, old = REQUESTS * ratio, REQUESTS * (1 - ratio)
        failures = new * self.stage.errors(now - 1_000_000.0)
        counts = Counts(int(new), int(failures), int(old), 0, 1.0)
        values = {"new_requests": new, "old_requests": old, "green_ratio": self.stage.front.told}
        return Reading(self.name, now, now, "script", window_seconds=1.0, counts=counts, values=values)

    def close(self) -> None:
        pass


@dataclass
class TwoPlaces:
    """A whole scenario.

    Args:
        errors: The share of requests that fail on the new version, by the scenario's seconds.
        aborts: Why the operator asks to go back while a process that crashed is away; empty if he does not.
        away_seconds: How soon after a crash the run is taken up.
    """

    errors: Callable[[float], float] = lambda seconds: 0.0
    aborts: str = ""
    away_seconds: float = 3.0
    journal: FakeJournal = field(default_factory=FakeJournal)
    clock: FakeClock = field(default_factory=FakeClock)
    lease: FakeLease = field(default_factory=FakeLease)
    seen: list[str] = field(default_factory=list)
    unserved: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = [Revision(7, ReleaseStatus.DEPLOYED, "gateway-1")]
        self.old = Place(self.clock, known, namespace="gw", side=Side.OLD, whole_at=0.0, replicas=LIVE)
        self.new = Place(self.clock, namespace="gw-green", side=Side.NEW)
        self.front = Front(self.clock)
        self.kube = NamespaceKube(self.old)

    def world(self) -> World:
        """Wire the engine's world, as a new process would."""
        nowhere = cast(Any, None)
        ports = Ports(
            clock=self.clock, kube=cast(Kube, self.kube), helm=cast(Any, self.old), http=nowhere,
            sweep=nowhere, prober=nowhere, beside=cast(Any, self.new), traffic=self.front,
        )  # fmt: skip
        return World(
            ports=ports,
            journal=self.journal,
            lease=self.lease,
            signals=(Counters(self),),
            fleet=self.fleet,
            step=lambda plan: plugins.find("steps", plan.kind).build(plan),
            preflight=lambda: (),
            differences=lambda tier: () if self.old.is_whole else ("the old version is not whole",),
            tell=self._see,
            interrupted=lambda: "",
        )

    def fleet(self) -> Fleet:
        """Return the gateway in both places."""
        old, new = self.old.fleet(), self.new.fleet()
        return Fleet((*old.workloads, *new.workloads), (*old.pods, *new.pods))

    def header(self) -> dict[str, Any]:
        """Return a header as a run writes it."""
        signals = {"envoy_stats": SignalPolicy(1.0, weight=1.0, compares_pods=True)}
        policy = Policy(0.001, 0.001, 0.2, 0.05, 0.001, 9.0, 9.0, HOLD_SECONDS, 300.0, weighed(signals))
        measured = {
            "live": "blue", "known_good": 7, "namespace": "gw", "release": "edge",
            "workloads": [
                {"name": "proxy", "namespace": "gw", "group": "proxies", "old_hashes": [], "replicas": LIVE},
            ],
            "chart": {"path": "c.tgz", "name": "gateway", "version": "2", "digest": "d"},
            "beside": {
                "release": "edge-green", "namespace": "gw-green", "existed": False, "last_revision": 0,
                "groups": {"proxy": "proxies"},
            },
        }  # fmt: skip
        steps = [{name: getattr(one, name) for name in StepPlan.__slots__} for one in STEPS]
        steps = [one | {"gate": one["gate"].value} for one in steps]
        return {
            "schema": SCHEMA, "rule": RULE, "policy": policy.to_body(), "steps": steps, "measured": measured,
        }  # fmt: skip

    def run(self) -> Run:
        """Run to the end, taking the run up again after every crash."""
        for _ in range(5):
            try:
                world = self.world()
                begun = bool(self.journal.lines)
                recorder = Recorder.reopen(world) if begun else Recorder.open(world, self.header())
                return Engine(recorder).drive()
            except Crash:
                self.lease.abort = self.aborts
                self.clock.sleep(self.away_seconds)
        raise AssertionError("the run crashed more often than it was told to")

    def _see(self, run: Run, record: Record) -> None:
        assert self.clock.time < 1_000_000.0 + 3600, f"no end in sight: {run.phase} {run.reason}"
        self.require_served(f"{record.seq} {run.phase} {record.step}")
        if not self.seen or self.seen[-1] != run.phase.value:
            self.seen.append(run.phase.value)

    def require_served(self, when: str) -> None:
        """Note it when a side that gets traffic has no pod that could answer."""
        parts = ((self.old, 1 - self.front.green), (self.new, self.front.green))
        self.unserved += [f"{when}: {one.namespace}" for one, share in parts if share and not one.is_whole]
