"""How long balancers take to notice a leaving pod."""

from __future__ import annotations

from typing import Any

import pytest

from upgrader.model.detection import ENDPOINTS_SECONDS, detection
from upgrader.model.playbook import Playbook
from upgrader.testing.surveys import playbook_data

ENVOY = {"kind": "envoy", "admin": "http://lb:9901", "cluster": "gateway"}


@pytest.mark.parametrize(
    ("balancers", "seconds", "asks_pods"),
    [
        pytest.param([], ENDPOINTS_SECONDS, False, id="none"),
        pytest.param([ENVOY], ENDPOINTS_SECONDS, False, id="without-health-check"),
        pytest.param(
            [ENVOY | {"health_check": {"interval": "500ms", "unhealthy": 3}}], 1.5, True, id="envoy"
        ),
        pytest.param(
            [{"kind": "front", "health_check": {"interval": "5s", "unhealthy": 2}}], 10, True, id="plugin"
        ),
        pytest.param(
            [
                ENVOY | {"health_check": {"interval": "1s", "unhealthy": 2}},
                {"kind": "front", "health_check": {"interval": "10s", "unhealthy": 3}},
            ],
            30,
            True,
            id="the-slowest-counts",
        ),
    ],
)
def test_a_pod_must_serve_until_the_slowest_balancer_noticed(
    balancers: list[dict[str, Any]], seconds: float, asks_pods: bool
) -> None:
    data = playbook_data() | {"balancers": balancers}

    found = detection(Playbook.read(data, plugins={"balancers": ["front"]}))

    assert (found.seconds, found.asks_pods) == (seconds, asks_pods)
