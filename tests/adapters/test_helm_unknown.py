"""Which keys of the operator's values a chart knows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.test_helm_archive import INNER, OUTER, tgz
from upgrader.adapters.helm_archive import opened
from upgrader.adapters.helm_unknown import unknown_keys

FILES: dict[str, str | bytes] = {
    "Chart.yaml": OUTER
    + "dependencies: [{name: inner, alias: side, version: 1.0.0, condition: side.enabled}]",
    "values.yaml": """
proxy:
  replicas: 1
  annotations: {}
  extra: null
  # tolerations: []
hosts: []
side: {colour: blue}
""",
    "values.schema.json": '{"properties": {"licence": {}, "ports": {"properties": {"web": {}}}}}',
    "templates/a.yaml": "x: {{ .Values.proxy.affinity }}\ny: {{ .Values.debug }}",
    "charts/inner/Chart.yaml": INNER,
    "charts/inner/values.yaml": "size: 1",
}


@pytest.mark.parametrize(
    ("given", "unknown"),
    [
        pytest.param({"proxy": {"replicas": 3}}, [], id="a-default"),
        pytest.param({"proxy": {"replicaCuont": 3}}, ["proxy.replicaCuont"], id="mistyped"),
        pytest.param({"replicas": 3}, ["replicas"], id="at-the-wrong-place"),
        pytest.param({"proxy": {"annotations": {"any/thing": "x"}}}, [], id="below-an-empty-map"),
        pytest.param({"proxy": {"extra": {"any": 1}}}, [], id="below-a-null"),
        pytest.param({"proxy": {"tolerations": []}}, [], id="in-a-comment"),
        pytest.param({"proxy": {"affinity": {"any": 1}}, "debug": True}, [], id="read-by-a-template"),
        pytest.param({"licence": "x", "ports": {"web": 80}}, [], id="in-the-schema"),
        pytest.param({"ports": {"wbe": 80}}, ["ports.wbe"], id="not-in-the-schema"),
        pytest.param({"hosts": [{"any": 1}]}, [], id="a-list"),
        pytest.param({"global": {"any": 1}, "tags": {"any": True}}, [], id="helm's-own"),
        pytest.param({"side": {"size": 2, "colour": "red", "enabled": False}}, [], id="of-a-subchart"),
        pytest.param({"side": {"sise": 2}}, ["side.sise"], id="mistyped-for-a-subchart"),
        pytest.param({"inner": {"size": 2}}, ["inner"], id="by-its-name-though-it-has-an-alias"),
    ],
)
def test_a_key_is_known_where_the_chart_has_or_reads_it(given: dict[str, Any], unknown: list[str]) -> None:
    assert list(unknown_keys(opened(tgz(FILES)), given)) == unknown


def test_of_a_chart_without_values_only_what_its_templates_read_is_known() -> None:
    files = {"Chart.yaml": OUTER, "templates/a.yaml": "{{ .Values.debug }}"}

    assert list(unknown_keys(opened(tgz(files)), {"debug": True, "debgu": True})) == ["debgu"]
