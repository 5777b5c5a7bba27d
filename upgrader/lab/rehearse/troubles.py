"""What trouble a lab cloud's API is put into in mid-run, and whether traffic stayed where it was. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from upgrader.errors import Refused
from upgrader.lab.clouds.front_view import BLUE, GREEN, Fault
from upgrader.model.azure_settings import AzureBalancer
from upgrader.model.playbook import Playbook
from upgrader.model.strategy import Canary

SIGMAS: Final = 5.0
"""A share that was never moved is seen farther off than that once in a million rehearsals."""


class Meets(StrEnum):
    """What of the run a trouble meets: a run that does nothing of the kind never sees it."""

    CALLS = "whatever the balancer is asked"
    MOVES = "the moves of traffic after the first share"
    HEALTH = "the health of backends"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One trouble; it begins when the first batch, or the first share of the traffic, is in place.

    Args:
        fault: What the cloud is made to do.
        meets: What it meets.
        on: Which calls: ``all``, ``read`` or ``write``.
        for_seconds: How long it lasts; 0 for good.
        fault_seconds: The fault's own number: how long a call hangs, how late everything is.
    """

    fault: Fault
    meets: Meets = Meets.CALLS
    on: str = "all"
    for_seconds: float = 0.0
    fault_seconds: float = 60.0

    @property
    def body(self) -> str:
        """Return what the cloud's control path is sent."""
        return json.dumps({"fault": self.fault.value, "on": self.on, "seconds": self.fault_seconds})

    @property
    def lasts(self) -> str:
        """Say how long it lasts."""
        return f"for {self.for_seconds:.0f} s" if self.for_seconds else "for good"


@dataclass(frozen=True, slots=True)
class Met:
    """What became of the traffic while the trouble lasted.

    Args:
        count: How often the fault met a call, a change or a question.
        set_ratio: The share of requests that the new version had when it began, 0-1.
        new_requests: What the front sent to the new version's place since, up to the run's end.
        requests: What it sent to both.
    """

    count: int
    set_ratio: float
    new_requests: int = 0
    requests: int = 0

    @property
    def has_stayed(self) -> bool:
        """Tell whether the share is still what it was, as far as chance lets one tell."""
        spread = math.sqrt(self.requests * self.set_ratio * (1 - self.set_ratio))
        return abs(self.new_requests - self.requests * self.set_ratio) <= SIGMAS * spread + 1

    @property
    def sentence(self) -> str:
        """Say it in a line."""
        share = self.new_requests / self.requests if self.requests else 0.0
        return (
            f"the fault met {self.count:,} calls, changes or questions; since it began the new version got "
            f"{self.new_requests:,} of {self.requests:,} requests: {share:.2%}; it had {self.set_ratio:.2%}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "met": self.count,
            "set_ratio": self.set_ratio,
            "new_requests": self.new_requests,
            "requests": self.requests,
            "share_stayed": self.has_stayed,
        }


def met(before: Mapping[str, int], after: Mapping[str, int], *, count: int, set_ratio: float) -> Met:
    """Return what became of the traffic, by the front's counters of requests sent to each place.

    Args:
        before: As the trouble began.
        after: When the run had ended.
        count: How often the fault met somebody.
        set_ratio: The new version's share as it began, 0-1.
    """
    sent = {place: after.get(place, 0) - before.get(place, 0) for place in (BLUE, GREEN)}
    return Met(count, set_ratio, sent[GREEN], sum(sent.values()))


def require_trouble(name: str, trouble: Trouble, playbook: Playbook) -> None:
    """Refuse a trouble that the run would not see.

    Args:
        name: The drill's.
        trouble: What it does.
        playbook: What is rehearsed.

    Raises:
        Refused: with the reason.
    """
    cloud = playbook.lab.cloud
    if not cloud:
        raise Refused(
            f"the drill {name} puts a cloud's API into trouble, and lab.cloud of the playbook names none",
            remedy="name gcp, aws or azure there, with its balancer: docs/balancers.md has the entries",
        )
    if trouble.meets is Meets.MOVES and not isinstance(playbook.strategy, Canary):
        raise Refused(
            f"the drill {name} meets {trouble.meets}, and the strategy {playbook.strategy.kind} makes none",
            remedy="rehearse it with a canary",
        )
    if trouble.meets is Meets.HEALTH and not any(_tells_health(one) for one in playbook.balancers):
        raise Refused(
            f"the drill {name} meets {trouble.meets}, and the API of Azure's Front Door tells none",
            remedy="add an entry of service application_gateway, or rehearse it with gcp or aws",
        )


def _tells_health(balancer: object) -> bool:
    return not (isinstance(balancer, AzureBalancer) and balancer.service == "front_door")
