"""The command that a refusal over ``crds/`` tells to type, for each way a chart is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from upgrader.checks.crds import apply_command
from upgrader.testing.surveys import NEW_VERSION, SurveyBuilder

APPLY = "kubectl --context prod apply --server-side --force-conflicts -f"
FIND = f"-path '*/crds/*' -name '*.y*ml' -exec {APPLY} {{}} \\;"


@pytest.mark.parametrize(
    ("ref", "helm", "command"),
    [
        (
            "oci://r.example/gw",
            "v4.3.1",
            f"helm show crds oci://r.example/gw --version {NEW_VERSION} | {APPLY} -",
        ),
        (
            "https://r.example/charts/gw",
            "v4.3.1",
            f"helm show crds gw --repo https://r.example/charts --version {NEW_VERSION} | {APPLY} -",
        ),
        ("https://r.example/gw.tgz", "v4.3.1", f"helm show crds https://r.example/gw.tgz | {APPLY} -"),
        ("./gw-{version}", "v4.3.1", f"helm show crds ./gw-{NEW_VERSION} | {APPLY} -"),
        ("./gw-{version}", "v3.22.0", f"find ./gw-{NEW_VERSION} {FIND}"),
        (
            "oci://r.example/gw",
            "v3.22.0",
            f"helm pull oci://r.example/gw --version {NEW_VERSION} --untar --untardir new-chart && "
            f"find new-chart {FIND}",
        ),
        ("./gw.tgz", "v3.22.0", f"mkdir new-chart && tar xzf ./gw.tgz -C new-chart && find new-chart {FIND}"),
    ],
)
def test_the_command_names_the_chart_as_helm_takes_it(ref: str, helm: str, command: str) -> None:
    builder = SurveyBuilder()
    builder.playbook["releases"][0]["chart"]["ref"] = ref
    builder.playbook["context"] = "prod"

    assert apply_command(replace(builder.build(), helm_version=helm)) == command
