"""How the API server names kinds in its paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from upgrader.model.ports import Ref


@dataclass(frozen=True, slots=True)
class Resource:
    """How the API server serves a kind.

    Args:
        group_version: ``v1`` or ``apps/v1``.
        plural: The name in paths.
        namespaced: False for cluster-wide kinds.
    """

    group_version: str
    plural: str
    namespaced: bool

    @property
    def group(self) -> str:
        """Return the API group; empty for the core."""
        return self.group_version.rpartition("/")[0]

    def path(self, namespace: str = "", name: str = "") -> str:
        """Return the path of one object, or of all (``name`` empty), in a namespace or everywhere."""
        parts = [root(self.group_version)]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=":"))
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


def root(api_version: str) -> str:
    """Return the path under which a group and version is served."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def one(resource: Resource, ref: Ref) -> str:
    """Return the path of one object; `ValueError` where its name or needed namespace is empty."""
    if not ref.name or (resource.namespaced and not ref.namespace):
        raise ValueError(
            f"{ref.kind} {ref.name!r} in namespace {ref.namespace!r}: name and namespace are needed"
        )
    return resource.path(ref.namespace, ref.name)


def guess_plural(kind: str) -> str:
    """Return the likely resource name of a kind that is not served yet, by kubectl's rule."""
    name = kind.lower()
    if name.endswith("s"):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def group_versions(said: Mapping[str, Any]) -> Iterator[str]:
    """Yield each group and version of what ``/api`` or ``/apis`` says."""
    yield from said.get("versions") or ()
    for group in said.get("groups") or ():
        yield from (str(version["groupVersion"]) for version in group["versions"])


def kinds(api_version: str, said: Mapping[str, Any]) -> Iterator[str]:
    """Yield ``group/version/Kind`` for each kind that a group and version says it serves."""
    yield from (
        f"{api_version}/{one['kind']}" for one in said.get("resources") or () if "/" not in one["name"]
    )
