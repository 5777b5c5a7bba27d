"""What is read off a pod."""

from __future__ import annotations

from typing import Any

import pytest

from upgrader.model.fleet import Members, Pod, fleet_of

GATE = "cloud.google.com/load-balancer-neg-ready"


def read(*conditions: dict[str, str], gates: tuple[str, ...] = (GATE,)) -> Pod:
    """Return the pod of a Deployment with these conditions."""
    owner = {"controller": True, "name": "edge-1"}
    labels = {"pod-template-hash": "1"}
    common: dict[str, Any] = {"namespace": "gw", "labels": labels}
    objects = [
        {"kind": "Deployment", "metadata": {"name": "edge"}, "spec": {"template": {}}},
        {
            "kind": "ReplicaSet",
            "metadata": {
                "name": "edge-1",
                "ownerReferences": [{"controller": True, "name": "edge"}],
                **common,
            },
            "spec": {"replicas": 1},
        },
        {
            "kind": "Pod",
            "metadata": {"name": "edge-1-a", "uid": "u", "ownerReferences": [owner], **common},
            "spec": {
                "containers": [{"image": "envoy:1"}],
                "readinessGates": [{"conditionType": gate} for gate in gates],
            },
            "status": {"podIP": "10.0.0.1", "conditions": list(conditions)},
        },
    ]
    (pod,) = fleet_of(objects, Members({"edge": "proxies"}, {})).pods
    return pod


@pytest.mark.parametrize(
    ("condition", "gates"),
    [
        ({"status": "True", "reason": "LoadBalancerNegTimeout"}, {GATE: "LoadBalancerNegTimeout"}),
        ({"status": "True"}, {GATE: ""}),
        ({"status": "False", "reason": "LoadBalancerNegNotReady"}, {}),
    ],
    ids=["open", "without a reason", "shut"],
)
def test_an_open_gate_is_kept_with_its_reason(condition: dict[str, str], gates: dict[str, str]) -> None:
    assert read({"type": GATE, **condition}).gates == gates


def test_a_condition_that_is_no_gate_of_the_pod_is_none() -> None:
    assert read({"type": GATE, "status": "True"}, gates=()).gates == {}


def test_a_pod_with_gates_can_still_be_a_key() -> None:
    assert len({read({"type": GATE, "status": "True"})}) == 1
