"""Rows for custom resource definitions: the chart's beside the live ones, and what they define."""

from __future__ import annotations

from typing import Any

from tests.checks.rows import BLOCK, WARN, Change, Row, add, all_of, nothing, put
from tests.checks.rows_beside import canary
from upgrader.model.definitions import BUNDLE, CHANNEL
from upgrader.model.plugins import CUSTOM_LIMIT
from upgrader.model.ports import Manifest
from upgrader.testing.surveys import an_object

NAME = "widgets.x"
SPEC = {"size": {"type": "integer"}}


def widgets(
    served: dict[str, bool],
    stored: tuple[str, ...] = ("v1",),
    *,
    properties: dict[str, Any] | None = None,
    **more: Any,
) -> Manifest:
    """Return a definition as somebody else may have written it; the first version is the one to store."""
    fields = {"type": "object", "properties": SPEC if properties is None else properties}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": fields}}}
    versions = [
        {"name": name, "served": is_served, "storage": place == 0, "schema": schema}
        for place, (name, is_served) in enumerate(served.items())
    ]
    spec = {
        "group": "x",
        "scope": more.pop("scope", "Namespaced"),
        "names": {"kind": more.pop("kind", "Widget"), "plural": "widgets"},
        "versions": versions,
        **({"conversion": more.pop("conversion")} if "conversion" in more else {}),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME, **more},
        "spec": spec,
        "status": {"storedVersions": list(stored)},
    }


def with_narrow_v2() -> Manifest:
    """Return a definition that stores v2 from now on, which takes less than v1."""
    first, second = widgets({"v2": True}, properties=NARROW), widgets({"v1": True})
    versions = [*first["spec"]["versions"], {**second["spec"]["versions"][0], "storage": False}]
    return first | {"spec": first["spec"] | {"versions": versions}}


def widget(name: str, *, manager_of: str = "", **spec: Any) -> Manifest:
    entries = [{"manager": "router", "apiVersion": manager_of}] if manager_of else []
    return an_object("x/v1", "Widget", name=name, metadata={"managedFields": entries}, spec=spec)


def crds(live: Manifest | None, new: Manifest, *objects: Manifest) -> Change:
    """Have one definition in crds/, another one live, and objects of its kind."""
    return put(crds=[new], live_crds=[live] if live else [], custom={NAME: objects})


def webhook(ca: str = "Q0E=") -> dict[str, Any]:
    client = {"service": {"namespace": "edge", "name": "control"}, **({"caBundle": ca} if ca else {})}
    return {"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}}


def noted(**notes: str) -> dict[str, Any]:
    return {"annotations": {key: value for key, value in notes.items() if value}}


V1, V1_V2, V2 = {"v1": True}, {"v1": True, "v2": True}, {"v2": True}
STORES_V2 = {"v2": True, "v1": True}
WIDE, NARROW = {"size": {"type": "integer"}}, {"size": {"type": "integer", "maximum": 10}}
FEWER: dict[str, Any] = {"colour": {"type": "string"}}
CEL = {"size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 1"}]}}

DEFINITIONS = (
    Row(
        "crd-version-lost",
        "of a template",
        BLOCK,
        all_of(add(widgets(V1), to="old"), add(widgets(V2), to="new")),
        "stores objects in v1",
    ),
    Row("crd-version-lost", "of crds/", BLOCK, crds(widgets(V1), widgets(V2)), "stores objects in v1"),
    Row("crd-version-lost", "kept", None, add(widgets(V1_V2), to="old new")),
    Row("crd-version-lost", "migrated", None, crds(widgets(V1_V2, ("v2",)), widgets(V2, ("v2",)))),
    Row(
        "crd-version-unserved",
        "used by nobody",
        WARN,
        crds(widgets(STORES_V2, ("v2",)), widgets({"v2": True, "v1": False}, ("v2",))),
        "no longer serve v1",
    ),
    Row(
        "crd-version-unserved",
        "used by a manager",
        BLOCK,
        crds(widgets(STORES_V2, ("v2",)), widgets(V2, ("v2",)), widget("a", manager_of="x/v1", size=1)),
        "manager router used it",
    ),
    Row(
        "crd-version-unserved",
        "used by the chart",
        BLOCK,
        all_of(crds(widgets(STORES_V2, ("v2",)), widgets(V2, ("v2",))), add(widget("a", size=1), to="old")),
        "revision 1 used it",
    ),
    Row("crd-version-unserved", "served", None, add(widgets(V1), to="old new")),
    Row(
        "crd-identity",
        "another scope",
        BLOCK,
        crds(widgets(V1), widgets(V1, scope="Cluster")),
        "scope Namespaced → Cluster",
    ),
    Row("crd-identity", "another kind", BLOCK, crds(widgets(V1), widgets(V1, kind="Gadget")), "names.kind"),
    Row("crd-identity", "another schema", None, crds(widgets(V1), widgets(V1, properties=NARROW))),
    Row("crd-storage-moves", "to v2", WARN, crds(widgets(V1), widgets(STORES_V2)), "in v2 instead of v1"),
    Row("crd-storage-moves", "stays", None, crds(widgets(V1), widgets(V1_V2))),
    Row(
        "crd-not-updated",
        "differs",
        BLOCK,
        crds(widgets(V1), widgets(V1_V2)),
        "widgets.x of the chart's crds/ differs from the live one",
    ),
    Row("crd-not-updated", "a step writes it", None, canary(crds(widgets(V1), widgets(V1_V2)))),
    Row("crd-not-updated", "missing", BLOCK, crds(None, widgets(V1)), "is not in the cluster"),
    Row(
        "crd-not-updated",
        "only what the API server fills in",
        None,
        crds(
            widgets(V1, conversion={"strategy": "None"}),
            widgets(V1, annotations={"helm.sh/chart": "gateway"}),
        ),
    ),
    Row(
        "crd-not-updated",
        "a template: Helm writes it",
        None,
        all_of(add(widgets(V1), to="old"), add(widgets(V1_V2), to="new")),
    ),
    Row(
        "crd-not-updated",
        "a newer bundle is live",
        None,
        crds(widgets(V1_V2, **noted(**{BUNDLE: "v1.2.1"})), widgets(V1, **noted(**{BUNDLE: "v1.1.0"}))),
    ),
    Row("crd-removed", "gone", BLOCK, add(widgets(V1), to="old")),
    Row(
        "crd-removed",
        "moved to crds/: Helm deletes it all the same",
        BLOCK,
        all_of(add(widgets(V1), to="old"), put(crds=[widgets(V1)])),
    ),
    Row(
        "crd-removed",
        "to be kept",
        None,
        add(widgets(V1, **noted(**{"helm.sh/resource-policy": "keep"})), to="old"),
    ),
)

