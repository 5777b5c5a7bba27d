"""How long a balancer takes to notice that a pod leaves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from upgrader.model.playbook import Playbook
from upgrader.model.units import parse_duration

ENDPOINTS_SECONDS = 10.0
"""Where no balancer's health check is declared, only endpoints matter: kube-proxy follows in 10 s."""


@dataclass(frozen=True, slots=True)
class Detection:
    """How a leaving pod is noticed.

    Args:
        seconds: After how long the last balancer has stopped sending to it.
        words: Where the number comes from.
        asks_pods: By health checks of its own, so that a pod that stays healthy keeps getting traffic.
    """

    seconds: float
    words: str
    asks_pods: bool


def detection(playbook: Playbook) -> Detection:
    """Return the slowest balancer's interval by unhealthy threshold, or the default for endpoints alone."""
    found = [one for balancer in playbook.balancers if (one := _asked(balancer.kind, balancer.settings))]
    default = Detection(
        ENDPOINTS_SECONDS, "endpoints only; no balancer with a health_check is declared", False
    )
    return max(found, key=lambda one: one.seconds, default=default)


def _asked(kind: str, settings: Mapping[str, Any]) -> Detection | None:
    check = settings.get("health_check")
    if check is None:
        return None
    values = check if isinstance(check, Mapping) else dict(check)
    interval = values["interval"]
    every = interval if isinstance(interval, timedelta) else parse_duration(interval)
    times = int(values["unhealthy"])
    words = f"balancer {kind}: {times} checks {every.total_seconds():g} s apart"
    return Detection(times * every.total_seconds(), words, asks_pods=True)
