"""Custom resource definitions: what the chart brings, what is live, and what would change. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model import manifests
from upgrader.model.owners import owners_of
from upgrader.model.plugins import Survey
from upgrader.model.ports import Manifest, Ref
from upgrader.model.subjects import by_ref

API_VERSION, KIND = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
RELEASE_NAME, RELEASE_NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
BUNDLE, CHANNEL = "gateway.networking.k8s.io/bundle-version", "gateway.networking.k8s.io/channel"
"""Marks of the Gateway API's definitions, which many charts bring along.

Source: https://gateway-api.sigs.k8s.io/concepts/versioning/, checked 2026-11.
"""
APPLIERS = frozenset({"upgrader", "kubectl", "kubectl-client-side-apply"})
"""Managers whose own apply takes away what it no longer names; a field of any other stays."""


@dataclass(frozen=True, slots=True)
class Change:
    """One definition of the new version beside the live one of that name.

    Args:
        ref: Its name.
        live: As it is now.
        new: As the new version would leave it.
        by_helm: It is among the templates, so Helm writes it; else it lies in ``crds/``.
    """

    ref: Ref
    live: Manifest
    new: Manifest
    by_helm: bool


def is_definition(manifest: Mapping[str, Any]) -> bool:
    """Tell whether an object is a custom resource definition."""
    return manifest.get("kind") == KIND


def definition_ref(name: str) -> Ref:
    """Return how a definition is asked for."""
    return Ref(API_VERSION, KIND, "", name)


def name_of(definition: Mapping[str, Any]) -> str:
    """Return its name: ``plural.group``."""
    return str(definition["metadata"]["name"])


def changes(survey: Survey) -> tuple[Change, ...]:
    """Return every definition of the new version that is live and would not stay as it is."""
    return tuple(one for one in _pairs(survey) if not is_same(one.live, one.new))


def absent(survey: Survey) -> tuple[str, ...]:
    """Return the names of those in ``crds/`` that the cluster does not have."""
    held = by_ref(survey.new.objects)
    return tuple(
        name_of(one)
        for one in survey.crds
        if name_of(one) not in survey.live_crds and Ref.of(one) not in held
    )


def to_apply(survey: Survey) -> tuple[str, ...]:
    """Return the names of those in ``crds/`` that must be written for the new version.

    They are missing, or differ from the live ones. One that another owner holds, or of which a newer
    bundle is live, is left alone: checks speak of it.
    """
    ours = (one for one in changes(survey) if not one.by_helm and not is_foreign(survey, one))
    return (*absent(survey), *(one.ref.name for one in ours))


def coming(survey: Survey) -> Mapping[tuple[str, str], str]:
    """Return the kinds that are served only once `to_apply` is done: ``(apiVersion, kind)`` → the CRD's name.

    They are new, or new versions of what is live.
    """
    wanted = frozenset(to_apply(survey))
    return {
        (f"{one['spec']['group']}/{version}", str(one["spec"]["names"]["kind"])): name_of(one)
        for one in survey.crds
        if name_of(one) in wanted
        for version in served(one) - _served_now(survey, name_of(one))
    }


def _served_now(survey: Survey, name: str) -> frozenset[str]:
    live = survey.live_crds.get(name)
    return served(live) if live else frozenset()


def _pairs(survey: Survey) -> Iterator[Change]:
    held = by_ref(survey.new.objects)
    for new in survey.crds:
        live = survey.live_crds.get(name_of(new))
        if live is None:
            continue
        ref = Ref.of(new)
        answer = survey.dry_run.get(ref)
        planned = new if ref in held else applied(live, new)
        planned = answer if isinstance(answer, dict) else planned
        yield Change(definition_ref(ref.name), live, planned, ref in held)


def applied(live: Manifest, new: Manifest) -> Manifest:
    """Return what a server-side apply would leave, as far as conversion goes.

    A chart seldom has the webhook's ``caBundle``, which something else fills; and a conversion it does not
    name stays, where its owner is nobody whose apply would now take it away.
    """
    was, will = conversion(live), conversion(new)
    if "conversion" not in new["spec"] and _is_kept(live):
        return new | {"spec": new["spec"] | {"conversion": was}}
    before, client = _client(was), _client(will)
    if not before.get("caBundle") or not client or client.get("caBundle"):
        return new
    webhook = {**will["webhook"], "clientConfig": {**client, "caBundle": before["caBundle"]}}
    return new | {"spec": new["spec"] | {"conversion": {**will, "webhook": webhook}}}


def _is_kept(live: Manifest) -> bool:
    owners = {
        str(entry.get("manager"))
        for entry in live["metadata"].get("managedFields") or ()
        if "f:conversion" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    }
    return bool(owners - APPLIERS)


def _client(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return (found.get("webhook") or {}).get("clientConfig") or {}


def conversion(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how objects are converted between versions; strategy ``None`` where it says nothing."""
    return definition["spec"].get("conversion") or {"strategy": "None"}


