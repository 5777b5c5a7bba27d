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
        builder.playbook["signals"] = [{"kind": "rollout"}, {"kind": "synthetic", "url": "http://edge/"}]
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
READER = an_object("rbac.authorization.k8s.io/v1", "RoleBinding", name="auth-reader")
READER["metadata"]["namespace"] = "kube-system"
CRD = an_object(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    name="routes.edge.dev",
    spec={"group": "edge.dev", "names": {"kind": "Route"}},
)
del CRD["metadata"]["namespace"]
KEPT = {**CRD, "metadata": {**CRD["metadata"], "annotations": {"helm.sh/resource-policy": "keep"}}}
ROUTE = an_object("edge.dev/v1", "Route", name="all")


def _routes(*versions: str) -> dict[str, Any]:
    """Return a definition of routes that serves these versions, the first one stored."""
    found = [{"name": one, "served": True, "storage": one == versions[0], "schema": {}} for one in versions]
    names = {"kind": "Route", "plural": "routes"}
    return {**CRD, "spec": {"group": "edge.dev", "scope": "Namespaced", "names": names, "versions": found}}


ROUTES, ROUTES_V2 = _routes("v1"), _routes("v1", "v2")
ROUTE_V2 = {**ROUTE, "apiVersion": "edge.dev/v2"}
ROUTE_UNSERVED = put(answers={("Route", "all"): (404, "the API server does not serve Route")})


def defines(new: dict[str, Any], *, live: dict[str, Any] | None = None) -> Change:
    """Put a definition into the target's ``crds/``, and perhaps one into the cluster."""

    def bring(builder: SurveyBuilder) -> None:
        builder.crds.append(deepcopy(new))
        builder.live_crds += [deepcopy(live)] if live else []

    return bring


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
        "rights-helm",
        "may not make the place",
        BLOCK,
        canary(put(missing_rights={"delete Namespace everywhere"}), exists=False),
        "delete Namespace everywhere",
    ),
    Row(
        "rights-helm",
        "need not make the place",
        None,
        canary(put(missing_rights={"create Namespace everywhere", "delete Namespace everywhere"})),
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
    Row(
        "beside-shared-object",
        "in a third namespace",
        BLOCK,
        canary(add(READER, to="old new")),
        "auth-reader",
    ),
    Row("beside-shared-object", "one only", None, canary(add(ROLE, to="new"))),
    Row("beside-crds-templated", "plain", BLOCK, canary(add(CRD, to="old")), "routes.edge.dev"),
    Row("beside-crds-templated", "kept", None, canary(add(KEPT, to="old"))),
    Row("beside-resources-go", "held", WARN, canary(brings, add(ROUTE, to="old")), "Route all"),
    Row("beside-resources-go", "none", None, canary(brings)),
    Row("rung-too-fine", "too fine", INFO, canary(finest_ratio=0.05), "0.01 was wished"),
    Row("rung-too-fine", "fine", None, canary()),
    Row("beside-not-asked", "nobody", WARN, canary(playbook("strategy.direct", {})), "would be clients"),
    Row(
        "beside-not-asked",
        "the other place only",
        WARN,
        canary(playbook("strategy.direct", {"blue": "http://blue"})),
        "strategy.direct.green",
    ),
    Row(
        "beside-not-asked",
        "no request to ask",
        WARN,
        canary(playbook("signals", [{"kind": "rollout"}])),
        "no synthetic request",
    ),
    Row("beside-not-asked", "asked", None, canary()),
    Row(
        "beside-crd-new",
        "with resources of it",
        INFO,
        canary(defines(ROUTES), add(ROUTE, to="new")),
        "routes.edge.dev: edge.dev/v1 is not served yet, and the step `crds` makes it first; "
        "before that nobody can try Route all",
    ),
    Row("beside-crd-new", "without any", INFO, canary(defines(ROUTES)), "routes.edge.dev"),
    Row(
        "beside-crd-new",
        "a further version",
        INFO,
        canary(defines(ROUTES_V2, live=ROUTES), add(ROUTE_V2, to="new")),
        "edge.dev/v2 is not served yet, and the step `crds` makes it first; before that nobody can try Route",
    ),
    Row("beside-crd-new", "there", None, canary(defines(ROUTES, live=ROUTES), add(ROUTE, to="new"))),
    Row("kind-unserved", "made first", None, canary(defines(ROUTES), add(ROUTE, to="new"), ROUTE_UNSERVED)),
    Row(
        "kind-unserved",
        "another version",
        BLOCK,
        canary(defines(ROUTES), add(ROUTE_V2, to="new"), ROUTE_UNSERVED),
    ),
    Row("kind-unserved", "rolling", BLOCK, all_of(defines(ROUTES), add(ROUTE, to="new"), ROUTE_UNSERVED)),
    Row("beside-admission-unseen", "new", INFO, canary(exists=False), "namespace edge-green"),
    Row("beside-admission-unseen", "there", None, canary()),
)