OBJECTS = (
    Row(
        "crd-objects-rejected",
        "a narrowed schema",
        BLOCK,
        crds(widgets(V1), widgets(V1, properties=NARROW), widget("big", size=11), widget("small", size=3)),
        "1 of 2 objects would be refused: edge/big (spec.size: maximum 10)",
    ),
    Row(
        "crd-objects-rejected",
        "the version to store from now on",
        BLOCK,
        crds(
            widgets(V1),
            with_narrow_v2(),
            widget("big", size=11),
        ),
        "version v2",
    ),
    Row(
        "crd-objects-rejected",
        "all pass",
        None,
        crds(widgets(V1), widgets(V1, properties=NARROW), widget("small", size=10)),
    ),
    Row(
        "crd-objects-rejected",
        "refused before, too",
        None,
        crds(
            widgets(V1, properties=NARROW),
            widgets(V1, properties={**NARROW, "more": {"type": "string"}}),
            widget("big", size=11),
        ),
    ),
    Row(
        "crd-fields-pruned",
        "a field is gone",
        WARN,
        crds(widgets(V1), widgets(V1, properties=FEWER), widget("a", size=1)),
        "edge/a (spec.size)",
    ),
    Row(
        "crd-fields-pruned",
        "nobody has it",
        None,
        crds(widgets(V1), widgets(V1, properties=FEWER), widget("a")),
    ),
    Row(
        "crd-objects-unread",
        "no right to list",
        WARN,
        all_of(crds(widgets(V1), widgets(V1, properties=NARROW)), put(custom={NAME: None})),
        "may not be listed",
    ),
    Row(
        "crd-objects-unread",
        "too many",
        WARN,
        crds(widgets(V1), widgets(V1_V2), *[widget(f"w{n}") for n in range(CUSTOM_LIMIT)]),
        f"first {CUSTOM_LIMIT}",
    ),
    Row(
        "crd-objects-unread",
        "no schema",
        WARN,
        crds(widgets(V1), widgets(V1, properties={"size": {"type": "whole"}}), widget("a", size=1)),
        "cannot be read",
    ),
    Row(
        "crd-objects-unread",
        "read",
        None,
        crds(widgets(V1), widgets(V1, properties=NARROW), widget("a", size=1)),
    ),
    Row(
        "crd-rules-untried",
        "a new rule",
        WARN,
        crds(widgets(V1), widgets(V1, properties=CEL), widget("a", size=2)),
        "1 new rules, such as spec.size: self > 1",
    ),
    Row(
        "crd-rules-untried",
        "the same rule",
        None,
        crds(
            widgets(V1, properties=CEL),
            widgets(V1, properties={**CEL, "more": {"type": "string"}}),
            widget("a", size=2),
        ),
    ),
    Row("crd-rules-untried", "no object", None, crds(widgets(V1), widgets(V1, properties=CEL))),
)

