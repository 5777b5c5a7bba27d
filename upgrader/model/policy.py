"""The numbers a run is judged by; fixed in the journal's header, so that a verdict can be re-derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from upgrader.model.evidence import CeilingParameters, MeterParameters

BRAKE_EVIDENCE = 10.0
"""Evidence at which nothing more is replaced (design, section 7)."""
CALM_SECONDS = 30.0
"""How long the evidence must have been below `BRAKE_EVIDENCE` before a brake is let go."""
LATE_READINGS = 3
"""A signal is blind when its last good reading is older than this many intervals."""
PARTIAL_RATIO = 0.1
"""Share of unread pods from which a reading is partial (statistics, section 3)."""
DUE_REQUESTS = 50.0
"""Requests that were due before silence is called "no traffic" (statistics, section 3)."""
DUE_SECONDS = 2.0
"""A balancer checks each second or slower: at much traffic 50 requests are due before it has looked."""
ERRORS_WEIGHT, REST_WEIGHT = 0.7, 0.3
"""Shares of the false-alarm budget: pods compared with pods, and all other counting signals together."""


@dataclass(frozen=True, slots=True)
class SignalPolicy:
    """How one signal is judged.

    Args:
        interval_seconds: How often it is read, > 0.
        weight: Its share of the false-alarm budget, 0-1; 0 for one that counts no requests.
        compares_pods: Its new side is new pods and its old side old pods; False for probes through and past.
        speaks_of_backends: It is a balancer.
    """

    interval_seconds: float
    weight: float = 0.0
    compares_pods: bool = False
    speaks_of_backends: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything `decide` needs besides the readings.

    Args:
        false_alarm: Chance that a good release is rolled back, whole run, 0-1 (alpha).
        tolerate: Extra share of failed requests that is accepted, 0-1 (eps).
        exclude: The fault each gate must rule out, as a share of failed requests, 0-1.
        ceiling: The share of failed requests that is too many with no old pod left to compare with, 0-1.
        old_ref: The old version's usual share of failures, 0-1.
        stand_seconds: Least length of a gate.
        bake_seconds: Least length of the bake.
        hold_seconds: How long a hold may last before the run is paused.
        plan_seconds: Planned length of the run, of several tiers of each; spreads the meter's stakes.
        signals: By name.
        tiers: How many releases are upgraded one after the other, >= 1. Each has meters of its own and an
            equal share of the budget: what good seconds of one tier cost is not missing in the next.
    """

    false_alarm: float
    tolerate: float
    exclude: float
    ceiling: float
    old_ref: float
    stand_seconds: float
    bake_seconds: float
    hold_seconds: float
    plan_seconds: float
    signals: Mapping[str, SignalPolicy] = field(default_factory=dict)
    tiers: int = 1

    def meter(self, signal: str) -> MeterParameters:
        """Return the meter's parameters for a counting signal: its share of the one budget."""
        return MeterParameters(
            alpha=self.false_alarm * self.signals[signal].weight / self.tiers,
            tolerate=self.tolerate,
            old_ref=self.old_ref,
            plan_seconds=self.plan_seconds,
        )

    def ceiling_meter(self, signal: str) -> CeilingParameters:
        """Return the parameters of a signal's ceiling meter, which has the same share of the budget."""
        return CeilingParameters(
            alpha=self.false_alarm * self.signals[signal].weight / self.tiers,
            ceiling=self.ceiling,
            plan_seconds=self.plan_seconds,
        )

    @property
    def counting(self) -> tuple[str, ...]:
        """Return the names of the signals that have a meter."""
        return tuple(name for name, one in self.signals.items() if one.weight > 0)

    def to_body(self) -> dict[str, Any]:
        """Return it as the journal's header holds it."""
        return asdict(self)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Policy:
        """Read it back."""
        signals = {name: SignalPolicy(**one) for name, one in body["signals"].items()}
        return cls(**{**body, "signals": signals})


def weighed(signals: Mapping[str, SignalPolicy]) -> dict[str, SignalPolicy]:
    """Spread the budget over the counting signals (those given with a weight above 0).

    Pods compared with pods share `ERRORS_WEIGHT`, the others `REST_WEIGHT`; where one kind is missing the
    other has it all. The weights add up to 1, so that the mean of the evidences is evidence too.
    """
    pods = [name for name, one in signals.items() if one.weight > 0 and one.compares_pods]
    rest = [name for name, one in signals.items() if one.weight > 0 and not one.compares_pods]
    first = ERRORS_WEIGHT if pods and rest else 1.0
    shares = dict.fromkeys(pods, first / max(1, len(pods)))
    shares |= dict.fromkeys(rest, (1 - first if pods else 1.0) / max(1, len(rest)))
    return {
        name: SignalPolicy(
            one.interval_seconds, shares.get(name, 0.0), one.compares_pods, one.speaks_of_backends
        )
        for name, one in signals.items()
    }
