"""A survey of a good gateway with a place beside it, for the tests of strategies that install there."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from upgrader.model.plugins import Beside, Color
from upgrader.testing.surveys import SurveyBuilder

GREEN = {"name": "gateway-green", "namespace": "gateway-green"}
"""The other place, as a strategy's ``green`` names it."""


def two_places(strategy: dict[str, Any], *, finest_ratio: float = 0.001) -> SurveyBuilder:
    """Return the builder of a survey with `GREEN` beside the release; it is empty, and blue is live.

    Args:
        strategy: The playbook's strategy; ``green`` is filled in.
        finest_ratio: The finest share that its balancer gives, 0-1.
    """
    builder = SurveyBuilder()
    builder.playbook["strategy"] = {"green": GREEN} | deepcopy(strategy)
    builder.playbook["balancers"] = [{"kind": "front", "green": "gateways-green"}]
    builder.beside = Beside(
        live=Color.BLUE,
        release=GREEN["name"],
        namespace=GREEN["namespace"],
        exists=True,
        history=(),
        groups={"control": "control_plane", "gateway": "proxies"},
        finest_ratio=finest_ratio,
        delay_seconds=1.0,
        back="by hand",
    )
    for one in builder.new:
        if one["metadata"].get("namespace"):
            one["metadata"]["namespace"] = GREEN["namespace"]
    return builder
