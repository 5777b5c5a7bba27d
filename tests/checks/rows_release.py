"""Rows for what concerns the release: history, chart, manifests, hooks, owners."""

from __future__ import annotations

from tests.checks.rows import (
    BLOCK,
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
    put,
)
from tests.checks.rows_beside import canary
from tests.checks.rows_crds import widgets
from upgrader.model.ports import ReleaseStatus, Revision
from upgrader.testing.surveys import an_object, deployment, hook


def history(*statuses: ReleaseStatus, chart: str = "gateway-1.11.28") -> list[Revision]:
    return [Revision(number, status, chart) for number, status in enumerate(statuses, start=1)]


S = ReleaseStatus
JOB = an_object(
    "batch/v1", "Job", name="seed", spec={"template": {"spec": {"containers": [{"image": "seed:1"}]}}}
)
JOB_2 = an_object(
    "batch/v1", "Job", name="seed", spec={"template": {"spec": {"containers": [{"image": "seed:2"}]}}}
)
IMMUTABLE = (422, 'Job.batch "seed" is invalid: spec.template: Invalid value: {}: field is immutable')
TWO_CONFLICTS = (
    409,
    'Apply failed with 2 conflicts: conflicts with "kubectl-edit" using apps/v1:\n'
    "- .spec.replicas\n- .spec.strategy.rollingUpdate.maxSurge",
)
ONE_CONFLICT = (409, 'Apply failed with 1 conflict: conflict with "hpa" using apps/v1: .spec.replicas')
GATEWAY = ("Deployment", "gateway")


RELEASE = (
    Row(
        "release-pending",
        "killed",
        BLOCK,
        put(history=history(S.DEPLOYED, S.PENDING_UPGRADE), new=[]),
        "revision 2",
    ),
    Row("release-pending", "long over", None, put(history=history(S.PENDING_UPGRADE, S.DEPLOYED))),
    Row("release-gone", "uninstalling", BLOCK, put(history=history(S.DEPLOYED, S.UNINSTALLING), new=[])),
    Row("release-gone", "reinstalled", None, put(history=history(S.UNINSTALLED, S.DEPLOYED))),
    Row("release-several-deployed", "two", BLOCK, put(history=history(S.DEPLOYED, S.DEPLOYED)), "1, 2"),
    Row("release-several-deployed", "one", None, put(history=history(S.SUPERSEDED, S.DEPLOYED))),
    Row("release-failed", "nothing of it live", WARN, put(history=history(S.DEPLOYED, S.FAILED))),
    Row(
        "release-failed",
        "half applied",
        BLOCK,
        all_of(put(history=history(S.DEPLOYED, S.FAILED)), proxy("image", "gateway:bad", "live")),
        "Deployment edge/gateway (spec.template.spec.containers)",
    ),
    Row("release-failed", "long over", None, put(history=history(S.FAILED, S.DEPLOYED))),
    Row("known-good-missing", "only superseded", BLOCK, put(history=history(S.SUPERSEDED, S.FAILED), old=[])),
    Row("known-good-missing", "deployed", None, nothing),
    Row(
        "known-good-drift", "edited", WARN, proxies("spec.minReadySeconds", 9, "live"), "spec.minReadySeconds"
    ),
    Row("known-good-drift", "only status", None, proxies("status.note", "x", "live")),
    Row("chart-from", "other", BLOCK, put(history=history(S.DEPLOYED, chart="gateway-1.11.27")), "1.11.27"),
    Row("chart-from", "a suffix is no match", BLOCK, playbook("releases.0.chart.from", "11.28")),
    Row("chart-from", "same", None, nothing),
    Row(
        "chart-from",
        "to a revision",
        None,
        put(history=history(S.DEPLOYED, chart="gateway-1"), chart_version=""),
    ),
    Row("chart-to", "other", BLOCK, put(chart_version="1.11.31"), "gateway-1.11.31"),
    Row("chart-to", "same", None, nothing),
)

RENDERING = (
    Row("rendering-empty", "nothing", BLOCK, put(new=[])),
    Row(
        "rendering-empty", "Helm is locked", None, put(history=history(S.DEPLOYED, S.PENDING_UPGRADE), new=[])
    ),
    Row("rendering-unstable", "random", WARN, put(is_stable=False)),
    Row("rendering-unstable", "stable", None, nothing),
    Row(
        "rolls-nothing",
        "same images",
        WARN,
        all_of(
            proxy("image", "same"),
            edit("Deployment", "control", "spec.template.spec.containers.0.image", "same"),
        ),
    ),
    Row("rolls-nothing", "another image", None, nothing),
    Row(
        "rolls-with-helm",
        "in no group",
        WARN,
        all_of(
            add(deployment("auth", replicas=2, container={"name": "a", "image": "auth:1"}), to="old"),
            add(deployment("auth", replicas=2, container={"name": "a", "image": "auth:2"}), to="new"),
        ),
        "auth:1 → auth:2",
    ),
    Row(
        "rolls-with-helm",
        "in no group and the same",
        None,
        add(deployment("auth", replicas=2, container={"name": "a", "image": "auth:1"}), to="old new"),
    ),
)

