"""Exact batches on the real Deployment controller, scaling in mid-run, and proxies in no manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from tests.e2e.gateway import NEW, OLD, Ended, Gateway, Record, Sample, event, watching

pytestmark = pytest.mark.lab

BATCHES = {"kind": "rolling", "batches": [1, "10%", "50%", "100%"], "ready_within": "60s"}
GATES = {"roll proxies 1/4": 1, "roll proxies 2/4": 2, "roll proxies 3/4": 10, "roll proxies 4/4": 19}
QUARTER = {"maxSurge": "25%", "maxUnavailable": "25%"}


@dataclass(frozen=True)
class Upgraded:
    """Twenty proxies after their upgrade, and how it went."""

    gateway: Gateway
    ended: Ended
    records: Sequence[Record]
    samples: Sequence[Sample]


@pytest.fixture(scope="module")
def twenty(make_gateways: Callable[..., Gateway]) -> Upgraded:
    gateway = make_gateways("twenty", proxy={"replicas": 20, "rollingUpdate": QUARTER})
    gateway.write(strategy=BATCHES)
    with watching(gateway, gateway.proxy) as samples:
        ended = gateway.run()
    return Upgraded(gateway, ended, gateway.records(), samples)


def gates(records: Sequence[Record]) -> dict[str, tuple[float, float]]:
    """Return from when until when each gate of the proxies stood."""
    began = {str(one["step"]): float(one["at"]) for one in records if event("applied")(one)}
    ended = {str(one["step"]): float(one["at"]) for one in records if event("advanced")(one)}
    return {step: (began[step], ended[step]) for step in began if step in ended and "proxies" in step}


def last(samples: Sequence[Sample], *, before: float) -> Sample:
    """Return how the Deployment was at a time."""
    return [one for one in samples if one.at <= before][-1]


def test_each_batch_of_twenty_is_exact(twenty: Upgraded) -> None:
    """With a surge of 25 % an ordinary rollout makes ten new pods at once; a batch of one makes one."""
    assert twenty.ended.code == 0, twenty.ended.said[-3000:]

    at_gates = {
        step: {one.updated for one in twenty.samples if began <= one.at <= ended}
        | {last(twenty.samples, before=ended).updated}
        for step, (began, ended) in gates(twenty.records).items()
    }

    assert at_gates == {step: {count} for step, count in GATES.items()}


def test_no_batch_begins_before_its_gate_is_passed(twenty: Upgraded) -> None:
    """Not even for a moment are there more new pods than the gates so far allow."""
    records = twenty.records
    begun = [float(one["at"]) for one in records if one["kind"] == "intent" and one["step"] in GATES]

    most = [
        max(one.updated for one in twenty.samples if begun[0] <= one.at <= until)
        for until in (*begun[1:], gates(records)["roll proxies 4/4"][1])
    ]

    assert most == [1, 2, 10, 19]


def test_no_capacity_is_given_up(twenty: Upgraded) -> None:
    """The chart would let a quarter go; the run does not."""
    assert len(twenty.samples) > 20
    assert min(one.available for one in twenty.samples) >= 20


def test_a_completed_run_leaves_nothing_of_its_own(twenty: Upgraded) -> None:
    gateway = twenty.gateway
    proxy = gateway.deployments()[gateway.proxy]

    assert gateway.leftovers() == []
    assert proxy["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": QUARTER}
    assert gateway.versions() == {"control-plane": {NEW}, "proxy": {NEW}}


def test_a_scaling_in_mid_run_is_said_and_kept(twenty: Upgraded) -> None:
    """The way back is a gated run too; while its first half is gated, somebody scales to thirty."""
    gateway = twenty.gateway
    gateway.write(strategy={**BATCHES, "batches": ["50%", "100%"]})

    with gateway.start("rollback", str(gateway.playbook), "--yes", "--output", "json") as running:
        gateway.await_record(running, event("applied", "roll proxies 1/2"), seconds=100)
        gateway.kubectl("scale", "deployment", gateway.proxy, "--replicas=30")
        ended = running.end()

    proxy = gateway.deployments()[gateway.proxy]
    assert ended.code == 0, ended.said[-3000:]
    assert "was scaled from 20 to 30" in ended.said
    assert proxy["spec"]["replicas"] == 30
    assert gateway.leftovers() == []
    assert gateway.versions() == {"control-plane": {OLD}, "proxy": {OLD}}


@pytest.fixture(scope="module")
def edge(make_gateways: Callable[..., Gateway]) -> Gateway:
    """A gateway half of whose proxies are made by a controller; their Deployment comes first by name."""
    made = {"enabled": True, "replicas": 2, "lateSeconds": 3}
    gateway = make_gateways("late", proxy={"replicas": 2}, edgeProxies=made)
    deadline = time.monotonic() + 60
    while gateway.deployments().get(edge_of(gateway), {}).get("status", {}).get("availableReplicas") != 2:
        assert time.monotonic() < deadline, "the controller made no proxies"
        time.sleep(0.2)
    return gateway


def edge_of(gateway: Gateway) -> str:
    return f"edge-proxy-{gateway.name}"


def test_a_bad_version_of_proxies_in_no_manifest_is_brought_back(edge: Gateway) -> None:
    """The controller writes them late and with force, forwards and on the way back."""
    patient = {"kind": "rolling", "batches": [1, "50%", "100%"], "ready_within": "15s"}
    edge.write(new={"fault": {"neverReady": True}}, strategy=patient)
    before = edge.strategies()

    with watching(edge, edge_of(edge)) as samples:
        ended = edge.run()

    assert ended.code == 4, ended.said[-3000:]
    assert any(one.paused and one.updated == 1 for one in samples), "no batch of one was begun"
    assert min(one.available for one in samples) >= 2
    assert edge.leftovers() == []
    assert edge.strategies() == before
    assert edge.versions() == {"control-plane": {OLD}, "operator": {OLD}, "proxy": {OLD}}


def test_proxies_in_no_manifest_are_found_and_batched(edge: Gateway) -> None:
    edge.write()

    with watching(edge, edge_of(edge)) as samples:
        ended = edge.run()

    assert ended.code == 0, ended.said[-3000:]
    stood = gates(edge.records())
    at_gates = {step: last(samples, before=passed).updated for step, (_, passed) in stood.items()}
    assert at_gates == {"roll proxies 1/3": 1, "roll proxies 2/3": 2, "roll proxies 3/3": 2}
    assert min(one.available for one in samples) >= 2
    assert edge.leftovers() == []
    assert edge.versions() == {"control-plane": {NEW}, "operator": {NEW}, "proxy": {NEW}}
