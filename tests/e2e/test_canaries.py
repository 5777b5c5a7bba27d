"""Canaries of the demo before every balancer, as an operator rehearses them: no request fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.canary_playbooks import entries, playbook, with_a_new_kind
from tests.e2e.rehearsing import Operator, rehearsed, require_right, told
from upgrader.errors import ExitCode

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

RUNGS: dict[str, Any] = {"strategy": {"rungs": ["10%", "100%"]}, "gate": {"stand": "2s"}, "bake": "4s"}
QUICK = {**RUNGS, "limits": {"error_ratio": {"tolerate": "0.1%", "exclude": "50%"}}}
"""Gates of seconds; what they may let pass is not what these tests are about."""
SHARES = [0.1, 1.0, 1.0]
"""Of the new version after each rung, and when the old one is retired; each balancer gives its nearest."""


def shares(run: dict[str, object]) -> list[float]:
    """Return the new version's share of the requests after each step that gave it one."""
    steps = run["steps"]
    assert isinstance(steps, list)
    return [step["new_share_ratio"] for step in steps if step["new_share_ratio"]]


@pytest.mark.parametrize("name", entries())
def test_a_canary_takes_over_without_a_failed_request(operator: Operator, tmp_path: Path, name: str) -> None:
    operator.playbook = playbook(name, tmp_path, **QUICK)

    ended = rehearsed(operator)

    require_right(ended, ExitCode.COMPLETED)
    assert ended.report["clients"]["failed"] == 0, told(ended)
    assert shares(ended.report["run"]) == pytest.approx(SHARES, abs=0.001)
    compared = [row["what"] for row in ended.report["accounts"]]
    assert "requests at the front door, probes included" in compared
    assert operator.left() == []


def test_the_next_upgrade_goes_the_other_way(operator: Operator, tmp_path: Path) -> None:
    operator.playbook = playbook("envoy", tmp_path, **QUICK)

    ended = rehearsed(operator, "--back")

    require_right(ended, ExitCode.COMPLETED)
    assert ended.report["clients"]["failed"] == 0, told(ended)
    assert ended.report["back"]["exit_code"] == ExitCode.COMPLETED, told(ended)
    assert [shares(run) for run in (ended.report["run"], ended.report["back"]["run"])] == [SHARES, SHARES]
    assert operator.left() == []


def test_errors_of_the_new_version_are_found_at_the_first_rung(operator: Operator, tmp_path: Path) -> None:
    """All who count agree on each failed request. Nobody asks the new version before it has traffic."""
    changes = {**RUNGS, "strategy": {**RUNGS["strategy"], "direct": {}}}
    operator.playbook = playbook("envoy", tmp_path, **changes)

    ended = rehearsed(operator, "--fault", "errors:20%")

    require_right(ended, ExitCode.ROLLED_BACK)
    assert shares(ended.report["run"]) == SHARES[:1]
    compared = {row["what"]: row["numbers"] for row in ended.report["accounts"]}
    failed = compared["failed requests on new pods, probes included"]
    assert failed["the run"] == failed["the gateways' access logs"] > 0
    assert ended.report["clients"]["failures"]["http_503"] > 0
    assert operator.left() == []


def test_a_canary_that_brings_a_kind_is_resumed_when_its_process_was_killed(
    operator: Operator, tmp_path: Path
) -> None:
    """The API server serves the kind only once the step `crds` is done; the templates hold one of it."""
    operator.playbook = with_a_new_kind(playbook("envoy", tmp_path, **QUICK), tmp_path)

    ended = rehearsed(operator, "--fault", "runner-killed")

    require_right(ended, ExitCode.COMPLETED)
    assert ended.report["clients"]["failed"] == 0, told(ended)
    assert [step["id"] for step in ended.report["run"]["steps"]][:2] == ["crds", "install"]
    assert operator.left() == []
