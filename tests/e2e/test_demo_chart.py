"""The demo's chart in the lab, upgraded by plain Helm: nothing is lost, and the drills are real."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from upgrader.lab.entered import Entered
from upgrader.lab.room import Room

pytestmark = pytest.mark.lab

DEMO = Path(__file__).parents[2] / "playbooks" / "demo"
OLD, NEW = "1.11.28", "1.11.30"
KEY = "key-of-the-test"
NAMESPACE = "edge-system"
FRONT, ADMIN = "http://127.0.0.1:8080/", "http://127.0.0.1:9901"


@dataclass
class Demo:
    """The demo in a room, with its front balancer."""

    room: Room
    folder: Path

    def helm(self, verb: str, version: str, *settings: str) -> None:
        sets = [word for setting in (f"apiKey={KEY}", *settings) for word in ("--set", setting)]
        chart = str(DEMO / f"gateway-{version}")
        values = str(DEMO / "values.yaml")
        command = ["helm", verb, "edge", chart, "-n", NAMESPACE, "--create-namespace", "--values", values]
        self.room.run([*command, *sets], timeout_seconds=120)

    def kubectl(self, *words: str) -> str:
        return self.room.run(["kubectl", "-n", NAMESPACE, *words], timeout_seconds=120).stdout

    def settled(self) -> None:
        for part in ("control-plane", "proxy", "upstream"):
            self.kubectl("rollout", "status", f"deployment/edge-{part}", "--timeout=100s")
        wait_for(lambda: self.healthy() == 3)

    def healthy(self) -> int:
        body = self.curl(f"{ADMIN}/stats?format=json&filter=^cluster.gateways.membership_healthy$")[1]
        return int(json.loads(body)["stats"][0]["value"]) if body else -1

    def curl(self, url: str, *, key: str = "") -> tuple[int, str]:
        header = ["-H", f"x-api-key: {key}"] if key else []
        done = self.room.run(["curl", "-s", "-w", "\n%{http_code}", *header, url], check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def program(self, module: str, *options: str) -> Entered:
        with (self.folder / f"{module}.log").open("w") as log:
            return self.room.enter([sys.executable, "-m", f"upgrader.lab.{module}", *options], output=log)

    def traffic(self, *, rate: int) -> tuple[Entered, Path]:
        keys, report = self.folder / "keys", self.folder / f"report-{uuid.uuid4()}"
        keys.write_text(KEY)
        load = self.program(
            *("traffic", "--url", FRONT, "--rate", str(rate)),
            *("--keys-file", str(keys), "--report", str(report)),
        )
        wait_for(lambda: report.exists() and report.stat().st_size > 0)
        return load, report


@pytest.fixture
def demo(demo_room: Demo) -> Iterator[Demo]:
    """The demo at its old version, every pod of another gone, whatever the test before did or broke off."""
    yield demo_room
    back(demo_room)


@pytest.fixture(scope="module")
def demo_room() -> Iterator[Demo]:
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    with Room.up(f"demo-{uuid.uuid4().hex[:8]}") as room:
        it = Demo(room, folder)
        it.helm("install", OLD)
        options = ("--namespace", NAMESPACE, "--service", "edge-proxy", "--dir", str(folder / "front"))
        front = it.program("front", *options)
        it.settled()
        yield it
        front.terminate()
        assert front.wait(30) == 0
    shutil.rmtree(folder)


def wait_for(fact: Callable[[], bool], *, seconds: float = 90) -> None:
    give_up = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.2)


def account(load: Entered, report: Path) -> dict[str, Any]:
    load.send_signal(signal.SIGTERM)
    assert load.wait(30) == 0
    summary: dict[str, Any] = json.loads(report.read_text().splitlines()[-1])
    assert summary["kind"] == "summary"
    return summary


def test_the_door_is_shut_without_a_key(demo: Demo) -> None:
    """Through balancer, gateway and application."""
    assert [demo.curl(FRONT, key=key)[0] for key in ("", "wrong", KEY)] == [401, 401, 200]


def test_the_application_answers_past_the_gateway(demo: Demo) -> None:
    """What the playbook's probes compare with."""
    assert demo.curl("http://10.96.0.80:8081/") == (200, "served\n")


