"""Rows for what concerns the gateway's pods: numbers, probes, drain, Services."""

from __future__ import annotations

from tests.checks.rows import (
    BLOCK,
    GONE,
    INFO,
    WARN,
    Row,
    add,
    all_of,
    drop,
    edit,
    nothing,
    playbook,
    proxies,
    proxy,
)
from tests.checks.rows_beside import canary
from upgrader.testing.surveys import DRAIN, an_object, deployment

MADE = deployment("made", replicas=2, container={"name": "envoy", "image": "made:1"})
MADE["spec"]["template"]["metadata"]["labels"] = {"app": "gateway"}
WORKLOADS = (
    Row(
        "selector-empty",
        "typo",
        BLOCK,
        playbook("releases.0.workloads.auth", {"selector": "app=aut"}),
        "app=aut",
    ),
    Row("selector-empty", "matches", None, nothing),
    Row(
        "service-missing",
        "typo",
        BLOCK,
        playbook("releases.0.workloads.proxies.service", "gatewya"),
        "no Service gatewya",
    ),
    Row("service-missing", "there", None, nothing),
    Row(
        "service-selects-nothing",
        "other pods",
        BLOCK,
        edit("Service", "gateway", "spec.selector", {"app": "x"}),
    ),
    Row("service-selects-nothing", "ours", None, nothing),
    Row(
        "data-path-unknown",
        "no service named",
        BLOCK,
        playbook("releases.0.workloads", {"proxies": {"selector": "app=gateway"}}),
    ),
    Row("data-path-unknown", "named", None, nothing),
    Row("dependent-workload", "made by a controller", INFO, add(MADE, to="others"), "Deployment edge/made"),
    Row(
        "dependent-workload",
        "another app's",
        None,
        add(deployment("shop", replicas=1, container={"name": "shop", "image": "shop:1"}), to="others"),
    ),
    Row(
        "workload-removed",
        "gone",
        BLOCK,
        drop("Deployment", "gateway", "new"),
        "Deployment edge/gateway (3 pods)",
    ),
    Row("workload-removed", "kept", None, nothing),
    Row("workload-paused", "by somebody", BLOCK, proxies("spec.paused", True, "live"), "is paused"),
    Row("workload-paused", "not", None, proxies("spec.paused", False, "live")),
    Row(
        "workload-unsettled", "pods missing", BLOCK, proxies("status.availableReplicas", 2, "live"), "wants 3"
    ),
    Row(
        "workload-unsettled",
        "not seen yet",
        BLOCK,
        proxies("metadata.generation", 2, "live"),
        "generation 2, seen 1",
    ),
    Row("workload-unsettled", "whole", None, nothing),
)

REPLICAS = (
    Row("replicas-one", "one", BLOCK, proxies("spec.replicas", 1), "has 1 replicas"),
    Row("replicas-one", "two", None, proxies("spec.replicas", 2)),
    Row("control-plane-one", "one", WARN, edit("Deployment", "control", "spec.replicas", 1)),
    Row("control-plane-one", "two", None, nothing),
    Row(
        "replicas-cut",
        "scaled by hand",
        BLOCK,
        proxies("spec.replicas", 2, "new"),
        "3 replicas and the new version",
    ),
    Row("replicas-cut", "the same", None, nothing),
    Row("replicas-grown", "more", WARN, proxies("spec.replicas", 5, "new")),
    Row("replicas-grown", "the same", None, nothing),
    Row(
        "replicas-cut-back",
        "scaled by hand",
        BLOCK,
        proxies("spec.replicas", 9, "live"),
        "revision 1 renders 3",
    ),
    Row("replicas-cut-back", "the same", None, nothing),
    Row(
        "replicas-unset", "left out now", BLOCK, proxies("spec.replicas", GONE, "new"), "the new one does not"
    ),
    Row(
        "replicas-unset",
        "another manager keeps it",
        None,
        all_of(proxies("spec.replicas", GONE, "new"), proxies("spec.replicas", 3, "answer")),
    ),
    Row("replicas-unset", "never set", None, proxies("spec.replicas", GONE)),
)


def scaler(most: int, active: str = "True") -> dict[str, object]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gateway"}
    return an_object(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        name="gateway",
        spec={"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": most},
        status={
            "conditions": [{"type": "ScalingActive", "status": active, "reason": "FailedGetResourceMetric"}]
        },
    )


HPA = (
    Row("hpa-and-replicas", "both", WARN, add(scaler(10), to="near"), "renders replicas 3"),
    Row(
        "hpa-and-replicas",
        "left out",
        None,
        all_of(add(scaler(10), to="near"), proxies("spec.replicas", GONE)),
    ),
    Row("hpa-growth", "room", INFO, add(scaler(10), to="near"), "from 3 to 10"),
    Row("hpa-growth", "none", None, nothing),
    Row("hpa-no-headroom", "at its maximum", WARN, add(scaler(3), to="near"), "3 of 3"),
    Row("hpa-no-headroom", "room", None, add(scaler(10), to="near")),
    Row("hpa-blind", "no metrics", WARN, add(scaler(10, "False"), to="near"), "FailedGetResourceMetric"),
    Row("hpa-blind", "metrics", None, add(scaler(10), to="near")),
    Row("hpa-shrinks", "the old one", WARN, canary(add(scaler(10), to="near")), "down to 2 pods"),
    Row("hpa-shrinks", "the new one", WARN, canary(add(scaler(10), to="new")), "down to 2 pods"),
    Row(
        "hpa-shrinks",
        "never below",
        None,
        canary(add(scaler(10), to="near new"), edit("Deployment", "gateway", "spec.replicas", 2)),
    ),
    Row("hpa-shrinks", "rolling", None, add(scaler(10), to="near")),
)


