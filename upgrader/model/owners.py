"""By which marks a tool says that an object is its own. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upgrader.model import manifests

OWNER_MARKS: Mapping[str, str] = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "objectset.rio.cattle.io/id": "Fleet or the k3s Helm controller",
    "addonmanager.kubernetes.io/mode": "the cluster's add-on manager",
    "olm.managed": "the Operator Lifecycle Manager",
}
"""Label or annotation → the tool."""


def owners_of(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the tools that mark an object as their own, each with its mark."""
    marks = {**manifests.labels_of(manifest), **manifests.annotations_of(manifest)}
    found: dict[str, str] = {}
    for mark, owner in OWNER_MARKS.items():
        if mark in marks:
            found.setdefault(owner, f"{mark}={marks[mark]}")
    return found
