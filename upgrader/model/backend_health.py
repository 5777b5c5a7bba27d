"""Does a balancer take new pods in? One rule for every balancer, whatever it calls its states. Pure.

What counts is the balancer's own word on each backend: readiness in Kubernetes is not that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from upgrader.model.drain_slack import Departures
from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.health import Health
from upgrader.model.reading import Fact, Weight

__all__ = ["LOOKS_TO_BELIEVE", "Health", "Intake", "counted", "worst"]

LOOKS_TO_BELIEVE: Final = 3
"""So many looks in a row without a healthy new backend are a fact; fewer may be one failed check."""
UNKNOWN: Final = "backend-unknown"
"""The rule of the doubt that `Intake.facts` tells when a balancer does not know how backends are."""
WORDS: Final = ("unknown-health-word", "target-words")
"""The rules of the notes that tell which words of its own it has for them."""


_FROM_GOOD_TO_BAD = (
    *(Health.HEALTHY, Health.UNPROVEN, Health.LEAVING, Health.UNKNOWN),
    *(Health.FAILING, Health.ABSENT),
)


def worst(healths: Iterable[Health]) -> Health:
    """Return the worst of what is said of one pod's ports; absent when nothing is."""
    return max(healths, key=_FROM_GOOD_TO_BAD.index, default=Health.ABSENT)


class Intake:
    """Follows, look by look, whether a balancer takes new pods in, and whether it lets ended ones go in time.

    Args:
        balancer: What it is called in sentences.
        settle_seconds: How long after Ready a pod may take to be healthy there before that is a fact, >= 0.
    """

    def __init__(self, balancer: str, *, settle_seconds: float) -> None:
        self._balancer = balancer
        self._settle = settle_seconds
        self._workloads: frozenset[tuple[int, str]] = frozenset()
        self._ready_since: dict[str, float] = {}
        self._without = 0
        self._unknown = 0
        self._fleet = Fleet((), ())
        self._departures = Departures(balancer)

    @property
    def knows_any(self) -> bool:
        """Tell whether a pod of the gateway was ever listed."""
        return bool(self._workloads)

    def serving(self, fleet: Fleet, listed: Collection[str]) -> tuple[Pod, ...]:
        """Return the pods that should take traffic there: Ready ones of a workload that it lists or listed.

        A balancer stands in front of one tier whichever is being upgraded, so the pods of all are looked at.

        Args:
            fleet: The gateway.
            listed: IPs the balancer lists.
        """
        self._fleet, pods = fleet, fleet.everywhere
        self._workloads |= {(pod.tier, pod.workload) for pod in pods if pod.address in listed}
        mine = (pod for pod in pods if (pod.tier, pod.workload) in self._workloads)
        return tuple(pod for pod in mine if _takes_traffic(pod))

    def facts(self, pods: Sequence[Pod], health: Mapping[str, Health], *, now: float) -> tuple[Fact, ...]:
        """Say so when no new pod is taken in though each had its time, or when the balancer does not know.

        A pod's time runs from when we first saw it Ready: the operator's clock may differ from the cluster's.
        Call it once for each answer of the balancer, and not for one that was told before.

        Args:
            pods: What `serving` returned.
            health: Of each IP that is listed; what was asked after the fleet was looked at.
            now: Monotonic seconds.
        """
        let_go = self._departures.look(self._fleet, health, now=now)
        return (*self._taken_in(pods, health, now), *let_go)

    def values(self, pods: Sequence[Pod], health: Mapping[str, Health]) -> dict[str, float]:
        """Return what every balancer's reading carries; call it after `facts`, once a reading.

        Args:
            pods: What `serving` returned.
            health: Of each IP that is listed.
        """
        return counted(pods, health) | self._departures.take()

    def _taken_in(self, pods: Sequence[Pod], health: Mapping[str, Health], now: float) -> tuple[Fact, ...]:
        self._ready_since = {pod.uid: self._ready_since.get(pod.uid, now) for pod in pods}
        of = {pod: health.get(pod.address, Health.ABSENT) for pod in pods}
        new = {pod: said for pod, said in of.items() if pod.side is Side.NEW}
        settled = {pod: said for pod, said in new.items() if now - self._ready_since[pod.uid] >= self._settle}
        unknown = [pod for pod, said in of.items() if said is Health.UNKNOWN]
        self._unknown = self._unknown + 1 if unknown else 0
        bad = all(said in (Health.FAILING, Health.ABSENT) for said in settled.values())
        is_bad = bool(settled) and bad and Health.HEALTHY not in new.values()
        self._without = self._without + 1 if is_bad else 0
        if self._without >= LOOKS_TO_BELIEVE:
            return (self._none_taken_in(of, settled),)
        if self._unknown >= LOOKS_TO_BELIEVE:
            known = f"{len(unknown)} of {len(pods)} pods, {unknown[0].name} among them"
            text = f"{self._balancer} does not know the health of {known}"
            return (Fact(Weight.HOLD, "backend-unknown", text),)
        return ()

    def _none_taken_in(self, of: Mapping[Pod, Health], settled: Mapping[Pod, Health]) -> Fact:
        pod, said = next(iter(settled.items()))
        text = (
            f"{self._balancer} takes in none of {len(settled)} new pods that were Ready for more than "
            f"{self._settle:g} s; {pod.name} ({pod.address}) is {said.value} there"
        )
        if any(one.side is Side.OLD and said is Health.HEALTHY for one, said in of.items()):
            return Fact(Weight.BREACH, "no-healthy-new-backend", text)
        return Fact(Weight.HOLD, "no-healthy-backend", f"{text}; nor is any old pod healthy there")


def counted(pods: Sequence[Pod], health: Mapping[str, Health]) -> dict[str, float]:
    """Return the healthy pods and all, of each side."""
    values: dict[str, float] = {}
    for side in Side:
        of_side = [health.get(pod.address, Health.ABSENT) for pod in pods if pod.side is side]
        values[f"{side.value}_healthy"] = float(of_side.count(Health.HEALTHY))
        values[f"{side.value}_total"] = float(len(of_side))
    return values


def _takes_traffic(pod: Pod) -> bool:
    return pod.ready and not pod.terminating
