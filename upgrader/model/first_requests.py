"""Has each new pod answered a request? A pod that only is healthy has proven little. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from upgrader.model.fleet import Pod, Side
from upgrader.model.listing import listed
from upgrader.model.reading import Fact, Weight

_NAMED: Final = 3


class FirstRequests:
    """Follows, look by look, which new pods have answered a request since they turned Ready.

    A pod of a workload that had no request at all is due none: nothing can be told of it by waiting. Where a
    balancer parts traffic between two places, whose workloads are others, their group stands for them.

    Args:
        source: What counts, as sentences call it.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._served: frozenset[str] = frozenset()
        self._busy: frozenset[tuple[int, str]] = frozenset()

    def look(
        self, pods: Iterable[Pod], grown: Mapping[str, int], *, new_ratio: float | None
    ) -> tuple[Fact, ...]:
        """Add what was counted, and name the new pods that a gate waits for.

        Args:
            pods: The data-plane pods that could be read.
            grown: Uid → requests since the last look.
            new_ratio: The new version's share of the requests, 0-1; ``None`` where no balancer sets one. At 0
                no request is due, and what comes all the same (a probe of ours) is none of the users'.
        """
        seen = tuple(pods)
        places = {pod.uid: (pod.tier, _place(pod, by_group=new_ratio is not None)) for pod in seen}
        self._busy |= {places[pod.uid] for pod in seen if grown.get(pod.uid)}
        serving = [pod for pod in seen if pod.side is Side.NEW and pod.ready and not pod.terminating]
        if new_ratio == 0:
            self._served = frozenset()
            return ()
        unready = {pod.uid for pod in seen if not pod.ready}
        self._served = (self._served | {pod.uid for pod in serving if grown.get(pod.uid)}) - unready
        silent = [
            pod.name for pod in serving if pod.uid not in self._served and places[pod.uid] in self._busy
        ]
        if not silent:
            return ()
        named = listed(silent, _NAMED)
        text = f"{self._source}: no traffic yet on {len(silent)} of {len(serving)} new pods: {named}"
        return (Fact(Weight.WAIT, "no-traffic-yet", text),)


def _place(pod: Pod, *, by_group: bool) -> str:
    return pod.group if by_group and pod.group else pod.workload
