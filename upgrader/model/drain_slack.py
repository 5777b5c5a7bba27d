"""Does a pod end only when the balancer has let it go? Measured on each pod that ends. Pure.

The slack of a drain is the time from when the balancer let the pod go until the pod was gone. Both moments
are seen by looks that are an interval apart, so the slack is known within bounds; the lower one is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.health import Health
from upgrader.model.listing import listed
from upgrader.model.policy import LATE_READINGS
from upgrader.model.reading import Fact, Weight

_SENDS: Final = (Health.HEALTHY, Health.UNPROVEN)
_LETS_GO: Final = (Health.LEAVING, Health.FAILING, Health.ABSENT)
_IDLE: Final = {0.0: Side.NEW, 1.0: Side.OLD}
"""By the new version's share of the requests: the side that gets none."""
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Drained:
    """Pods that ended, as one balancer saw them.

    Args:
        pods: How many.
        slack_seconds: The least slack of one of them, at its lower bound: below 0 it is not proven that the
            balancer had let it go. ``None`` where no look came near enough to tell.
        drain_seconds: The longest time from when one was first seen terminating until it was gone.
    """

    pods: float
    slack_seconds: float | None
    drain_seconds: float

    def __add__(self, more: Drained) -> Drained:
        slacks = [one for one in (self.slack_seconds, more.slack_seconds) if one is not None]
        longest = max(self.drain_seconds, more.drain_seconds)
        return Drained(self.pods + more.pods, min(slacks, default=None), longest)

    def to_values(self) -> dict[str, float]:
        """Return it as a reading's values hold it."""
        slack = {} if self.slack_seconds is None else {"drain_slack_seconds": self.slack_seconds}
        return {"drained_pods": self.pods, "drain_seconds": self.drain_seconds, **slack}

    @classmethod
    def of_values(cls, values: Mapping[str, float]) -> Drained | None:
        """Read it off a reading's values; ``None`` where no pod ended."""
        if "drained_pods" not in values:
            return None
        return cls(
            values["drained_pods"], values.get("drain_slack_seconds"), values.get("drain_seconds", 0.0)
        )


@dataclass(frozen=True, slots=True)
class _Course:
    """What the looks have shown of one pod that the balancer once called healthy; times are monotonic.

    Args:
        pod: As last seen.
        there_at: When it was last there.
        sent_at: When the balancer was last seen to send to it.
        ending_at: When it was first seen terminating.
        let_go_at: When the balancer was first seen to send nothing more, the pod terminating or gone.
        gone_at: When it was first seen to be gone.
    """

    pod: Pod
    there_at: float
    sent_at: float
    ending_at: float | None = None
    let_go_at: float | None = None
    gone_at: float | None = None

    @property
    def is_ending(self) -> bool:
        return self.pod.terminating or self.gone_at is not None

    @property
    def is_over(self) -> bool:
        return self.gone_at is not None and self.let_go_at is not None

    def there(self, pod: Pod, said: Health, *, now: float, age_seconds: float) -> _Course:
        """Return it after a look at which the pod was there."""
        ending = _first(self.ending_at, now) if pod.terminating else None
        there = max(self.there_at, now - age_seconds)
        seen = replace(self, pod=pod, there_at=there, ending_at=ending, gone_at=None)
        return seen._said(said, now)

    def gone(self, said: Health, *, now: float) -> _Course:
        """Return it after a look at which the pod was gone."""
        return replace(self, gone_at=_first(self.gone_at, now))._said(said, now)

    def _said(self, said: Health, now: float) -> _Course:
        if said in _SENDS:
            return replace(self, sent_at=now, let_go_at=None)
        if said in _LETS_GO and self.is_ending:
            return replace(self, let_go_at=_first(self.let_go_at, now))
        return self

    def missing_seconds(self, now: float) -> float:
        """Return how much longer it should have served, as far as is known."""
        return (now if self.let_go_at is None else self.let_go_at) - self.there_at

    def drained(self, *, tolerance_seconds: float) -> Drained:
        """Return what a pod that is gone and let go of comes to.

        Args:
            tolerance_seconds: Bounds on both sides of 0 that are farther apart tell nothing.
        """
        assert self.gone_at is not None
        assert self.let_go_at is not None
        least, most = self.there_at - self.let_go_at, self.gone_at - self.sent_at
        known = least >= 0 or most - least <= tolerance_seconds
        drain = self.gone_at - _first(self.ending_at, self.gone_at)
        return Drained(1.0, least if known else None, drain)


