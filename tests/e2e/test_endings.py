"""However the process of a run ends, the run ends right: killed, interrupted, aborted, scaled meanwhile."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.gateway import NEW, OLD, Gateway, Record, event
from upgrader.lab import layout

pytestmark = pytest.mark.lab

SLOW_GATE = {"stand": "3s"}
OLD_EVERYWHERE = {"control-plane": {OLD}, "proxy": {OLD}}
NEW_EVERYWHERE = {"control-plane": {NEW}, "proxy": {NEW}}


def helm_started(record: Record) -> bool:
    return bool(record["kind"] == "done" and record["step"] == "helm" and record["body"]["act"] == "started")


def batch_begun(record: Record) -> bool:
    return bool(record["kind"] == "done" and record["step"] == "roll proxies 1/2")


def killed_when(gateway: Gateway, seen: Callable[[Record], bool], *command: str) -> None:
    """Start the command line and kill it at the first such record."""
    with gateway.start(*command) as running:
        gateway.await_record(running, seen)
        running.kill()


def test_a_run_killed_three_times_is_completed(make_gateways: Callable[..., Gateway]) -> None:
    """While Helm writes, while a batch is replaced, and in a gate; in between the release stays locked."""
    gateway = make_gateways("killed")
    gateway.write(new={"migration": {"seconds": 2}}, gate=SLOW_GATE)
    run = ("run", str(gateway.playbook), "--yes", "--output", "json")

    killed_when(gateway, helm_started, *run)
    second = gateway.call(*run)
    killed_when(gateway, batch_begun, "resume", "--output", "json")
    killed_when(gateway, event("applied", "roll proxies 1/2"), "resume", "--output", "json")
    ended = gateway.call("resume", "--output", "json")

    assert second.code == 6, second.said[-2000:]
    assert "left unfinished" in second.said
    assert "upgrader resume" in second.said
    assert ended.code == 0, ended.said[-3000:]
    assert len(gateway.journals()) == 1
    assert gateway.versions() == NEW_EVERYWHERE
    assert gateway.leftovers() == []
    history = gateway.room.run(["helm", "history", gateway.name, "--namespace", gateway.name]).stdout
    assert len(history.splitlines()) == 3, "Helm wrote once, whoever asked for it how often"


def test_an_aborted_run_killed_on_its_way_back_is_rolled_back(make_gateways: Callable[..., Gateway]) -> None:
    gateway = make_gateways("aborted")
    gateway.write(gate=SLOW_GATE)
    before = gateway.strategies()

    with gateway.start_run() as running:
        gateway.await_record(running, event("applied", "roll proxies 1/2"))
        second = gateway.run()
        asked = gateway.call("abort", "--reason", "the pager rang")
        aborted = gateway.await_record(running, event("aborted"))
        running.kill()
    ended = gateway.call("resume", "--output", "json")

    assert second.code == 6, second.said[-2000:]
    assert "is running" in second.said
    assert asked.code == 0, asked.said
    assert aborted["body"]["reason"] == "the pager rang"
    assert ended.code == 4, ended.said[-3000:]
    assert gateway.versions() == OLD_EVERYWHERE
    assert gateway.strategies() == before
    assert gateway.leftovers() == []


def moved_on(gateway: Gateway) -> Path:
    """Return a kubeconfig whose current context is a cluster that does not answer."""
    there = yaml.safe_load(gateway.room.run(["cat", str(layout.KUBECONFIG)]).stdout)
    user = there["contexts"][0]["context"]["user"]
    there["clusters"].append({"name": "deaf", "cluster": {"server": "https://127.0.0.1:1"}})
    there["contexts"].append({"name": "deaf", "context": {"cluster": "deaf", "user": user}})
    path = gateway.folder / "moved.kubeconfig"
    path.write_text(yaml.safe_dump(there | {"current-context": "deaf"}))
    return path


def test_an_interrupted_run_pauses_with_the_brake_on(make_gateways: Callable[..., Gateway]) -> None:
    """Ctrl-C while a batch is being replaced: no further pod goes, and `resume` goes on from there.

    Meanwhile the operator's current context has become another: the run stays in the cluster it began in.
    """
    gateway = make_gateways("paused")

    with gateway.start_run() as running:
        gateway.await_record(running, batch_begun)
        running.child.send_signal(signal.SIGINT)
        paused = running.end()
    proxy = gateway.deployments()[gateway.proxy]
    status = gateway.call("status")
    moved = {"KUBECONFIG": str(moved_on(gateway))}
    resumed = gateway.call("resume", "--output", "json", environment=moved)

    assert paused.code == 8, paused.said[-3000:]
    assert "SIGINT" in paused.said
    assert proxy["spec"]["paused"] is True
    assert proxy["metadata"]["annotations"]["upgrader/undo"].startswith("kubectl -n")
    assert "paused (exit 8)" in status.said
    assert re.search(r"^  lease +run .*, whose process is gone", status.said, re.MULTILINE), status.said
    assert resumed.code == 0, resumed.said[-3000:]
    assert gateway.versions() == NEW_EVERYWHERE
    assert gateway.leftovers() == []


def test_a_run_scaled_under_its_hands_goes_back_all_the_same(make_gateways: Callable[..., Gateway]) -> None:
    """Helm's server-side apply would conflict with whoever scaled: kubectl owns the number now."""
    gateway = make_gateways("scaled")
    gateway.write(gate=SLOW_GATE)

    with gateway.start_run() as running:
        gateway.await_record(running, event("applied", "roll proxies 1/2"))
        gateway.kubectl("scale", "deployment", gateway.proxy, "--replicas=5")
        gateway.call("abort")
        ended = running.end()

    assert ended.code == 4, ended.said[-3000:]
    assert gateway.versions() == OLD_EVERYWHERE
    assert gateway.leftovers() == []
    assert gateway.deployments()[gateway.proxy]["spec"]["replicas"] == 5
