"""A Deployment with its controller, and Helm, as far as the steps of a rolling upgrade ask of them.

What they really do is tried on a real cluster; here a second passes when a test says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.steps.test_rolling_steps import REF, STRATEGY, new_pod
from upgrader.model.batches import pods_of
from upgrader.model.fleet import Fleet, Side, Workload
from upgrader.model.ports import Manifest, Process, Ref, ReleaseStatus, Revision
from upgrader.testing.fakes import FakeClock

REPLICAS = 4
HELM_SECONDS = 2.0


@dataclass
class PlayedDeployment:
    """The API server's one Deployment, old pods and new; a pod is Ready a second after it is made."""

    template: str = "old"
    paused: bool = False
    old: int = REPLICAS
    new: int = 0
    annotations: dict[str, Any] = field(default_factory=dict)
    strategy: dict[str, Any] = field(default_factory=lambda: dict(STRATEGY))
    min_ready: int = 0
    generation: int = 7
    observed: int = 7

    def __post_init__(self) -> None:
        self.ready = (self.old, self.new)

    def patch(self, ref: Ref, body: Any) -> Manifest:
        assert ref == REF
        for key, value in body.get("metadata", {}).get("annotations", {}).items():
            self.annotations[key] = value
            if value is None:
                del self.annotations[key]
        spec = body.get("spec", {})
        self.paused = bool(spec.get("paused", self.paused))
        self.strategy = self.strategy | spec.get("strategy", {})
        self.min_ready = spec.get("minReadySeconds", self.min_ready)
        self.generation += bool(spec)
        return self.get(ref)

    def get(self, ref: Ref) -> Manifest:
        spec: dict[str, Any] = {"replicas": REPLICAS, "strategy": self.strategy}
        spec |= {"minReadySeconds": self.min_ready} if self.min_ready else {}
        spec |= {"paused": True} if self.paused else {}
        return {"metadata": {"name": ref.name, "annotations": dict(self.annotations)}, "spec": spec}

    def drop_ownership(self, ref: Ref) -> bool:
        return True

    def delete(self, ref: Ref) -> None:
        """No Job of the release is there."""

    def advance(self) -> None:
        """Let the controller look once."""
        self.observed = self.generation
        self.ready = (min(self.old, REPLICAS), self.new)
        if self.paused:
            return
        counts = {"old": self.old, "new": self.new}
        newest, other = ("new", "old") if self.template == "new" else ("old", "new")
        rolling = self.strategy["rollingUpdate"]
        surge = pods_of(rolling["maxSurge"], REPLICAS, up=True)
        missing = pods_of(rolling["maxUnavailable"], REPLICAS, up=False)
        spare = max(0, sum(self.ready) - (REPLICAS - missing))
        room = REPLICAS + surge - self.old - self.new
        counts[newest] += max(0, min(room, REPLICAS - counts[newest]))
        counts[other] -= min(spare, counts[other])
        self.old, self.new = counts["old"], counts["new"]
        self.ready = (min(self.ready[0], self.old), min(self.ready[1], self.new))

    def fleet(self) -> Fleet:
        """Return what the watch shows."""
        rolling, total = self.strategy["rollingUpdate"], self.old + self.new
        updated = self.new if self.template == "new" else self.old
        workload = Workload(
            *(REF, "proxies", REPLICAS, total, updated, sum(self.ready), self.paused),
            *(self.generation, self.observed, rolling["maxSurge"], rolling["maxUnavailable"]),
            min_ready=self.min_ready,
            wanted_new=self.new,
            wanted_old=self.old,
            template=self.template,
        )
        pods = [new_pod(number, ready=number < self.ready[1]) for number in range(self.new)]
        return Fleet((workload,), tuple(pods))

    def new_pods(self) -> int:
        """Return how many of the pods are new."""
        return len(self.fleet().of_side(Side.NEW))


@dataclass
class PlayedHelm:
    """One release, and the Helm that writes it into the Deployment; it takes two seconds."""

    clock: FakeClock
    deployment: PlayedDeployment
    revisions: list[Revision] = field(default_factory=lambda: [Revision(4, ReleaseStatus.DEPLOYED, "c-1")])
    until: dict[str, float] = field(default_factory=dict)

    def history(self) -> tuple[Revision, ...]:
        self._settle()
        return tuple(self.revisions)

    def started(self, role: str) -> Process | None:
        return Process(1, 1, role) if role in self.until else None

    def running(self, process: Process) -> bool:
        self._settle()
        return self.clock.time < self.until[process.log]

    def output(self, process: Process) -> str:
        return ""

    def stop(self, process: Process) -> None:
        self.until[process.log] = self.clock.time
        self._end(ReleaseStatus.FAILED)

    def start_upgrade(self, chart: Any, *, labels: Mapping[str, str]) -> Process:
        return self._begin("forward", template="new", status=ReleaseStatus.PENDING_UPGRADE)

    def start_rollback(self, revision: int, *, as_: str) -> Process:
        said = f"Rollback to {revision}"
        return self._begin(as_, template="old", status=ReleaseStatus.PENDING_ROLLBACK, said=said)

    def _begin(self, role: str, *, template: str, status: ReleaseStatus, said: str = "") -> Process:
        self.until[role] = self.clock.time + HELM_SECONDS
        self.revisions.append(Revision(self.revisions[-1].number + 1, status, "c", description=said))
        self.deployment.template = template
        self.deployment.generation += 1
        return Process(1, 1, role)

    def _settle(self) -> None:
        if self.until and self.clock.time >= max(self.until.values()):
            self._end(ReleaseStatus.DEPLOYED)

    def _end(self, status: ReleaseStatus) -> None:
        last = self.revisions[-1]
        if last.status in (ReleaseStatus.PENDING_UPGRADE, ReleaseStatus.PENDING_ROLLBACK):
            self.revisions[-1] = Revision(last.number, status, last.chart, description=last.description)