class Departures:
    """Follows, look by look, the pods that end: when the balancer let each go, and when it was gone.

    Followed are pods that the balancer called healthy once, in the fleet's whole. Not followed is the side
    that is given none of the traffic: there is nothing to let go of. A look that failed is no look.

    Args:
        balancer: What it is called in sentences.
    """

    def __init__(self, balancer: str) -> None:
        self._balancer = balancer
        self._known: Mapping[str, _Course] = {}
        self._early: dict[str, tuple[Pod, float]] = {}
        self._drained: Drained | None = None
        self._new_ratio: float | None = None
        self._looked_at = -math.inf
        self._interval = math.inf

    def take(self) -> dict[str, float]:
        """Return the values of the pods that ended since the last call; nothing where none did."""
        taken, self._drained = self._drained, None
        return {} if taken is None else taken.to_values()

    def look(self, fleet: Fleet, health: Mapping[str, Health], *, now: float) -> tuple[Fact, ...]:
        """Look once; return what a gate waits for, and for the rest of the process what ended too early.

        Args:
            fleet: The gateway as it was before the balancer was asked.
            health: Of each IP that is listed.
            now: Monotonic seconds.
        """
        self._new_ratio = self._new_ratio if fleet.new_ratio is None else fleet.new_ratio
        self._interval = min(self._interval, now - self._looked_at)
        self._looked_at = now
        idle = None if self._new_ratio is None else _IDLE.get(self._new_ratio)
        there = {pod.uid: pod for pod in fleet.everywhere if pod.side is not idle}
        followed = {uid: one for uid, one in self._known.items() if one.pod.side is not idle}
        self._early = {uid: early for uid, early in self._early.items() if uid not in there}
        in_use = {pod.address for pod in fleet.everywhere}
        gone = [one for uid, one in followed.items() if uid not in there]
        left = [self._left(one, None if one.pod.address in in_use else health, now) for one in gone]
        seen = [
            self._seen(pod, health.get(pod.address, Health.ABSENT), now=now, age_seconds=fleet.age_seconds)
            for pod in there.values()
        ]
        self._known = {one.pod.uid: one for one in (*seen, *left) if one is not None}
        return (*self._ended_early(), *self._not_let_go(now))

    def _seen(self, pod: Pod, said: Health, *, now: float, age_seconds: float) -> _Course | None:
        """Follow a pod that is there, from when the balancer first calls it healthy."""
        course = self._known.get(pod.uid)
        if course is None and said is Health.HEALTHY:
            course = _Course(pod, there_at=now - age_seconds, sent_at=now)
        return course and course.there(pod, said, now=now, age_seconds=age_seconds)

    def _left(self, course: _Course, health: Mapping[str, Health] | None, now: float) -> _Course | None:
        """Follow a pod that is gone until it is let go of.

        Args:
            course: What is known of it.
            health: What the balancer said; ``None`` where the pod's IP is in use again: what is said of it
                is said of another pod.
            now: Monotonic seconds.
        """
        if health is None and course.let_go_at is None:
            return None
        said = (health or {}).get(course.pod.address, Health.ABSENT)
        uid, is_certain = course.pod.uid, course.gone_at is not None and said is Health.HEALTHY
        course = course.gone(said, now=now)
        if is_certain or uid in self._early:
            self._early[uid] = (course.pod, course.missing_seconds(now))
        if not course.is_over:
            return course
        drained = course.drained(tolerance_seconds=2 * LATE_READINGS * self._interval)
        self._drained = drained if self._drained is None else self._drained + drained
        return None

    def _ended_early(self) -> tuple[Fact, ...]:
        """Say which pods ended too early: a hold for old ones, for the next batch would fare no better."""
        if not self._early:
            return ()
        pods = [pod for pod, _ in self._early.values()]
        seconds = math.ceil(max(missing for _, missing in self._early.values()))
        text = (
            f"{self._balancer} still called {_names(pods)} healthy after {_it(pods)} had ended: requests "
            f"that it sent there are lost; remedy: preStop must be longer by {seconds} s"
        )
        is_old = any(pod.side is Side.OLD for pod in pods)
        return (Fact(Weight.HOLD if is_old else Weight.NOTE, "ended-before-let-go", text),)

    def _not_let_go(self, now: float) -> tuple[Fact, ...]:
        """Say which old pods end that the balancer, at this look, still sends to."""
        courses = (one for one in self._known.values() if one.is_ending and one.sent_at == now)
        pods = [one.pod for one in courses if one.pod.side is Side.OLD]
        text = f"{self._balancer} has not let go of {_names(pods)} yet, which {_end(pods)}"
        return (Fact(Weight.WAIT, "not-let-go", text),) if pods else ()


def _first(before: float | None, now: float) -> float:
    return now if before is None else before


def _names(pods: Sequence[Pod]) -> str:
    return listed([pod.name for pod in pods], _NAMED)


def _it(pods: Sequence[Pod]) -> str:
    return "it" if len(pods) == 1 else "they"


def _end(pods: Sequence[Pod]) -> str:
    return "ends" if len(pods) == 1 else "end"