def budget(name: str, **spec: object) -> dict[str, object]:
    selector = {"matchLabels": {"app": "gateway"}}
    return an_object("policy/v1", "PodDisruptionBudget", name=name, spec={"selector": selector, **spec})


PDB = ("PodDisruptionBudget", "gateway")
BUDGETS = (
    Row("pdb-missing", "none", WARN, drop(*PDB), "covers Deployment edge/gateway (3 pods)"),
    Row("pdb-missing", "one", None, nothing),
    Row("pdb-too-strict", "all must stay", BLOCK, edit(*PDB, "spec", budget("x", minAvailable=3)["spec"])),
    Row("pdb-too-strict", "100 %", BLOCK, edit(*PDB, "spec", budget("x", minAvailable="100%")["spec"])),
    Row("pdb-too-strict", "none may go", BLOCK, edit(*PDB, "spec", budget("x", maxUnavailable=0)["spec"])),
    Row("pdb-too-strict", "one may go", None, edit(*PDB, "spec", budget("x", minAvailable=2)["spec"])),
    Row("pdb-exhausted", "now", WARN, edit(*PDB, "status.disruptionsAllowed", 0, "live")),
    Row("pdb-exhausted", "one", None, nothing),
    Row("pdb-double", "two", WARN, add(budget("second", maxUnavailable=1), to="old new"), "gateway, second"),
    Row("pdb-double", "one", None, nothing),
    Row(
        "pdb-selects-nothing",
        "typo",
        WARN,
        edit(*PDB, "spec.selector", {"matchLabels": {"app": "gatewya"}}),
    ),
    Row("pdb-selects-nothing", "ours", None, nothing),
)

HTTP_ADMIN = {"httpGet": {"port": 9901, "path": "/ready"}}
READINESS = (
    Row("readiness-missing", "none", BLOCK, proxy("readinessProbe", GONE)),
    Row("readiness-missing", "one", None, nothing),
    Row(
        "readiness-off-path",
        "admin",
        BLOCK,
        proxy("readinessProbe", HTTP_ADMIN),
        "envoy asks httpGet 9901/ready",
    ),
    Row("readiness-off-path", "only before", None, proxy("readinessProbe", HTTP_ADMIN, "old")),
    Row("readiness-command", "exec", WARN, proxy("readinessProbe", {"exec": {"command": ["/check"]}})),
    Row("readiness-command", "http", None, nothing),
    Row("readiness-port-only", "tcp", WARN, proxy("readinessProbe", {"tcpSocket": {"port": "http"}}), "8080"),
    Row("readiness-port-only", "grpc", None, proxy("readinessProbe", {"grpc": {"port": 8080}})),
)

STATEFUL = MADE | {"kind": "StatefulSet"}
ROLLOUT_OWNER = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "edge", "controller": True}
FOREIGN = (
    an_object("apps/v1", "ReplicaSet", name="edge-1", metadata={"ownerReferences": [ROLLOUT_OWNER]}, spec={}),
    an_object(
        "v1",
        "Pod",
        name="edge-1-0",
        metadata={
            "labels": {"app": "gateway"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "edge-1", "controller": True}
            ],
        },
        spec={"containers": []},
    ),
)
ROLLOUT = (
    Row("strategy-recreate", "data plane", BLOCK, proxies("spec.strategy", {"type": "Recreate"})),
    Row("strategy-recreate", "default", None, proxies("spec.strategy", GONE)),
    Row(
        "kind-unsupported",
        "StatefulSet in the chart",
        BLOCK,
        add(STATEFUL, to="new"),
        "StatefulSet edge/made",
    ),
    Row("kind-unsupported", "pods of a Rollout", BLOCK, add(*FOREIGN, to="near"), "Rollout edge/edge"),
    Row(
        "kind-unsupported",
        "a bare pod",
        BLOCK,
        add(
            an_object(
                "v1", "Pod", name="bare", metadata={"labels": {"app": "gateway"}}, spec={"containers": []}
            ),
            to="near",
        ),
    ),
    Row(
        "kind-unsupported",
        "StatefulSet off the path",
        None,
        add(
            deployment("store", replicas=1, container={"name": "s", "image": "s:1"})
            | {"kind": "StatefulSet"},
            to="new",
        ),
    ),
    Row(
        "strategy-dips",
        "default of 4",
        INFO,
        all_of(proxies("spec.strategy", GONE), proxies("spec.replicas", 4)),
        "may miss 1 of 4",
    ),
    Row(
        "kind-unsupported",
        "a bare pod elsewhere",
        None,
        add(
            an_object(
                "v1",
                "Pod",
                name="bare",
                metadata={"labels": {"app": "gateway"}, "namespace": "elsewhere"},
                spec={"containers": []},
            ),
            to="near",
        ),
    ),
    Row("strategy-dips", "none", None, nothing),
    Row("host-port", "port", WARN, proxy("ports.0.hostPort", 80), "port 80"),
    Row("host-port", "network", WARN, proxies("spec.template.spec.hostNetwork", True)),
    Row("host-port", "none", None, nothing),
)


