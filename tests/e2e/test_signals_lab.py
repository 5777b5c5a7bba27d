"""Proxies reached on a real Kubernetes: straight, through the API server, and by forwards to loopback."""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from upgrader.lab.room import Room

pytestmark = pytest.mark.lab

SCRIPT = """
import json, subprocess, sys, time
from upgrader.adapters.kube import KubeApi
from upgrader.adapters.sweep import sweep_by
from upgrader.model.ports import Endpoint
from upgrader.signals.envoy_stats import PATH

kube, said = KubeApi.connect(), []

def endpoints(app):
    pods = kube.list("v1", "Pod", namespace="default", selector=f"app={app}")
    pods = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    named = [(pod["metadata"], pod["status"]["podIP"]) for pod in pods]
    return [Endpoint(meta["uid"], "default", meta["name"], address, 19000) for meta, address in named]

def restarts(app):
    pods = kube.list("v1", "Pod", namespace="default", selector=f"app={app}")
    return sum(pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods)

def look(reach, app, replace=False):
    sweep, pods = sweep_by(reach, kube), endpoints(app)
    answers = [sweep.read(pods, PATH, deadline_seconds=5) for _ in range(3)]
    if replace:  # the process behind the forward goes, and comes again
        subprocess.run(["kubectl", "exec", pods[0].pod, "--", "kill", "1"], check=False, capture_output=True)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            answers.append(sweep.read(pods, PATH, deadline_seconds=5))
            if restarts(app) and all(a.status == 200 for a in answers[-1].values()):
                break
            time.sleep(0.5)
    said.append({"asked": reach, "app": app, "reach": sweep.reach, "restarts": restarts(app),
                 "good": [sum(a.status == 200 and b"server.uptime" in a.body for a in one.values())
                          for one in answers],
                 "errors": sorted({a.error for one in answers for a in one.values() if a.error})})
    sweep.close()

for reach in ("direct", "apiserver", "portforward", "auto"):
    for app in ("open", "shut"):
        look(reach, app)
look("portforward", "shut", replace=True)
json.dump(said, sys.stdout)
"""


def envoy(admin: str) -> str:
    return f"admin: {{address: {{socket_address: {{address: {admin}, port_value: 19000}}}}}}"


def deployment(name: str, admin: str) -> dict[str, Any]:
    container = {
        "name": "envoy",
        "image": "envoyproxy/envoy:v1",
        "command": ["envoy"],
        "args": ["--config-yaml", envoy(admin), "--concurrency", "1", "--disable-hot-restart", "-l", "error"],
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


Rows = dict[tuple[str, str, int], dict[str, Any]]


@pytest.fixture(scope="module")
def said() -> Rows:
    """Everything the script saw, by way, kind of pod and turn."""
    objects = [deployment("open", "0.0.0.0"), deployment("shut", "127.0.0.1")]
    with Room.up(f"test-{uuid.uuid4().hex[:8]}") as room:
        room.run(
            ["kubectl", "apply", "-f", "-"],
            input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
        )
        for name in ("open", "shut"):
            room.run(["kubectl", "rollout", "status", f"deployment/{name}", "--timeout=60s"])
        python = {"PYTHONPATH": str(Path(__file__).parents[2])}
        done = room.run([sys.executable, "-c", SCRIPT], environment=os.environ | python, timeout_seconds=120)
    rows: Rows = {}
    for row in json.loads(done.stdout):
        turn = sum(key[:2] == (row["asked"], row["app"]) for key in rows)
        rows[row["asked"], row["app"], turn] = row
    return rows


@pytest.mark.parametrize(
    ("reach", "app"),
    [("direct", "open"), ("apiserver", "open"), ("portforward", "open"), ("portforward", "shut")],
)
def test_a_way_that_can_reach_them_reads_all_pods_each_time(said: Rows, reach: str, app: str) -> None:
    assert said[reach, app, 0]["good"] == [2, 2, 2]


@pytest.mark.parametrize(("reach", "words"), [("direct", "Connect call failed"), ("apiserver", "HTTP 50")])
def test_a_port_on_loopback_is_out_of_reach_otherwise_and_says_why(
    said: Rows, reach: str, words: str
) -> None:
    assert said[reach, "shut", 0]["good"] == [0, 0, 0]
    assert any(words in error for error in said[reach, "shut", 0]["errors"])


def test_auto_finds_the_way_for_each(said: Rows) -> None:
    assert (said["auto", "open", 0]["reach"], said["auto", "open", 0]["good"]) == ("direct", [2, 2, 2])
    assert (said["auto", "shut", 0]["reach"], said["auto", "shut", 0]["good"]) == ("portforward", [2, 2, 2])


def test_a_forward_to_a_container_that_restarted_is_made_anew(said: Rows) -> None:
    row = said["portforward", "shut", 1]

    assert row["good"][:3] == [2, 2, 2]
    assert row["restarts"] == 1
    assert row["good"][-1] == 2
