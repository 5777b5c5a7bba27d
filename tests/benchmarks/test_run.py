"""What the exact batches cost: a run without its gates, by a bare `helm upgrade` that waits.

Twenty proxies each time. Helm gets its fast settings: with its own, its waiting takes a minute to notice a
rollout of five seconds. It replaces ten pods at once and gives up a quarter of the capacity; the run replaces
one, one more, eight, nine and the last, and gives up none.
"""

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.gateway import CHARTS, NEW, Gateway
from upgrader.lab.room import Room

pytestmark = pytest.mark.benchmark

ROUNDS = 3
BATCHES = {"kind": "rolling", "batches": [1, "10%", "50%", "100%"], "ready_within": "60s"}
FAST = ("--wait", "--timeout", "120s", "--qps", "1000", "--burst-limit", "1000")


def installed(room: Room, folder: Path) -> Gateway:
    name = f"bench-{uuid.uuid4().hex[:6]}"
    gateway = Gateway(room, name, folder / name)
    gateway.folder.mkdir()
    gateway.install(proxy={"replicas": 20, "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
    gateway.write(strategy=BATCHES)
    return gateway


def removed(gateway: Gateway) -> None:
    """Delete it and wait until its pods are gone: they would cost the next one time."""
    gateway.room.run(["kubectl", "delete", "namespace", gateway.name], timeout_seconds=120)


def bare(gateway: Gateway) -> float:
    """Return the seconds of `helm upgrade` with its own waiting, until every old pod is gone."""
    files = ["--values", str(gateway.folder / "values.yaml"), "--values", "-"]
    chart = [gateway.name, str(CHARTS / f"gateway-{NEW}"), "--namespace", gateway.name]
    began = time.perf_counter()
    gateway.room.run(
        ["helm", "upgrade", *chart, *files, *FAST],
        input=json.dumps({"apiKey": gateway.key}),
        timeout_seconds=130,
    )
    return time.perf_counter() - began


def ran(gateway: Gateway) -> tuple[float, float]:
    """Return the seconds of a run, and how many of them its gates stood."""
    began = time.perf_counter()
    ended = gateway.run()
    took = time.perf_counter() - began
    assert ended.code == 0, ended.said[-3000:]
    at: dict[str, dict[str, float]] = {name: {} for name in ("applied", "advanced", "finished")}
    for one in gateway.records():
        if one["kind"] == "event" and one["body"]["event"] in at:
            at[one["body"]["event"]][str(one["step"])] = float(one["at"])
    ends = at["advanced"] | at["finished"]
    return took, sum(ends[step] - began_at for step, began_at in at["applied"].items())


@pytest.mark.timeout(900)
def test_a_run_without_its_gates_by_bare_helm(
    tmp_path: Path, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, ours, gates, ratios = [], [], [], []
    with Room.up(f"bench-{uuid.uuid4().hex[:8]}") as room:
        for _ in range(ROUNDS):
            gateway = installed(room, tmp_path)
            theirs.append(bare(gateway))
            removed(gateway)
            gateway = installed(room, tmp_path)
            took, stood = ran(gateway)
            ours.append(took - stood)
            gates.append(stood)
            ratios.append(ours[-1] / theirs[-1])
            removed(gateway)

    figures = {
        "helm_upgrade_seconds": [round(one, 1) for one in theirs],
        "run_without_gates_seconds": [round(one, 1) for one in ours],
        "gates_seconds": [round(one, 1) for one in gates],
        "run_by_helm_upgrade": round(statistics.median(ratios), 2),
    }
    for name, value in figures.items():
        record_property(name, value)
    with capsys.disabled():
        print(f"\n{figures}")