ADMISSION = (
    Row(
        "field-conflict",
        "two fields",
        BLOCK,
        put(answers={GATEWAY: TWO_CONFLICTS}),
        "kubectl-edit owns .spec.replicas, .spec.strategy.rollingUpdate.maxSurge",
    ),
    Row(
        "field-conflict", "one field", BLOCK, put(answers={GATEWAY: ONE_CONFLICT}), "hpa owns .spec.replicas"
    ),
    Row("field-conflict", "none", None, nothing),
    Row(
        "immutable-field",
        "selector",
        BLOCK,
        put(answers={GATEWAY: (422, "spec.selector: field is immutable")}),
    ),
    Row(
        "immutable-field",
        "a Job is spoken of elsewhere",
        None,
        put(new=[JOB], answers={("Job", "seed"): IMMUTABLE}),
    ),
    Row(
        "quota-exceeded",
        "quota",
        BLOCK,
        put(answers={GATEWAY: (403, "exceeded quota: edge, requested: cpu=1")}),
    ),
    Row("quota-exceeded", "other", None, put(answers={GATEWAY: (403, "no")})),
    Row(
        "admission-denied", "webhook", BLOCK, put(answers={GATEWAY: (403, 'admission webhook "x" denied it')})
    ),
    Row("admission-denied", "other", None, put(answers={GATEWAY: (403, "no")})),
    Row(
        "kind-unserved",
        "no CRD",
        BLOCK,
        all_of(
            _w := add(an_object("x/v1", "Widget", name="w"), to="new"),
            put(answers={("Widget", "w"): (404, "the API server does not serve Widget")}),
        ),
    ),
    Row(
        "kind-unserved",
        "the CRD comes along",
        None,
        all_of(_w, add(widgets({"v1": True}), to="new"), put(answers={("Widget", "w"): (404, "not served")})),
    ),
    Row(
        "dry-run-refused", "invalid", BLOCK, put(answers={GATEWAY: (422, "spec.replicas: Invalid value: -1")})
    ),
    Row("dry-run-refused", "taken", None, nothing),
    Row(
        "dry-run-refused",
        "a Job's template is spoken of elsewhere",
        None,
        put(new=[JOB], answers={("Job", "seed"): (422, "spec.template: Invalid value: {… cut off")}),
    ),
    Row(
        "dry-run-refused",
        "a long answer",
        BLOCK,
        put(answers={GATEWAY: (422, f"spec.x: {'y' * 2000}: required value")}),
        " … yyyy",
    ),
    Row(
        "immutable-job",
        "refused for another reason",
        None,
        all_of(add(JOB, to="old new"), put(answers={("Job", "seed"): (403, "exceeded quota: edge")})),
    ),
    Row(
        "way-back-refused",
        "conflict",
        BLOCK,
        put(answers_back={GATEWAY: ONE_CONFLICT}),
        "revision 1: Deployment",
    ),
    Row("way-back-refused", "taken", None, nothing),
    Row(
        "immutable-job",
        "exists",
        BLOCK,
        all_of(add(JOB, to="old"), add(JOB_2, to="new"), put(answers={("Job", "seed"): IMMUTABLE})),
        "Job edge/seed",
    ),
    Row("immutable-job", "gone by its TTL", None, all_of(add(JOB, to="old"), add(JOB_2, to="new"))),
    Row("job-way-back", "gone by its TTL", WARN, all_of(add(JOB, to="old"), add(JOB_2, to="new"))),
    Row("job-way-back", "the same", None, add(JOB, to="old new")),
)

