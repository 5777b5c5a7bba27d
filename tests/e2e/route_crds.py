"""Definitions of route objects as their projects publish them: Go modules, kept in Go's own cache."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

GATEWAY_API = "sigs.k8s.io/gateway-api@v1.6.3"
"""The newest that the lab's Go 1.26 takes; v1.7 wants 1.27."""
ISTIO = "istio.io/api@v1.31.4"
_GATEWAY_KINDS = (
    "gatewayclasses",
    "gateways",
    "httproutes",
    "grpcroutes",
    "tlsroutes",
    "referencegrants",
    "backendtlspolicies",
)


@cache
def module(name: str) -> Path:
    """Return the folder of a Go module, fetched on first use on a machine."""
    go = shutil.which("go") or "/usr/local/go/bin/go"
    command = [go, "mod", "download", "-json", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200, cwd="/")
    return Path(json.loads(done.stdout)["Dir"])


def gateway_api() -> str:
    """Return the standard channel's definitions that a controller of Gateway API asks for."""
    folder = module(GATEWAY_API) / "config" / "crd" / "standard"
    files = (folder / f"gateway.networking.k8s.io_{kind}.yaml" for kind in _GATEWAY_KINDS)
    return "\n---\n".join(file.read_text() for file in files)


def istio() -> str:
    """Return Istio's definition of a VirtualService, out of the file that holds all of them."""
    whole = (module(ISTIO) / "kubernetes" / "customresourcedefinitions.gen.yaml").read_text()
    (found,) = (
        part for part in whole.split("\n---\n") if "name: virtualservices.networking.istio.io" in part
    )
    return found


def gloo() -> list[dict[str, Any]]:
    """Return a stand-in for Gloo's definitions, which no package holds: what we write has its type.

    What was tried stands in docs/balancers.md. Source of the types: solo-io/gloo ``install/helm/gloo/crds``,
    checked 2026-11. All else is let through.
    """
    weight = {"type": "integer", "minimum": 0, "maximum": 4294967295, "nullable": True}
    destinations = {"type": "array", "items": _open({"weight": weight})}
    action = _open({"multi": _open({"destinations": destinations})})
    routes = {"type": "array", "items": _open({"routeAction": action})}
    virtual_host = _open({"virtualHost": _open({"routes": routes})})
    return [_gloo("VirtualService", virtual_host), _gloo("RouteTable", _open({"routes": routes}))]


def _open(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": properties}


def _gloo(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": spec, "status": _open({})}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.lower()}s.gateway.solo.io"},
        "spec": {"group": "gateway.solo.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }
