"""A cloud's API gets into trouble in the middle of a canary: it is waited for or held, and nothing is lost.

Each drill meets the run in the gate after its first share: further on and back are both wrong then.
Troubles that stay are in a file of their own: each file has a worker to itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.canary_playbooks import playbook
from tests.e2e.rehearsing import Ended, Operator, rehearsed, require_right, told
from tests.e2e.test_canaries import QUICK, SHARES, shares
from upgrader.errors import ExitCode

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

QUICKLY = {**QUICK, "gate": {"stand": "4s"}}
"""A gate stands longer than it takes to reach into the room and begin the trouble."""
PASSING = {
    ("gcp", "balancer-throttled"): "is throttled (HTTP 403 rateLimitExceeded",
    ("aws", "balancer-times-out"): "AWS did not answer elasticloadbalancing:",
    ("azure", "balancer-lags"): "",
}
"""What is said while it lasts; a change that comes late may be waited for without a word."""


def rehearse_in_trouble(operator: Operator, folder: Path, cloud: str, fault: str, **changes: Any) -> Ended:
    operator.playbook = playbook(cloud, folder, **{**QUICKLY, **changes})
    return rehearsed(operator, "--fault", fault)


def require_met(ended: Ended) -> None:
    """Require that the fault met the run, and that no client noticed anything."""
    assert ended.report["trouble"]["met"] > 0, told(ended)
    assert ended.report["clients"]["failed"] == 0, told(ended)
    assert ended.report["clients"]["sent"] > 5_000, told(ended)


@pytest.mark.parametrize(("cloud", "fault"), PASSING, ids=map(" ".join, PASSING))
def test_a_trouble_that_passes_is_waited_for(
    operator: Operator, tmp_path: Path, cloud: str, fault: str
) -> None:
    ended = rehearse_in_trouble(operator, tmp_path, cloud, fault)

    require_right(ended, ExitCode.COMPLETED)
    require_met(ended)
    run = ended.report["run"]
    assert shares(run) == pytest.approx(SHARES, abs=0.001)
    assert PASSING[cloud, fault] in " ".join(turn["reason"] for turn in run["turns"]), told(ended)
    assert "rolling_back" not in [turn["phase"] for turn in run["turns"]]
    assert operator.left() == []


def test_a_trouble_without_a_cloud_starts_nothing(operator: Operator) -> None:
    process = operator.begin("--fault", "balancer-lies")
    _, said = process.communicate(timeout=60)

    assert process.returncode == ExitCode.REFUSED
    assert "lab.cloud of the playbook names none" in said
