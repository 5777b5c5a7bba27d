"""What is read off a chart's file; Helm itself is asked in ``tests/e2e``."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any

import pytest

from upgrader.adapters.helm_archive import coalesced, definitions, opened

KIND = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: NAME}"
OUTER = "apiVersion: v2\nname: gw\nversion: 1.0.0\n"
INNER = "apiVersion: v2\nname: inner\nversion: 1.0.0\n"
CONDITION = "dependencies: [{name: inner, version: 1.0.0, condition: 'first.on,inner.enabled'}]\n"
TAGS = "dependencies: [{name: inner, version: 1.0.0, tags: [front, back]}]\n"
ALIAS = "dependencies: [{name: inner, alias: outer, version: 1.0.0, condition: outer.enabled}]\n"


def crd(name: str) -> str:
    return KIND.replace("NAME", name)


def tgz(files: Mapping[str, str | bytes], name: str = "gw") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def named(files: Mapping[str, str | bytes], values: Mapping[str, Any] | None = None) -> list[str]:
    found = definitions(opened(tgz({"Chart.yaml": OUTER, **files})), values or {})
    return [one["metadata"]["name"] for one in found]


def test_files_without_a_separator_stay_apart() -> None:
    """Helm 3's own listing makes one object of the last of a file and the first of the next."""
    assert named({"crds/a.yaml": crd("a"), "crds/b.yml": f"---\n{crd('b')}\n---\n{crd('c')}"}) == [
        "a",
        "b",
        "c",
    ]


def test_only_definitions_in_manifests_count() -> None:
    files = {"crds/README.md": "x: [", "crds/map.yaml": "kind: ConfigMap", "templates/crds/t.yaml": crd("t")}

    assert named(files) == []


def test_subcharts_are_folders_or_archives() -> None:
    packed = tgz({"Chart.yaml": INNER.replace("inner", "other"), "crds/p.yaml": crd("p")}, name="other")
    files: dict[str, str | bytes] = {
        "charts/inner/Chart.yaml": INNER,
        "charts/inner/crds/i.yaml": crd("i"),
        "charts/other-1.tgz": packed,
    }

    assert sorted(named(files)) == ["i", "p"]


@pytest.mark.parametrize(
    ("dependencies", "values", "is_in"),
    [
        pytest.param("", {}, True, id="no-dependency-speaks-of-it"),
        pytest.param(CONDITION, {}, False, id="the-chart's-own-value"),
        pytest.param(CONDITION, {"inner": {"enabled": True}}, True, id="the-operator's-value"),
        pytest.param(
            CONDITION, {"first": {"on": False}, "inner": {"enabled": True}}, False, id="the-first-set"
        ),
        pytest.param(CONDITION, {"first": {"on": "no"}, "inner": {"enabled": True}}, True, id="no-boolean"),
        pytest.param(TAGS, {}, True, id="no-tag-is-set"),
        pytest.param(TAGS, {"tags": {"front": False}}, False, id="a-tag-is-off"),
        pytest.param(TAGS, {"tags": {"front": False, "back": True}}, True, id="one-tag-is-on"),
        pytest.param(
            ALIAS, {"inner": {"enabled": True}, "outer": {"enabled": False}}, False, id="by-its-alias"
        ),
    ],
)
def test_a_subchart_that_is_disabled_brings_nothing(
    dependencies: str, values: Mapping[str, Any], is_in: bool
) -> None:
    files: dict[str, str | bytes] = {
        "Chart.yaml": OUTER + dependencies,
        "values.yaml": "inner: {enabled: false}" if "condition: 'first" in dependencies else "",
        "charts/inner/Chart.yaml": INNER,
        "charts/inner/crds/i.yaml": crd("i"),
    }

    assert named(files, values) == (["i"] if is_in else [])


def test_a_subchart_sees_its_own_values_below_its_parents_and_the_operators() -> None:
    files: dict[str, str | bytes] = {
        "Chart.yaml": OUTER,
        "values.yaml": "a: 1\ninner: {b: 2}",
        "charts/inner/Chart.yaml": INNER,
        "charts/inner/values.yaml": "b: 0\nc: 3",
    }

    assert coalesced(opened(tgz(files)), {"a": 9}) == {"a": 9, "inner": {"b": 2, "c": 3}}


def test_what_is_no_archive_is_said_to_be_none() -> None:
    with pytest.raises(ValueError, match="archive"):
        opened(b"no tar")
