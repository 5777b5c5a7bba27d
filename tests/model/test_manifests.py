"""What is read off manifests, with the API server's defaults."""

from __future__ import annotations

from typing import Any

import pytest

from upgrader.model import manifests
from upgrader.model.manifests import Rolling


def deployment(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "envoy", "image": "envoy:1", **(container or {})}], **spec.pop("pod", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "gateway", "namespace": "edge"},
        "spec": {"template": {"spec": pod}, **spec},
    }


@pytest.mark.parametrize(
    ("update", "replicas", "expected"),
    [
        pytest.param(None, 1, Rolling(1, 0), id="default-of-one"),
        pytest.param(None, 3, Rolling(1, 0), id="default-of-three"),
        pytest.param(None, 4, Rolling(1, 1), id="default-of-four"),
        pytest.param(None, 20, Rolling(5, 5), id="default-of-twenty"),
        pytest.param({"maxSurge": "30%", "maxUnavailable": "30%"}, 7, Rolling(3, 2), id="up-and-down"),
        pytest.param({"maxSurge": 2, "maxUnavailable": 0}, 7, Rolling(2, 0), id="numbers"),
        pytest.param({"maxSurge": 0, "maxUnavailable": "10%"}, 3, Rolling(0, 1), id="never-both-zero"),
    ],
)
def test_percentages_of_a_rollout_round_as_the_controller_does(
    update: dict[str, Any] | None, replicas: int, expected: Rolling
) -> None:
    spec = {} if update is None else {"strategy": {"rollingUpdate": update}}

    assert manifests.rolling(deployment(**spec), replicas=replicas) == expected


def test_a_strategy_that_recreates_has_no_rollout_numbers() -> None:
    assert manifests.rolling(deployment(strategy={"type": "Recreate"}), replicas=3) is None


@pytest.mark.parametrize(
    ("hook", "seconds", "serving", "known", "only_sleeps"),
    [
        pytest.param({"sleep": {"seconds": 5}}, 5, 5, True, True, id="sleep-action"),
        pytest.param({"exec": {"command": ["sleep", "10"]}}, 10, 10, True, True, id="sleep-program"),
        pytest.param(
            {"exec": {"command": ["/bin/sh", "-c", "/bin/sleep 1.5"]}}, 1.5, 1.5, True, True, id="shell-sleep"
        ),
        pytest.param(
            {"exec": {"command": ["sh", "-c", 'sleep "$WAIT"']}}, 7, 7, True, True, id="from-environment"
        ),
        pytest.param(
            {
                "exec": {
                    "command": [
                        "/bin/bash",
                        "-ec",
                        "curl -X POST localhost:9901/healthcheck/fail; sleep 2.5; "
                        "curl -X POST 'localhost:9901/drain_listeners?graceful'; sleep 2m",
                    ]
                }
            },
            122.5,
            2.5,
            True,
            False,
            id="recipe",
        ),
        pytest.param({"exec": {"command": ["/drain"]}}, 0, 0, False, False, id="a-program-of-its-own"),
        pytest.param({"httpGet": {"port": 9901, "path": "/drain"}}, 0, 0, False, False, id="http"),
    ],
)
def test_the_time_of_a_pre_stop_is_read_off_its_text(
    hook: dict[str, Any], seconds: float, serving: float, known: bool, only_sleeps: bool
) -> None:
    container = {"lifecycle": {"preStop": hook}, "env": [{"name": "WAIT", "value": "7"}]}

    (found,) = manifests.pre_stops(deployment(container))

    assert (found.seconds, found.serving_seconds, found.known, found.only_sleeps) == (
        seconds,
        serving,
        known,
        only_sleeps,
    )


def test_a_probe_by_port_name_is_resolved_in_the_pod() -> None:
    container = {
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"port": "http", "path": "/ready"}, "periodSeconds": 2},
    }

    (found,) = manifests.probes(deployment(container))

    assert (found.port, found.path, found.period_seconds, found.failures) == (8080, "/ready", 2, 3)


def test_a_service_port_without_a_target_is_its_own_target() -> None:
    workload = deployment({"ports": [{"name": "http", "containerPort": 8080}]})
    service = {
        "spec": {
            "ports": [{"port": 443, "targetPort": "http"}, {"port": 9000}, {"port": 1, "targetPort": "x"}]
        }
    }

    assert manifests.target_ports(service, workload) == {8080, 9000}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param({}, False, id="empty"),
        pytest.param({"app": "gw"}, True, id="plain"),
        pytest.param({"app": "gw", "tier": "x"}, False, id="plain-two"),
        pytest.param({"matchLabels": {"app": "gw"}}, True, id="labels"),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["gw"]}]}, True, id="in"
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["gw"]}]}, False, id="not-in"
        ),
        pytest.param({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True, id="absent"),
        pytest.param({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False, id="exists"),
    ],
)
def test_selectors_match_as_the_api_server_matches(selector: dict[str, Any], expected: bool) -> None:
    assert manifests.selects(selector, {"app": "gw"}) is expected


def test_every_way_to_read_a_configmap_or_secret_is_a_reference() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "c1"}}, {"secretRef": {"name": "s1"}}],
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c2", "key": "k"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s2", "key": "k"}}},
            {"name": "C", "value": "plain"},
        ],
    }
    pod = {
        "volumes": [
            {"name": "a", "configMap": {"name": "c3"}},
            {"name": "b", "secret": {"secretName": "s3"}},
            {
                "name": "c",
                "projected": {"sources": [{"configMap": {"name": "c4"}}, {"secret": {"name": "s4"}}]},
            },
        ]
    }

    found = manifests.references(deployment(container, pod=pod))

    assert found == {
        *(("ConfigMap", f"c{n}") for n in range(1, 5)),
        *(("Secret", f"s{n}") for n in range(1, 5)),
    }


def test_a_pod_asks_for_its_containers_together_or_its_largest_init_container() -> None:
    def asking(cpu: str, **more: Any) -> dict[str, Any]:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "initContainers": [asking("2"), asking("100m", restartPolicy="Always")],
        "containers": [
            asking("500m"),
            {"name": "d", "resources": {"limits": {"cpu": "250m", "memory": "1Gi"}}},
        ],
    }

    assert manifests.requests(spec) == pytest.approx({"cpu": 2.0, "memory": 2**30})


def test_a_quantity_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'lots'"):
        manifests.quantity("lots")


def test_what_differs_is_named_by_its_path() -> None:
    before = {"spec": {"replicas": 3, "template": {"a": 1}}, "data": [1]}
    after = {"spec": {"replicas": 4, "template": {"a": 1}, "paused": True}, "data": [2]}

    assert manifests.changed_paths(before, after) == ("data", "spec.paused", "spec.replicas")


def test_images_of_init_containers_count() -> None:
    found = deployment(pod={"initContainers": [{"name": "i", "image": "init:1"}]})

    assert manifests.images(found) == ("init:1", "envoy:1")


def test_an_owner_is_the_one_that_controls() -> None:
    pod = {
        "kind": "Pod",
        "metadata": {
            "namespace": "edge",
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": "n"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gateway-1", "controller": True},
            ],
        },
    }

    found = manifests.owner(pod)

    assert str(found) == "ReplicaSet edge/gateway-1"
