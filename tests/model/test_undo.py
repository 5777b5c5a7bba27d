"""The printed way back: exact, and for the cluster the run began in."""

from __future__ import annotations

from typing import Any

import pytest

from upgrader.model.undo import whole_way_back

MEASURED: dict[str, Any] = {
    "namespace": "gw",
    "release": "edge",
    "known_good": 7,
    "apply_method": "ssa",
    "workloads": [{"name": "proxy", "replicas": 4, "strategy": {"type": "Recreate"}, "min_ready": 3}],
    "jobs": ["migrate"],
}


def test_jobs_go_first_then_helm_goes_back_then_the_deployments_are_let_go_and_the_lease_goes() -> None:
    assert [line.split(" gw ")[1].split()[:2] for line in whole_way_back(MEASURED)] == [
        ["delete", "job"],
        ["rollback", "edge"],
        ["patch", "deployment"],
        ["rollout", "status"],
        ["delete", "lease"],
    ]


@pytest.mark.parametrize(("method", "forced"), [("ssa", True), ("csa", False), ("", False)])
def test_fields_are_taken_over_only_where_helm_takes_that(method: str, forced: bool) -> None:
    """On a revision applied client-side Helm 4 fails at the flag before it touches anything."""
    [helm] = [line for line in whole_way_back(MEASURED | {"apply_method": method}) if line.startswith("helm")]

    assert ("--force-conflicts" in helm) == forced


BESIDE = MEASURED | {
    "locked": ["gw", "edge"],
    "traffic_back": "curl -X POST http://front/back",
    "beside": {"release": "edge-green", "namespace": "gw-green", "existed": False, "delay_seconds": 2.5},
}


def test_of_two_places_the_old_one_comes_back_before_the_traffic_and_the_new_one_goes_last() -> None:
    """At no line in between would nobody serve."""
    lines = whole_way_back(BESIDE | {"context": "prod"})

    assert [line.replace(" --kube-context prod", "").replace(" --context prod", "") for line in lines] == [
        "helm -n gw rollback edge 7",
        "kubectl -n gw scale deployment proxy --replicas=4",
        "kubectl -n gw rollout status deployment proxy",
        "curl -X POST http://front/back",
        "sleep 3",
        "helm -n gw-green uninstall edge-green",
        "kubectl delete namespace gw-green",
        "kubectl -n gw delete lease upgrader-edge --ignore-not-found",
    ]


def test_a_namespace_that_was_there_before_stays() -> None:
    there = BESIDE | {"beside": BESIDE["beside"] | {"existed": True}}

    assert not any("delete namespace" in line for line in whole_way_back(there))


def test_every_command_names_its_cluster() -> None:
    """The shell they are pasted into may talk to another one."""
    named = MEASURED | {"kubeconfig": "/home/me/my kube", "context": "prod"}

    for line in whole_way_back(named):
        flag = "--kube-context" if line.startswith("helm") else "--context"
        assert f" --kubeconfig '/home/me/my kube' {flag} prod -n gw " in line
