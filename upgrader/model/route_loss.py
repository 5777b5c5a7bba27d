"""Notice that old proxies lost routes: requests they answered before, they now answer 404 themselves. Pure.

A control plane that loses a route breaks old proxies without any refusing anything, and new ones may look
well. An upstream that fails cannot cause it (``no_route`` is counted before one is chosen), so it needs no
comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from upgrader.model.proxy_stats import Requests
from upgrader.model.reading import Fact, Weight

LOOKS_TO_BELIEVE: Final = 2
MOST_LOST_RATIO: Final = 0.5
"""From this share of requests on it is a breach."""
SOME_LOST_RATIO: Final = 0.05
"""From this share more than usual on it is worth a stop; an application may have taken its route away."""
LEAST_REQUESTS: Final = 20
"""Requests needed to speak of a share: before, and in the looks that are judged."""
NO_REQUESTS: Final = Requests()


@dataclass(frozen=True, slots=True)
class RouteLoss:
    """The old side's requests without a route; immutable. Keep what `look` returns.

    Args:
        usual: All requests of looks that were as usual.
        lately: Requests of the looks in a row that were not.
        looks: How many those are.
    """

    usual: Requests = NO_REQUESTS
    lately: Requests = NO_REQUESTS
    looks: int = 0

    def look(self, old: Requests) -> RouteLoss:
        """Add what old proxies counted since the last look; a look without requests changes nothing."""
        if not old.requests:
            return self
        if self.usual.requests < LEAST_REQUESTS or not self._is_unusual(old):
            return RouteLoss(self.usual + old)
        return replace(self, lately=self.lately + old, looks=self.looks + 1)

    def facts(self) -> tuple[Fact, ...]:
        """Say what stands."""
        if self.looks < LOOKS_TO_BELIEVE or self.lately.requests < LEAST_REQUESTS:
            return ()
        now, before = _ratio(self.lately), _ratio(self.usual)
        text = (
            f"old proxies find no route for {now:.0%} of their requests ({self.lately.no_route} of "
            f"{self.lately.requests}; before {before:.2%}): the control plane took routes away (no_route)"
        )
        weight = Weight.BREACH if now - before >= MOST_LOST_RATIO else Weight.HOLD
        return (Fact(weight, "routes-lost", text),)

    def _is_unusual(self, old: Requests) -> bool:
        return _ratio(old) - _ratio(self.usual) >= SOME_LOST_RATIO


def _ratio(requests: Requests) -> float:
    return requests.no_route / requests.requests if requests.requests else 0.0