def pre_stop(text: str) -> dict[str, object]:
    return {"preStop": {"exec": {"command": ["sh", "-c", text]}}}


NO_FRONT = playbook("balancers", [])
SLOW_FRONT = playbook("balancers", [{"kind": "front", "health_check": {"interval": "10s", "unhealthy": 2}}])
DRAINS = (
    Row("prestop-missing", "none", BLOCK, proxy("lifecycle", GONE), "old pods: no preStop"),
    Row("prestop-missing", "only the old ones", BLOCK, proxy("lifecycle", GONE, "old"), "old pods"),
    Row("prestop-missing", "only the new ones", BLOCK, proxy("lifecycle", GONE, "new"), "new pods"),
    Row("prestop-missing", "there", None, nothing),
    Row("drain-budget", "balancer too slow", BLOCK, SLOW_FRONT, "slack -17.5 s"),
    Row(
        "drain-budget",
        "no margin",
        WARN,
        proxy("lifecycle", pre_stop("healthcheck/fail; sleep 2.2")),
        "slack 0.2 s",
    ),
    Row(
        "drain-budget",
        "to the second",
        WARN,
        proxy("lifecycle", pre_stop("healthcheck/fail; sleep 2")),
        "slack 0 s",
    ),
    Row("drain-budget", "endpoints only", BLOCK, NO_FRONT, "slack -7.5 s"),
    Row(
        "drain-budget",
        "time after drain does not count",
        BLOCK,
        proxy("lifecycle", pre_stop("healthcheck/fail; sleep 1; drain_listeners?graceful; sleep 60")),
        "serves for 1 s",
    ),
    Row("drain-budget", "by the recipe", None, proxy("lifecycle", pre_stop(DRAIN))),
    Row(
        "drain-unknown", "a program", WARN, proxy("lifecycle", {"preStop": {"exec": {"command": ["/drain"]}}})
    ),
    Row("drain-unknown", "known", None, nothing),
    Row("drain-stays-healthy", "sleep", BLOCK, proxy("lifecycle", {"preStop": {"sleep": {"seconds": 15}}})),
    Row(
        "drain-stays-healthy",
        "endpoints only",
        None,
        all_of(NO_FRONT, proxy("lifecycle", {"preStop": {"sleep": {"seconds": 15}}})),
    ),
    Row(
        "drain-grace",
        "too short",
        BLOCK,
        proxies("spec.template.spec.terminationGracePeriodSeconds", 10),
        "preStop 5.5 s, slack -0.5 s",
    ),
    Row(
        "drain-grace",
        "to the second",
        None,
        all_of(
            proxy("lifecycle", pre_stop("healthcheck/fail; sleep 5")),
            proxies("spec.template.spec.terminationGracePeriodSeconds", 10),
        ),
    ),
    Row("drain-grace", "default", None, proxies("spec.template.spec.terminationGracePeriodSeconds", GONE)),
    Row(
        "health-filter-unseen",
        "listeners without it",
        WARN,
        edit("ConfigMap", "bootstrap", "data", {"envoy.yaml": "name: envoy.http_connection_manager"}),
    ),
    Row(
        "health-filter-unseen",
        "all by xDS",
        INFO,
        edit("ConfigMap", "bootstrap", "data", {}),
        "nor is any listener",
    ),
    Row(
        "health-filter-unseen",
        "endpoints only",
        None,
        all_of(NO_FRONT, edit("ConfigMap", "bootstrap", "data", {}, "old new")),
    ),
)

SERVICE = ("Service", "gateway")
SERVICES = (
    Row(
        "service-changes",
        "type",
        BLOCK,
        edit(*SERVICE, "spec.type", "NodePort", "new"),
        "LoadBalancer → NodePort",
    ),
    Row("service-changes", "port", BLOCK, edit(*SERVICE, "spec.ports.0.port", 81, "new")),
    Row("service-changes", "same", None, nothing),
    Row(
        "service-annotations", "new", WARN, edit(*SERVICE, "metadata.annotations", {"cloud/idle": "9"}, "new")
    ),
    Row("service-annotations", "same", None, edit(*SERVICE, "metadata.annotations", {"cloud/idle": "9"})),
    Row("service-removed", "gone", BLOCK, drop(*SERVICE, "new")),
    Row("service-removed", "kept", None, nothing),
)

ROWS = (*WORKLOADS, *REPLICAS, *HPA, *BUDGETS, *READINESS, *ROLLOUT, *DRAINS, *SERVICES)