def webhook_client(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how its conversion webhook is called; empty where objects are not converted by one."""
    found = conversion(definition)
    return _client(found) if found.get("strategy") == "Webhook" else {}


def conversion_service(definition: Mapping[str, Any]) -> Ref | None:
    """Return the Service that converts its objects; ``None`` where none does."""
    service = webhook_client(definition).get("service")
    if not service:
        return None
    return Ref("v1", "Service", str(service.get("namespace")), str(service.get("name")))


def versions(definition: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return its versions by name."""
    return {str(one["name"]): one for one in definition["spec"].get("versions") or ()}


def served(definition: Mapping[str, Any]) -> frozenset[str]:
    """Return the versions that clients can use."""
    return frozenset(name for name, one in versions(definition).items() if one.get("served"))


def storage(definition: Mapping[str, Any]) -> str:
    """Return the version in which objects are written to etcd, or the empty text."""
    return next((name for name, one in versions(definition).items() if one.get("storage")), "")


def stored(live: Mapping[str, Any]) -> frozenset[str]:
    """Return the versions in which objects may lie in etcd (``status.storedVersions``)."""
    return frozenset((live.get("status") or {}).get("storedVersions") or ())


def schema(definition: Mapping[str, Any], version: str) -> Mapping[str, Any]:
    """Return the schema of one version; empty where there is none."""
    return (versions(definition).get(version, {}).get("schema") or {}).get("openAPIV3Schema") or {}


def listed_version(live: Mapping[str, Any]) -> str:
    """Return the version in which the live objects are best read: the stored one where it is served."""
    usable = served(live)
    kept = storage(live)
    return kept if kept in usable else min(usable, default="")


def listed_kind(live: Mapping[str, Any]) -> tuple[str, str]:
    """Return the ``apiVersion`` and ``kind`` in which the live objects are read."""
    spec = live["spec"]
    return f"{spec.get('group')}/{listed_version(live)}", str(spec["names"]["kind"])


def is_same(live: Manifest, new: Manifest) -> bool:
    """Tell whether two definitions say the same, what the API server fills in left out."""
    return bool(_settled(live["spec"]) == _settled(new["spec"]))


def _settled(spec: Mapping[str, Any]) -> Any:
    names = spec.get("names") or {}
    kind = str(names.get("kind", ""))
    filled = {"singular": kind.lower(), "listKind": f"{kind}List", **names}
    return _bare({**spec, "names": filled, "conversion": _with_defaults(conversion({"spec": spec}))})


def _with_defaults(found: Mapping[str, Any]) -> Mapping[str, Any]:
    service = _client(found).get("service")
    if not service:
        return found
    client = {**_client(found), "service": {"port": 443, **service}}
    return {**found, "webhook": {**found["webhook"], "clientConfig": client}}


def _bare(value: Any) -> Any:
    """Return a value without what says nothing: null, false, the empty text, the empty list."""
    if isinstance(value, Mapping):
        kept = {key: _bare(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if key == "default" or not _says_nothing(inner)}
    return [_bare(one) for one in value] if isinstance(value, list | tuple) else value


def _says_nothing(value: Any) -> bool:
    return value is None or value is False or value in ("", [])


def is_foreign(survey: Survey, change: Change) -> bool:
    """Tell whether somebody else's definition is live, or a newer one than the chart's."""
    return bool(other_owner(survey, change) or newer_bundle(change))


def other_owner(survey: Survey, change: Change) -> str:
    """Return which other Helm release or tool says that the live definition is its own, or the empty text."""
    notes = manifests.annotations_of(change.live)
    ours = [(one.name, one.namespace) for one in survey.playbook.releases]
    owner = notes.get(RELEASE_NAME, ""), notes.get(RELEASE_NAMESPACE, "")
    if owner[0] and owner not in ours:
        return f"Helm release {owner[1]}/{owner[0]}"
    label = "app.kubernetes.io/managed-by"
    manager = manifests.labels_of(change.live).get(label, "")
    if manager not in ("", "Helm", manifests.labels_of(change.new).get(label)):
        return manager
    return next(iter(owners_of(change.live)), "")


def newer_bundle(change: Change) -> str:
    """Say how the live bundle of definitions is ahead of the chart's, or return the empty text."""
    live, new = manifests.annotations_of(change.live), manifests.annotations_of(change.new)
    was, will = live.get(BUNDLE, ""), new.get(BUNDLE, "")
    if was and will and _numbers(was) > _numbers(will):
        return f"bundle {was} is live, the chart has {will}"
    if live.get(CHANNEL) == "experimental" and new.get(CHANNEL) == "standard":
        return "the experimental channel is live, the chart has the standard one"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version; of two with the same, the one without a suffix is newer."""
    main, _, suffix = version.partition("-")
    return (*(int(found) for found in re.findall(r"\d+", main)), 0 if suffix else 1)
