"""How many pods a node could still take."""

from __future__ import annotations

from typing import Any

import pytest

from upgrader.model.nodes import nodes_of
from upgrader.testing.surveys import an_object, deployment, node


def asking(cpu: str = "1", **pod: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "c:1", "resources": {"requests": {"cpu": cpu}}}
    return deployment("gateway", replicas=1, container=container, **pod)


def running(cpu: str, *, phase: str = "Running") -> dict[str, Any]:
    spec = {"nodeName": "n1", "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}
    return an_object("v1", "Pod", name=f"pod-{cpu}", spec=spec, status={"phase": phase})


def affinity(operator: str, **rule: Any) -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": operator, **rule}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": required}}


TAINT = {"key": "edge", "value": "only", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("pods", "fits"),
    [
        pytest.param([], 4, id="empty"),
        pytest.param([running("500m")], 3, id="part-taken"),
        pytest.param([running("3500m"), running("500m")], 0, id="full"),
        pytest.param([running("4", phase="Succeeded")], 4, id="what-has-ended-takes-nothing"),
    ],
)
def test_room_is_what_no_running_pod_has_asked_for(pods: list[dict[str, Any]], fits: int) -> None:
    (found,) = nodes_of([node("n1", cpu="4")], pods)

    assert found.fits(asking(), at_most=10) == fits


def test_no_more_pods_fit_than_the_node_may_run() -> None:
    small = node("n1", cpu="64")
    small["status"]["allocatable"]["pods"] = "2"

    (found,) = nodes_of([small], [running("1m")])

    assert found.fits(asking(), at_most=10) == 1


def test_no_more_are_counted_than_asked_for() -> None:
    (found,) = nodes_of([node("n1", cpu="64")], [])

    assert found.fits(asking(), at_most=3) == 3


@pytest.mark.parametrize(
    ("pod", "fits"),
    [
        pytest.param({"nodeSelector": {"kubernetes.io/hostname": "n1"}}, True, id="selector"),
        pytest.param({"nodeSelector": {"kubernetes.io/hostname": "n2"}}, False, id="other-selector"),
        pytest.param(affinity("In", values=["n1"]), True, id="affinity"),
        pytest.param(affinity("In", values=["n2"]), False, id="other-affinity"),
        pytest.param(affinity("Gt", values=["5"]), True, id="affinity-we-cannot-read-keeps-nobody-out"),
    ],
)
def test_a_pod_goes_only_where_it_may(pod: dict[str, Any], fits: bool) -> None:
    (found,) = nodes_of([node("n1")], [])

    assert bool(found.fits(asking(**pod), at_most=1)) is fits


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        pytest.param(
            {"key": "edge", "operator": "Equal", "value": "only", "effect": "NoSchedule"}, True, id="exact"
        ),
        pytest.param({"operator": "Exists"}, True, id="everything"),
        pytest.param({"key": "edge", "value": "other"}, False, id="another-value"),
        pytest.param(
            {"key": "edge", "operator": "Exists", "effect": "NoExecute"}, False, id="another-effect"
        ),
    ],
)
def test_a_taint_keeps_off_what_does_not_tolerate_it(toleration: dict[str, str], fits: bool) -> None:
    (found,) = nodes_of([node("n1", taints=[TAINT])], [])

    assert bool(found.fits(asking(tolerations=[toleration]), at_most=1)) is fits


def test_a_preference_keeps_nobody_off() -> None:
    (found,) = nodes_of([node("n1", taints=[TAINT | {"effect": "PreferNoSchedule"}])], [])

    assert found.fits(asking(), at_most=1) == 1


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        pytest.param({"type": "Ready", "status": "Unknown"}, "not ready", id="silent"),
        pytest.param({"type": "MemoryPressure", "status": "True"}, "MemoryPressure", id="pressure"),
    ],
)
def test_a_node_in_trouble_takes_no_pod(change: dict[str, str], trouble: str) -> None:
    sick = node("n1")
    sick["status"]["conditions"] = [change]

    (found,) = nodes_of([sick], [])

    assert found.trouble == (trouble,)
    assert found.fits(asking(), at_most=1) == 0
