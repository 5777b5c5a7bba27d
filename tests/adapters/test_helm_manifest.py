"""Manifests are read as the API server reads them."""

from __future__ import annotations

from typing import Any

import pytest

from upgrader.adapters.helm_manifest import documents, rendered

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30", "12:30"),
        ("1:2:3", "1:2:3"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("089", 89.0),
        ("0777", 511),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", 3),
        ("-12", -12),
        ("+7", 7),
        ("1_000", 1000),
        ("0", 0),
        ("y", True),
        ("Off", False),
        ("yEs", "yEs"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'on'", "on"),
        ("1.2.3", "1.2.3"),
        ("10m", "10m"),
        ("-", None),
        ("=", "="),
    ],
)
def test_scalars_mean_what_they_mean_to_helm(text: str, value: Any) -> None:
    """Cases of ``resolve.go``; PyYAML reads a third of them otherwise."""
    if text == "-":
        (document,) = documents("x:\n- \n")
        assert document == {"x": [None]}
        return

    (document,) = documents(f"x: {text}\n")

    assert document == {"x": value}
    assert type(document["x"]) is type(value)


def test_empty_documents_are_dropped() -> None:
    found = rendered(f"---\n# Source: a\n---\n{CONFIG}---\n", [], namespace="gw", scope=lambda *_: True)

    assert [item["metadata"] for item in found.objects] == [{"name": "a", "namespace": "gw"}]


def test_a_list_is_its_items_and_a_named_namespace_stays() -> None:
    text = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Secret, metadata: {name: s, namespace: other}}
- apiVersion: v1
  kind: ConfigMapList
  items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}]
"""

    found = rendered(text, [], namespace="gw", scope=lambda *_: True)

    assert [(item["kind"], item["metadata"]["namespace"]) for item in found.objects] == [
        ("Secret", "other"),
        ("ConfigMap", "gw"),
    ]


def test_cluster_wide_objects_get_no_namespace() -> None:
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n"

    found = rendered(role, [], namespace="gw", scope=lambda *_: False)

    assert found.objects[0]["metadata"] == {"name": "r"}


def test_the_scope_of_a_kind_that_is_not_served_yet_is_in_its_definition() -> None:
    text = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: c}
spec: {group: x.io, scope: Cluster, names: {kind: Class}, versions: [{name: v1}]}
---
{apiVersion: x.io/v1, kind: Class, metadata: {name: wide}}
---
{apiVersion: x.io/v1, kind: Unknown, metadata: {name: narrow}}
"""
    scope = {("apiextensions.k8s.io/v1", "CustomResourceDefinition"): False}

    found = rendered(text, [], namespace="gw", scope=lambda *what: scope.get(what))

    assert [item["metadata"].get("namespace") for item in found.objects] == [None, None, "gw"]


def test_hooks_are_kept_apart() -> None:
    found = rendered("", [CONFIG, f"---\n{CONFIG}"], namespace="gw", scope=lambda *_: True)

    assert found.objects == ()
    assert len(found.hooks) == 2


@pytest.mark.parametrize("text", ["a: [", "- just\n- a list", "plain"])
def test_what_is_no_object_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"not YAML|where an object belongs"):
        rendered(text, [], namespace="gw", scope=lambda *_: True)