def test_a_plain_upgrade_and_the_way_back_lose_nothing(demo: Demo) -> None:
    """The chart's drain, readiness and surge under load, the migration before it; no retry hides anything."""
    load, report = demo.traffic(rate=500)
    for version in (NEW, OLD):
        demo.helm("upgrade", version)
        demo.settled()
        wait_for_version(demo, version)
    summary = account(load, report)

    assert summary["failures"] == {}
    assert summary["ok"] == summary["sent"] > 3_000
    assert (
        '"value":0' in demo.curl(f"{ADMIN}/stats?format=json&filter=^cluster.gateways.upstream_rq_retry$")[1]
    )


def wait_for_version(demo: Demo, version: str) -> None:
    """Wait until every proxy that is there has this version, leaving ones included."""
    find = ("get", "pods", "-l", "component=proxy", "-o", "jsonpath={.items[*].metadata.labels.version}")
    wait_for(lambda: set(demo.kubectl(*find).split()) == {version})


def test_proxies_of_the_controller_roll_late_and_keep_a_pause(demo: Demo) -> None:
    """Helm is done long before; what others set beside the controller survives its force."""
    edge = ("edgeProxies.enabled=true", "edgeProxies.lateSeconds=6")
    demo.helm("upgrade", OLD, *edge)
    made = ("get", "deployment", "edge-proxy-edge", "-o")
    wait_for(lambda: demo.kubectl(*made, "jsonpath={.status.readyReplicas}", "--ignore-not-found") == "2")

    demo.helm("upgrade", NEW, *edge)
    version = "jsonpath={.spec.template.metadata.labels.version}"
    demo.kubectl("rollout", "status", "deployment/edge-operator", "--timeout=100s")
    assert demo.kubectl(*made, version) == OLD
    demo.kubectl("patch", "deployment", "edge-proxy-edge", "--type=merge", "-p", '{"spec":{"paused":true}}')
    wait_for(lambda: demo.kubectl(*made, version) == NEW)

    assert demo.kubectl(*made, "jsonpath={.spec.paused} {.status.updatedReplicas}").strip() == "true"
    demo.helm("upgrade", OLD)
    wait_for(lambda: demo.kubectl(*made, "name", "--ignore-not-found") == "")


@pytest.mark.parametrize(
    ("fault", "sign", "least"), [("neverReady", "started", "true"), ("crashLoop", "restartCount", "1")]
)
def test_a_version_that_cannot_serve_never_turns_ready(demo: Demo, fault: str, sign: str, least: str) -> None:
    """It runs or it crashes, but the old pods stay, and keep serving."""
    demo.helm("upgrade", NEW, f"fault.{fault}=true")
    new = ("get", "pods", "-l", f"component=proxy,version={NEW}", "-o")
    wait_for(
        lambda: demo.kubectl(*new, f"jsonpath={{.items[*].status.containerStatuses[0].{sign}}}") >= least
    )
    time.sleep(3)

    assert demo.kubectl(*new, "jsonpath={.items[*].status.containerStatuses[0].ready}") == "false"
    assert demo.healthy() == 3


def test_a_version_without_a_listener_is_ready_and_yet_gets_nothing(demo: Demo) -> None:
    """Kubernetes is content, so the old pods go; only the balancer sees it."""
    demo.helm("upgrade", NEW, "fault.noListener=true")
    demo.kubectl("rollout", "status", "deployment/edge-proxy", "--timeout=100s")

    wait_for(lambda: demo.healthy() == 0)


def back(demo: Demo) -> None:
    demo.helm("upgrade", OLD)
    demo.settled()
    wait_for_version(demo, OLD)