HOOKS = (
    Row(
        "post-upgrade-hook",
        "a Job",
        BLOCK,
        add(hook("Job", "check", events="post-install,post-upgrade"), to="new_hooks"),
    ),
    Row(
        "post-upgrade-hook",
        "declared safe",
        INFO,
        all_of(
            add(hook("Job", "check", events="post-upgrade"), to="new_hooks"),
            playbook("checks.declare.hooks_safe", ["check"]),
        ),
        "declared safe",
    ),
    Row(
        "post-upgrade-hook",
        "of an install",
        None,
        add(hook("Job", "check", events="post-install"), to="new_hooks"),
    ),
    Row(
        "post-upgrade-hook",
        "only a role",
        None,
        add(hook("Role", "check", events="post-upgrade"), to="new_hooks"),
    ),
    Row(
        "post-upgrade-hook",
        "a run to a revision",
        None,
        all_of(add(hook("Job", "check", events="post-upgrade"), to="new_hooks"), put(chart_version="")),
    ),
    Row(
        "pre-upgrade-hook",
        "a Job",
        INFO,
        add(hook("Job", "migrate", events="pre-upgrade"), to="new_hooks"),
        "migrate:1",
    ),
    Row("pre-upgrade-hook", "a test", None, add(hook("Pod", "probe", events="test"), to="new_hooks")),
    Row(
        "hook-recreated", "a Secret", WARN, add(hook("Secret", "certs", events="pre-upgrade"), to="new_hooks")
    ),
    Row(
        "hook-recreated",
        "of an install",
        None,
        add(hook("Secret", "certs", events="pre-install"), to="new_hooks"),
    ),
    Row("hook-recreated", "a Job", None, add(hook("Job", "migrate", events="pre-upgrade"), to="new_hooks")),
    Row(
        "delete-hook",
        "of the old version",
        WARN,
        canary(add(hook("Job", "clean", events="pre-delete"), to="old_hooks")),
        "when the old version is retired",
    ),
    Row(
        "delete-hook",
        "of the new version",
        WARN,
        canary(add(hook("Job", "clean", events="post-delete"), to="new_hooks")),
        "taken away again",
    ),
    Row("delete-hook", "rolling", None, add(hook("Job", "clean", events="pre-delete"), to="new_hooks")),
    Row(
        "pre-upgrade-hook",
        "of an upgrade, and it is installed",
        None,
        canary(add(hook("Job", "migrate", events="pre-upgrade"), to="new_hooks")),
    ),
    Row(
        "pre-upgrade-hook",
        "of an installation beside",
        INFO,
        canary(add(hook("Job", "migrate", events="pre-install"), to="new_hooks")),
    ),
)

CONFIGURATION = (
    Row(
        "config-in-place",
        "read by old pods",
        BLOCK,
        edit("ConfigMap", "bootstrap", "data", {"envoy.yaml": "new"}, "new"),
        "read by gateway, changes in place: data.envoy.yaml",
    ),
    Row(
        "config-in-place",
        "declared compatible",
        INFO,
        all_of(
            edit("ConfigMap", "bootstrap", "data", {"envoy.yaml": "new"}, "new"),
            playbook("checks.declare.config_compatible", True),
        ),
        "declared compatible",
    ),
    Row(
        "config-in-place",
        "read by nobody",
        None,
        all_of(
            add(an_object("v1", "ConfigMap", name="spare", data={"a": "1"}), to="old"),
            add(an_object("v1", "ConfigMap", name="spare", data={"a": "2"}), to="new"),
        ),
    ),
    Row("config-removed", "gone", WARN, drop("ConfigMap", "bootstrap", "new")),
    Row("config-removed", "kept", None, nothing),
    Row(
        "config-removed", "Helm is locked", None, put(history=history(S.DEPLOYED, S.PENDING_UPGRADE), new=[])
    ),
)

VALUES = (
    Row(
        "values-unknown",
        "mistyped",
        WARN,
        put(unknown_values={"prod.yaml": ("proxy.replicaCuont",)}),
        "prod.yaml: the new chart does not know proxy.replicaCuont",
    ),
    Row("values-unknown", "many", WARN, put(unknown_values={"a": tuple("abcdefghij")}), "and 2 more"),
    Row("values-unknown", "all known", None, put(unknown_values={"prod.yaml": ()})),
)

ARGO = {"argocd.argoproj.io/tracking-id": "gw:apps/Deployment:edge/gateway"}
OWNERS = (
    Row(
        "gitops-owner", "Argo CD", BLOCK, proxies("metadata.annotations", ARGO, "live"), "Argo CD: Deployment"
    ),
    Row(
        "gitops-owner",
        "Flux",
        BLOCK,
        edit("Service", "gateway", "metadata.labels", {"helm.toolkit.fluxcd.io/name": "gw"}, "live"),
        "Flux: Service",
    ),
    Row(
        "gitops-owner",
        "Helm's own label",
        None,
        proxies("metadata.labels", {"app": "gateway", "app.kubernetes.io/instance": "gw"}, "live"),
    ),
)

ROWS = (*RELEASE, *RENDERING, *ADMISSION, *HOOKS, *CONFIGURATION, *VALUES, *OWNERS)
