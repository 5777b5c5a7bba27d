"""Read what Helm renders, as the API server would read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import yaml

from upgrader.model.ports import Manifest, Rendered

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Scope = Callable[[str, str], bool | None]
"""Tells whether ``(apiVersion, kind)`` lives in namespaces; ``None`` when the kind is not served (yet)."""


class ManifestLoader(_Base):  # type: ignore[misc]
    """Reads scalars as ``sigs.k8s.io/yaml`` does, which Helm and the API server use.

    PyYAML differs: ``12:30`` is 750 there, ``2026-01-01`` a date, ``1e3`` a text and ``y`` no boolean.
    Source: sigs.k8s.io/yaml v1.6.0, go.yaml.in/yaml/v2 v2.4.4 ``resolve.go``, checked 2026-11.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 PyYAML's way


BOOLEANS = dict.fromkeys(("y", "yes", "true", "on"), True) | dict.fromkeys(("n", "no", "false", "off"), False)
INTEGER = re.compile(r"[-+]?(0[bB][01_]+|0[oO]?[0-7_]+|0[xX][0-9a-fA-F_]+|[1-9][0-9_]*|0)$")
FLOAT = re.compile(
    r"[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
)


def _boolean(_loader: Any, node: Any) -> bool:
    return BOOLEANS[node.value.lower()]


def _integer(_loader: Any, node: Any) -> int | float:
    digits = node.value.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if len(digits) > 1 and digits.startswith("0") and digits[1].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _float(_loader: Any, node: Any) -> float:
    return float(node.value.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))


def _resolve(tag: str, pattern: str | re.Pattern[str], first: str) -> None:
    ManifestLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first) or None)


_resolve(
    "bool",
    r"(y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$",
    "yYnNtTfFoO",
)
_resolve("int", INTEGER, "-+0123456789")
_resolve("float", FLOAT, "-+0123456789.")
_resolve("merge", r"<<$", "<")
ManifestLoader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
ManifestLoader.add_constructor("tag:yaml.org,2002:bool", _boolean)
ManifestLoader.add_constructor("tag:yaml.org,2002:int", _integer)
ManifestLoader.add_constructor("tag:yaml.org,2002:float", _float)


def documents(text: str) -> Iterator[Any]:
    """Yield the documents of a YAML text that hold something; `ValueError` when it is no YAML."""
    try:
        yield from (document for document in yaml.load_all(text, Loader=ManifestLoader) if document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(
            f"not YAML, line {mark.line + 1 if mark else '?'}: {getattr(error, 'problem', '')}"
        ) from error


def objects(text: str) -> Iterator[Manifest]:
    """Yield the Kubernetes objects of a manifest; the items of a ``List`` one by one."""
    for document in documents(text):
        yield from flattened(document)


def flattened(document: Any) -> Iterator[Manifest]:
    """Yield an object, or the items of a list kind."""
    if not isinstance(document, dict):
        raise ValueError(f"a manifest holds {type(document).__name__} where an object belongs")
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from flattened(item)
    else:
        yield document


def rendered(manifest: str, hooks: Iterable[str], *, namespace: str, scope: Scope) -> Rendered:
    """Return what a release holds, each object with its namespace.

    Args:
        manifest: The manifest, as Helm prints it.
        hooks: Each hook's manifest.
        namespace: The release's.
        scope: Tells which kinds live in namespaces.
    """
    plain = tuple(objects(manifest))
    hooked = tuple(each for text in hooks for each in objects(text))
    scopes = _scopes(plain + hooked)

    def placed(item: Manifest) -> Manifest:
        what = str(item.get("apiVersion", "")), str(item.get("kind", ""))
        lives_in_namespaces = scope(*what)
        if lives_in_namespaces is None:
            lives_in_namespaces = scopes.get(what, True)
        return in_namespace(item, namespace) if lives_in_namespaces else item

    return Rendered(tuple(map(placed, plain)), tuple(map(placed, hooked)))


def in_namespace(item: Manifest, namespace: str) -> Manifest:
    """Return the object with a namespace, its own if it names one."""
    metadata = item.get("metadata") or {}
    return item if metadata.get("namespace") else item | {"metadata": metadata | {"namespace": namespace}}


def as_sent(item: Manifest, *, release: str, namespace: str) -> Manifest:
    """Return an object with what Helm itself puts on all but hooks before it sends them.

    Source: ``setMetadataVisitor`` in Helm's ``pkg/action/validate.go`` (3.21, 4.3; read 2026-11).
    """
    metadata = item.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    ours = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
    annotations = {**(metadata.get("annotations") or {}), **ours}
    return item | {"metadata": metadata | {"labels": labels, "annotations": annotations}}


def _scopes(items: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], bool]:
    """Return which kinds live in namespaces, from the definitions among the objects themselves."""
    return {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): spec.get("scope") != "Cluster"
        for item in items
        if item.get("kind") == "CustomResourceDefinition"
        for spec in [item["spec"]]
        for version in spec.get("versions") or ()
    }