SERVICE = an_object("v1", "Service", name="control", spec={})
READY = an_object(
    "discovery.k8s.io/v1",
    "EndpointSlice",
    name="control-1",
    metadata={"labels": {"kubernetes.io/service-name": "control"}},
    endpoints=[{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
)
CONVERTED = crds(widgets(V1), widgets(V1_V2, conversion=webhook()))
KEPT: dict[str, Any] = {
    "managedFields": [{"manager": "router", "fieldsV1": {"f:spec": {"f:conversion": {}}}}]
}
OURS: dict[str, Any] = {
    "managedFields": [{"manager": "upgrader", "fieldsV1": {"f:spec": {"f:conversion": {}}}}]
}

CONVERSION = (
    Row("crd-webhook-unanswered", "no Service", BLOCK, CONVERTED, "which does not exist"),
    Row(
        "crd-webhook-unanswered",
        "no endpoint",
        BLOCK,
        all_of(CONVERTED, add(SERVICE, to="near")),
        "no ready endpoint",
    ),
    Row("crd-webhook-unanswered", "ready", None, all_of(CONVERTED, add(SERVICE, READY, to="near"))),
    Row("crd-webhook-unanswered", "one version", None, crds(widgets(V1), widgets(V1, conversion=webhook()))),
    Row(
        "crd-webhook-without-ca",
        "none",
        BLOCK,
        crds(widgets(V1), widgets(V1_V2, conversion=webhook(ca=""))),
    ),
    Row(
        "crd-webhook-without-ca",
        "cert-manager fills it",
        WARN,
        crds(
            widgets(V1),
            widgets(V1_V2, conversion=webhook(ca=""), **noted(**{"cert-manager.io/inject-ca-from": "x/y"})),
        ),
    ),
    Row(
        "crd-webhook-without-ca",
        "the live one is filled",
        None,
        crds(widgets(V1_V2, conversion=webhook()), widgets(STORES_V2, conversion=webhook(ca=""))),
    ),
    Row(
        "crd-conversion-lost",
        "none",
        BLOCK,
        crds(widgets(V1_V2, conversion=webhook()), widgets(V1_V2, conversion={"strategy": "None"})),
        "converts v1, v2",
    ),
    Row(
        "crd-conversion-lost",
        "no longer named by who applied it",
        BLOCK,
        crds(widgets(V1_V2, conversion=webhook(), **OURS), widgets(STORES_V2)),
    ),
    Row(
        "crd-conversion-lost",
        "another manager keeps it",
        None,
        crds(widgets(V1_V2, conversion=webhook(), **KEPT), widgets(STORES_V2)),
    ),
    Row(
        "crd-conversion-lost",
        "one version was in use",
        None,
        crds(widgets(V1, conversion=webhook()), widgets(V1_V2)),
    ),
)


PATCH = "patch CustomResourceDefinition everywhere"


def owned(name: str) -> dict[str, Any]:
    return noted(**{"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": "edge"})


OWNERS = (
    Row(
        "crd-owner",
        "another release",
        BLOCK,
        crds(widgets(V1, **owned("shop")), widgets(V1_V2)),
        "Helm release edge/shop",
    ),
    Row("crd-owner", "this release", None, crds(widgets(V1, **owned("gateway")), widgets(V1_V2))),
    Row("crd-owner", "another's, and the same", None, crds(widgets(V1, **owned("shop")), widgets(V1))),
    Row(
        "crd-owner",
        "Flux",
        BLOCK,
        crds(widgets(V1, labels={"kustomize.toolkit.fluxcd.io/name": "crds"}), widgets(V1_V2)),
        "Flux",
    ),
    Row(
        "crd-owner",
        "an operator",
        BLOCK,
        crds(widgets(V1, labels={"app.kubernetes.io/managed-by": "edge-operator"}), widgets(V1_V2)),
        "edge-operator",
    ),
    Row(
        "crd-rights",
        "no patch",
        BLOCK,
        canary(crds(widgets(V1), widgets(V1_V2)), put(missing_rights={PATCH})),
        f"we may not: {PATCH}; to write: widgets.x",
    ),
    Row("crd-rights", "all", None, canary(crds(widgets(V1), widgets(V1_V2)))),
    Row(
        "crd-rights",
        "nothing to write",
        None,
        canary(crds(widgets(V1), widgets(V1)), put(missing_rights={PATCH})),
    ),
    Row(
        "crd-bundle-older",
        "a newer one is live",
        BLOCK,
        crds(widgets(V1_V2, **noted(**{BUNDLE: "v1.2.1"})), widgets(V1, **noted(**{BUNDLE: "v1.2.1-rc.2"}))),
        "bundle v1.2.1 is live",
    ),
    Row(
        "crd-bundle-older",
        "a lesser channel",
        BLOCK,
        crds(
            widgets(V1_V2, **noted(**{BUNDLE: "v1.2.1", CHANNEL: "experimental"})),
            widgets(V1, **noted(**{BUNDLE: "v1.2.1", CHANNEL: "standard"})),
        ),
        "experimental channel is live",
    ),
    Row(
        "crd-bundle-older",
        "newer",
        None,
        crds(widgets(V1, **noted(**{BUNDLE: "v1.9.0"})), widgets(V1_V2, **noted(**{BUNDLE: "v1.10.0"}))),
    ),
    Row("crd-bundle-older", "none", None, nothing),
)

ROWS = (*DEFINITIONS, *OBJECTS, *CONVERSION, *OWNERS)
