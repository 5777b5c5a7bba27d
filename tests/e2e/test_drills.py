"""Rehearsals of the demo, as an operator starts them: each drill ends as named and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from pathlib import Path

import pytest

from tests.e2e.canary_playbooks import rolling
from tests.e2e.rehearsing import (
    END_SECONDS,
    Ended,
    Operator,
    rehearsed,
    require_right,
    require_slack,
    told,
)
from upgrader.errors import ExitCode

pytestmark = [pytest.mark.lab, pytest.mark.timeout(420)]


def test_a_good_upgrade_loses_no_request_and_tells_no_secret(operator: Operator) -> None:
    """The key is in no command line while it lasts, and in no file and no word afterwards."""
    operator.key = f"s3cr3t-{uuid.uuid4().hex}"
    seen: set[str] = set()
    process = operator.begin("--output", "json")
    deadline = time.monotonic() + END_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        seen.update(operator.processes().values())
        time.sleep(0.5)
    out, said = process.communicate(timeout=30)

    ended = Ended(process.returncode, json.loads(out.splitlines()[-1]), said)
    require_right(ended, ExitCode.COMPLETED)
    assert ended.report["clients"]["failed"] == 0, told(ended)
    require_slack(ended, "roll proxies 2/2")
    assert any("upgrader.cli run" in command for command in seen)
    assert not [command for command in seen if operator.key in command]
    assert operator.key not in out + said
    files = [path for path in operator.home.rglob("*") if path.is_file()]
    assert any(path.name == "journal.jsonl" for path in files)
    assert not [path for path in files if operator.key.encode() in path.read_bytes()]
    assert operator.left() == []


def test_before_a_cloud_a_batch_is_replaced_when_the_cloud_has_let_its_pods_go(
    operator: Operator, tmp_path: Path
) -> None:
    """Google's API, imitated, is asked each 5 s: the slack is known to within that."""
    quick = {"limits": {"error_ratio": {"tolerate": "0.1%", "exclude": "90%"}}, "gate": {"stand": "2s"}}
    operator.playbook = rolling("gcp", tmp_path, bake="18s", **quick)

    ended = rehearsed(operator)

    require_right(ended, ExitCode.COMPLETED)
    assert ended.report["clients"]["failed"] == 0, told(ended)
    require_slack(ended, "roll proxies 2/2")
    assert operator.left() == []


def test_a_good_upgrade_loses_nothing_of_any_kind_of_traffic(operator: Operator) -> None:
    """Nor does the run take the end of a stream that moves on for a failure."""
    ended = rehearsed(operator, "--traffic", "http1,h2,grpc,websocket", "--rate", "800")

    require_right(ended, ExitCode.COMPLETED)
    traffic = ended.report["traffic"]
    assert {kind: account["failures"] for kind, account in traffic.items()} == {kind: {} for kind in traffic}
    assert all(account["sent"] > 1_000 for account in traffic.values()), told(ended)
    for kind in ("grpc", "websocket"):
        streams = traffic[kind]["streams"]
        assert streams["lost"] == {}, told(ended)
        assert streams["moved"] > 100, told(ended)
    assert ended.report["lost"] == 0
    assert [turn["phase"] for turn in ended.report["run"]["turns"]] == ["completed"], told(ended)
    assert operator.left() == []


def test_errors_are_braked_in_the_first_batch_and_counted_alike_by_all(operator: Operator) -> None:
    """Clients, front balancer, gateways and run agree on each failed request."""
    ended = rehearsed(operator, "--fault", "errors:20%")

    require_right(ended, ExitCode.ROLLED_BACK)
    run = ended.report["run"]
    turns = [turn["phase"] for turn in run["turns"]]
    assert turns[0] in ("holding", "rolling_back")
    assert [step["id"] for step in run["steps"]][-1] == "roll proxies 1/2"
    compared = {row["what"]: row["numbers"] for row in ended.report["accounts"]}
    failed = compared["failed requests on new pods, probes included"]
    assert failed["the run"] == failed["the gateways' access logs"] > 0
    assert ended.report["clients"]["failures"]["http_503"] > 0
    assert operator.left() == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("errors:100%", ExitCode.ROLLED_BACK),
        ("never-ready", ExitCode.ROLLED_BACK),
        ("crash-loop", ExitCode.ROLLED_BACK),
        ("no-listener", ExitCode.ROLLED_BACK),
        ("bad-xds", ExitCode.ROLLED_BACK),
        ("upstream-outage", ExitCode.COMPLETED),
        ("metrics-blind", ExitCode.PAUSED),
        ("runner-killed", ExitCode.COMPLETED),
    ],
)
def test_a_drill_ends_as_named(operator: Operator, fault: str, code: ExitCode) -> None:
    ended = rehearsed(operator, "--fault", fault)

    require_right(ended, code)
    assert operator.left() == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killing_the_rehearsal_ends_all_of_it(operator: Operator, how: signal.Signals) -> None:
    """In the middle of the run: room, traffic, balancer and the run itself are gone."""
    process = operator.begin("--output", "text")
    deadline = time.monotonic() + END_SECONDS
    while not any("upgrader.cli run" in each for each in operator.processes().values()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)

    os.killpg(process.pid, how)
    if how is signal.SIGINT:  # the first one is the run's: it brakes and pauses
        time.sleep(0.5)
        os.killpg(process.pid, how)
    process.communicate(timeout=60)

    left = operator.left()
    assert [each for each in left if how is not signal.SIGKILL or "rooms" not in each] == []


def test_ctrl_c_brakes_and_pauses_the_run_and_loses_no_request(operator: Operator) -> None:
    """As from a terminal, to the whole group: balancer and traffic go on until the run has paused."""
    process = operator.begin("--output", "json")
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if '"step.begun"' in line and "roll control_plane" in line:
            os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]

    ended = Ended(process.returncode, json.loads(lines[-1]), said)
    assert ended.code == ExitCode.PAUSED, told(ended)
    assert ended.report["run"]["phase"] == "paused"
    assert ended.report["accounts_agree"], told(ended)
    assert ended.report["clients"]["failed"] == 0, told(ended)
    assert operator.left() == []


def test_an_unknown_drill_starts_nothing(operator: Operator) -> None:
    process = operator.begin("--fault", "gremlins")
    _, said = process.communicate(timeout=60)

    assert process.returncode == ExitCode.USAGE
    assert "errors:1% to errors:100%" in said
    assert not (operator.home / "state").exists()


def test_another_cluster_is_refused_with_a_word(operator: Operator) -> None:
    process = operator.begin("--context", "kind-staging")
    _, said = process.communicate(timeout=60)

    assert process.returncode == ExitCode.REFUSED
    assert "in the lab alone" in said
