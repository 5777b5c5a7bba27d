"""Render a new installation without the API server, as if the chart's ``crds/`` were served already.

Helm cannot dry-run resources of a kind that is not served: it answers "no matches for kind". A second
installation has its definitions applied first, so what it will find is known: what is served now, and they.
``lookup`` finds nothing here, as it does in a place where nothing of the release is yet.
Source: ``helm template --help`` of v4.3.1 and v3.22.0 (``--kube-version``, ``--api-versions``), 2026-11-24.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from upgrader.adapters.helm_manifest import Scope, objects
from upgrader.model.ports import Manifest

HOOK: Final = "helm.sh/hook"
_BREAK: Final = re.compile(r"^---\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Serving:
    """What the API server serves; templates may ask for it (``.Capabilities``).

    Args:
        version: Its version, such as ``v1.37.2``.
        kinds: Each ``group/version``, and each ``group/version/Kind``.
    """

    version: str
    kinds: tuple[str, ...]


def brought(definitions: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], bool]:
    """Return what definitions will have served: ``(apiVersion, kind)``, and if that lives in namespaces."""
    return {
        (f"{spec['group']}/{version['name']}", str(spec["names"]["kind"])): spec.get("scope") != "Cluster"
        for one in definitions
        for spec in [one["spec"]]
        for version in spec.get("versions") or ()
        if version.get("served")
    }


def scope_with(scope: Scope, coming: Mapping[tuple[str, str], bool]) -> Scope:
    """Return how kinds live once these are served, too."""

    def lives_in_namespaces(api_version: str, kind: str) -> bool | None:
        served = scope(api_version, kind)
        return coming.get((api_version, kind)) if served is None else served

    return lives_in_namespaces


def capability_arguments(serving: Serving, coming: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the arguments that tell ``helm template`` what the API server will serve by then."""
    yield from ("--kube-version", serving.version)
    for api_version, kind in coming:
        yield from ("--api-versions", api_version, "--api-versions", f"{api_version}/{kind}")
    for one in serving.kinds:
        yield from ("--api-versions", one)


def parted(text: str) -> tuple[str, list[str]]:
    """Part what ``helm template`` prints into the manifest and each hook; `ValueError` if it is no YAML."""
    parts = [part for part in _BREAK.split(text) if part.strip()]
    hooks = [part for part in parts if any(map(_is_hook, objects(part)))]
    return "\n---\n".join(part for part in parts if part not in hooks), hooks


def _is_hook(item: Manifest) -> bool:
    return HOOK in ((item.get("metadata") or {}).get("annotations") or {})
