"""A cloud's API gets into trouble in the middle of a canary, and stays so: the run pauses where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.rehearsing import Operator, require_right, told
from tests.e2e.test_cloud_troubles import rehearse_in_trouble, require_met
from upgrader.errors import ExitCode

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

THREE = {"rungs": ["10%", "50%", "100%"]}
"""Between two shares either side gets some traffic, whatever a balancer tells."""
STAYING: dict[tuple[str, str], tuple[str, ...]] = {
    ("gcp", "balancer-forbidden"): ("HTTP 403 forbidden", "Required 'compute.", "grant compute."),
    ("gcp", "balancer-lies"): ("traffic does not follow the balancer", "50 % is set"),
    ("aws", "balancer-unknown-state"): ("resting",),
    ("azure", "balancer-quota"): ("QuotaExceeded", "ask for a higher quota"),
}
"""What the run says when it pauses: what happened, in the provider's word, and what to ask for."""


@pytest.mark.parametrize(("cloud", "fault"), STAYING, ids=map(" ".join, STAYING))
def test_a_trouble_that_stays_pauses_the_run_where_it_is(
    operator: Operator, tmp_path: Path, cloud: str, fault: str
) -> None:
    changes = {"strategy": THREE} if fault == "balancer-lies" else {}

    ended = rehearse_in_trouble(operator, tmp_path, cloud, fault, **changes)

    require_right(ended, ExitCode.PAUSED)
    require_met(ended)
    run, trouble = ended.report["run"], ended.report["trouble"]
    assert [turn["phase"] for turn in run["turns"]] == ["holding", "paused"], told(ended)
    for word in STAYING[cloud, fault]:
        assert word in run["reason"], told(ended)
    assert trouble["set_ratio"] == pytest.approx(0.1, abs=0.001)
    assert trouble["requests"] > 2_000
    assert trouble["new_requests"] / trouble["requests"] == pytest.approx(0.1, abs=0.03)
    assert trouble["share_stayed"]
    assert operator.left() == []
