"""Watch the pods themselves: what Kubernetes says of old and new ones, in facts that need no statistics.

A fact compares nothing, so the pods of all tiers are looked at: those of a tier that is done, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from upgrader.model.fleet import Fleet, Pod, Side, Workload
from upgrader.model.plugins import Signal
from upgrader.model.ports import Clock, Ports, Ref
from upgrader.model.reading import Fact, Reading, Weight

STALE_SECONDS: Final = 10.0
"""A watch that has been out of date for longer says nothing about now."""
CRASHES: Final = 2
"""So many restarts of a new pod are a crash loop, before the kubelet calls it one."""
LOOKS_TO_BELIEVE: Final = 2
"""A registry may fail once: an image error counts when it is seen in this many looks in a row."""
PENDING_SECONDS: Final = 30.0
"""A pod that has no address after this long waits for a node, a volume or an image."""
CRASH_LOOP: Final = "CrashLoopBackOff"
CANNOT_START: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Why a container waits and will not start by itself.

Source: kubernetes v1.37.2, read 2026-11-24: ``pkg/kubelet/images/types.go``,
``pkg/kubelet/kuberuntime/kuberuntime_container.go``, ``pkg/kubelet/container/sync_result.go``.
"""
_NAMED = 3


class Rollout:
    """The signal; see the module's text."""

    name = "rollout"
    interval_seconds = 1.0
    counts_requests = False
    compares_pods = False
    speaks_of_backends = False

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._cannot_start: Mapping[str, int] = {}
        self._restarts: Mapping[str, int] = {}
        self._replicas: dict[Ref, int] = {}

    def read(self, fleet: Fleet) -> Reading:
        """Look once at what the watch holds."""
        now = self._clock.now()
        if fleet.age_seconds > STALE_SECONDS:
            why = f"no word from the API server for {fleet.age_seconds:.0f} s"
            return Reading(
                signal=self.name,
                read_at=now,
                data_time=now - fleet.age_seconds,
                source="watch",
                complete=False,
                error=f"{why}: {fleet.error}" if fleet.error else why,
            )
        self._cannot_start = {
            pod.uid: self._cannot_start.get(pod.uid, 0) + 1
            for pod in fleet.everywhere
            if pod.waiting in CANNOT_START
        }
        self._restarts = {pod.uid: self._restarts.get(pod.uid, pod.restarts) for pod in fleet.everywhere}
        facts = tuple(fact for fact in self._facts(fleet, now) if fact is not None)
        return Reading(
            signal=self.name,
            read_at=now,
            data_time=now - fleet.age_seconds,
            source="watch",
            facts=facts,
            values=_values(fleet),
        )

    def close(self) -> None:
        """Do nothing: the watch is not ours."""

    def _facts(self, fleet: Fleet, now: float) -> Iterable[Fact | None]:
        pods = [pod for pod in fleet.everywhere if not pod.terminating]
        new = [pod for pod in pods if pod.side is Side.NEW]
        old = [pod for pod in pods if pod.side is Side.OLD]
        yield _fact(Weight.BREACH, "crash-loop", new, _crashes)
        yield _fact(Weight.BREACH, "cannot-start", new, self._why_not_started)
        yield _fact(Weight.HOLD, "pending", new, lambda pod: _pending(pod, now))
        yield _fact(Weight.HOLD, "old-not-ready", old, _not_ready)
        yield _fact(Weight.NOTE, "old-restarted", old, self._restarted)
        yield from self._scaled(fleet.workloads)
        yield _secondary(fleet.workloads)
        yield _overdue(fleet.workloads)

    def _scaled(self, workloads: Iterable[Workload]) -> Iterable[Fact]:
        """Say whose number of pods was changed since the first look; batches are shares of the new one."""
        for one in workloads:
            first = self._replicas.setdefault(one.ref, one.replicas)
            if one.replicas != first:
                text = f"{one.ref.name} was scaled from {first} to {one.replicas} in mid-run"
                yield Fact(Weight.NOTE, "scaled", text)

    def _why_not_started(self, pod: Pod) -> str:
        looks = self._cannot_start.get(pod.uid, 0)
        return f"{pod.waiting} ({', '.join(pod.images)})" if looks >= LOOKS_TO_BELIEVE else ""

    def _restarted(self, pod: Pod) -> str:
        first = self._restarts[pod.uid]
        return f"restarts {first} → {pod.restarts} since first seen" if pod.restarts > first else ""


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the signal; it has no settings."""
    return Rollout(clock=ports.clock)


def _fact(weight: Weight, rule: str, pods: Sequence[Pod], say: Callable[[Pod], str]) -> Fact | None:
    said = [(pod, text) for pod in pods if (text := say(pod))]
    if not said:
        return None
    named = "; ".join(f"{pod.name}: {text}" for pod, text in said[:_NAMED])
    more = f"; and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return Fact(weight, rule, f"{len(said)} of {len(pods)} {pods[0].side.value} pods: {named}{more}")


def _crashes(pod: Pod) -> str:
    if pod.waiting == CRASH_LOOP:
        return f"{CRASH_LOOP}, {pod.restarts} restarts"
    return f"{pod.restarts} restarts" if pod.restarts >= CRASHES else ""


def _pending(pod: Pod, now: float) -> str:
    seconds = now - _utc(pod.created_at) if pod.created_at and not pod.address else 0.0
    return f"no address for {seconds:.0f} s" if seconds >= PENDING_SECONDS else ""


def _not_ready(pod: Pod) -> str:
    return "" if pod.ready else f"not Ready{', ' + pod.waiting if pod.waiting else ''}"


def _secondary(workloads: Iterable[Workload]) -> Fact | None:
    """Say which workloads roll that no chart holds: a controller makes them, and later than Helm."""
    rolling = [one for one in workloads if not one.group and not _is_settled(one)]
    if not rolling:
        return None
    named = "; ".join(f"{one.ref.name}: {one.updated} of {one.replicas} updated" for one in rolling)
    return Fact(Weight.NOTE, "secondary-rollout", f"a controller replaces pods of its own: {named}")


def _overdue(workloads: Iterable[Workload]) -> Fact | None:
    late = [one.ref.name for one in workloads if one.progress_deadline_exceeded and not _is_settled(one)]
    if not late:
        return None
    return Fact(Weight.HOLD, "progress-deadline", f"ProgressDeadlineExceeded: {', '.join(late)}")


def _is_settled(one: Workload) -> bool:
    has_seen = one.observed >= one.generation
    return has_seen and one.updated >= one.replicas and one.total <= one.replicas


def _values(fleet: Fleet) -> dict[str, float]:
    values: dict[str, float] = {}
    for side in Side:
        pods = [pod for pod in fleet.of_side(side) if not pod.terminating]
        values[f"{side.value}_ready"] = float(sum(pod.ready for pod in pods))
        values[f"{side.value}_total"] = float(len(pods))
    for group in dict.fromkeys(one.group for one in fleet.workloads):
        mine = [one for one in fleet.workloads if one.group == group]
        values[f"{group} wanted_new"] = float(sum(one.wanted_new for one in mine))
        values[f"{group} wanted"] = float(sum(one.wanted_new + one.wanted_old for one in mine))
    values["terminating"] = float(sum(pod.terminating for pod in fleet.pods))
    return values


def _utc(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
