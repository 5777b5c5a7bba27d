"""Does traffic follow the balancer's word? A share that is told as set, and not had, is no share. Pure.

A balancer may accept a change, tell it as set, and move nothing, or move it late. Then a rung would be gated
on the traffic of the one before. What the pods themselves count tells the two apart.
"""

from __future__ import annotations

import math
from typing import Final

from upgrader.model.evidence import Counts
from upgrader.model.plugins import StepPlan

SURE: Final = math.log(100)
"""Log odds at which traffic is said not to follow: 100 to 1 for the rung before; chosen by us."""
BOUND: Final = math.log(1000)
"""What was seen for long is no more certain than that, so that a change which comes late shows at once."""


def shares(before: StepPlan | None, step: StepPlan) -> tuple[float, float] | None:
    """Return the new version's share of the requests before and after a step, each 0-1 and neither 0 nor 1.

    Args:
        before: The step before it; ``None`` for the first.
        step: The step.

    Returns:
        ``None`` where there is nothing to tell apart. At the ends a side gets nothing, which needs no odds:
        the step itself waits for that, and a new version without any request is silent.
    """
    was, wanted = (float(one.settings.get("new_ratio", 0.0)) if one else 0.0 for one in (before, step))
    return (was, wanted) if 0 < was < wanted < 1 else None


def weighed(odds: float, counts: Counts, *, was: float, wanted: float) -> float:
    """Return the log odds, within `BOUND`, that the share is the wanted one, after one more look.

    Args:
        odds: Before it.
        counts: What it counted on all pods of both sides.
        was: The new version's share before the step, 0-1.
        wanted: Its share after it, 0-1, another.
    """
    new, old = math.log(wanted / was), math.log((1 - wanted) / (1 - was))
    return max(-BOUND, min(BOUND, odds + counts.new_requests * new + counts.old_requests * old))
