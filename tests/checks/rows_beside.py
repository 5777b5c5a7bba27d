"""Rows for a second installation beside the first."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from tests.checks.rows import BLOCK, INFO, WARN, Change, Row, add, all_of, edit, nothing, playbook, put
from upgrader.model.plugins import Beside, Color
from upgrader.model.ports import ReleaseStatus, Revision
from upgrader.testing.surveys import SurveyBuilder, an_object

STRATEGY = {
    "kind": "canary",
    "green": {"name": "edge-green", "namespace": "edge-green"},
    "rungs": ["1%", "100%"],
    "direct": {"blue": "http://blue", "green": "http://green"},
}
OTHER = Beside(
    live=Color.BLUE,
    release="edge-green",
    namespace="edge-green",
    exists=True,
    history=(),
    groups={"gateway": "proxies"},
    finest_ratio=0.001,
    delay_seconds=0.0,
    back="by hand",
)


def canary(*more: Change, **changed: Any) -> Change:
    """Return the good gateway with a second place; ``changed`` are fields of `Beside`."""

    def stand_beside(builder: SurveyBuilder) -> None:
        builder.playbook |= {"strategy": deepcopy(STRATEGY), "balancers": balancers}
        builder.beside = replace(OTHER, **changed)
        for one in builder.new:
            if one["metadata"].get("namespace"):
                one["metadata"]["namespace"] = "edge-green"

    balancers = [{"kind": "front", "green": "gateways-green"}]
    return all_of(stand_beside, *more)


def held(status: ReleaseStatus) -> tuple[Revision, ...]:
    return (Revision(1, status, "gateway-1.11.20"),)


ROLE = an_object("rbac.authorization.k8s.io/v1", "ClusterRole", name="gateway")
del ROLE["metadata"]["namespace"]
CRD = an_object(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    name="routes.edge.dev",
    spec={"group": "edge.dev", "names": {"kind": "Route"}},
)
del CRD["metadata"]["namespace"]
KEPT = {**CRD, "metadata": {**CRD["metadata"], "annotations": {"helm.sh/resource-policy": "keep"}}}
ROUTE = an_object("edge.dev/v1", "Route", name="all")


def brings(builder: SurveyBuilder) -> None:
    """The target chart defines routes."""
    builder.crds.append(CRD)


ROWS = (
    Row(
        "rights-observe",
        "in the other place",
        BLOCK,
        canary(put(missing_rights={"watch Pod in edge-green"})),
        "watch Pod in edge-green",
    ),
    Row(
        "beside-taken",
        "stands",
        BLOCK,
        canary(history=held(ReleaseStatus.DEPLOYED)),
        "edge-green is deployed",
    ),
    Row("beside-taken", "retired", None, canary(history=held(ReleaseStatus.UNINSTALLED))),
    Row("beside-taken", "rolling", None, nothing),
    Row(
        "beside-smaller",
        "fewer",
        BLOCK,
        canary(edit("Deployment", "gateway", "spec.replicas", 1, "new")),
        "and 1 would",
    ),
    # Its balancer declares no health_check, so that it is taken to notice late: as in NO_FRONT, which blocks.
    Row("drain-budget", "without traffic", WARN, canary(), "a drained node or an HPA does not"),
    Row("beside-smaller", "more", None, canary(edit("Deployment", "gateway", "spec.replicas", 30, "new"))),
    Row("beside-shared-object", "same name", BLOCK, canary(add(ROLE, to="old new")), "ClusterRole gateway"),
    Row("beside-shared-object", "one only", None, canary(add(ROLE, to="new"))),
    Row("beside-crds-templated", "plain", BLOCK, canary(add(CRD, to="old")), "routes.edge.dev"),
    Row("beside-crds-templated", "kept", None, canary(add(KEPT, to="old"))),
    Row("beside-resources-go", "held", WARN, canary(brings, add(ROUTE, to="old")), "Route all"),
    Row("beside-resources-go", "none", None, canary(brings)),
    Row("rung-too-fine", "too fine", INFO, canary(finest_ratio=0.05), "0.01 was wished"),
    Row("rung-too-fine", "fine", None, canary()),
    Row("beside-not-asked", "nobody", WARN, canary(playbook("strategy.direct", {})), "would be clients"),
    Row("beside-not-asked", "asked", None, canary()),
    Row("beside-admission-unseen", "new", INFO, canary(exists=False), "namespace edge-green"),
    Row("beside-admission-unseen", "there", None, canary()),
)
