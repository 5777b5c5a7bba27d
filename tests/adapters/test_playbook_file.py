"""A playbook's mistakes are told with file, line and key, before anything is touched."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from upgrader.adapters.playbook_file import LoadedPlaybook, load, new, schema
from upgrader.errors import ExitCode, PlaybookInvalid
from upgrader.model.playbook import STRATEGIES, Playbook

GOOD = """\
apiVersion: upgrader/v1
name: gloo-edge-gke
context: prod-eu
releases:
  - name: gloo
    namespace: gloo-system
    chart: {ref: "oci://registry.example/gloo-ee", from: 1.11.28, to: 1.11.30}
    values: {files: [values-prod.yaml], env: {license_key: LICENSE_KEY}}
    workloads:
      control_plane: {selector: "app=gloo,gloo=gloo"}
      proxies: {selector: "gloo=gateway-proxy", service: gateway-proxy}
strategy: {kind: rolling, batches: [1, 10%, 50%, 100%]}
signals:
  - {kind: envoy_stats, port: 19000, reach: auto}
  - kind: synthetic
    url: https://api.example.com/orders
    rate: 1/s
    expect: 401
balancers: [{kind: envoy, admin: "http://10.0.0.5:9901", cluster: gateways, settle: 30s}]
limits: {error_ratio: {tolerate: 0.1%, exclude: 5%}, false_alarm: 0.1%}
gate: {stand: 2m}
bake: 10m
blind: {hold: 2m, then: pause}
checks: {waive: [{rule: drain-budget, reason: "CHG-1234"}]}
lab: {images: {envoyproxy/envoy: {run: envoy}}}
"""
SECRET = "hush-hush-6151"
ENVIRON = {"LICENSE_KEY": SECRET, "UNRELATED": "other"}

# The example of the design, with the parts that are not there yet.
DESIGN = GOOD.replace(
    "  - kind: synthetic\n", '  - {kind: prometheus, url: "https://prom.example"}\n  - kind: synthetic\n'
).replace(
    'balancers: [{kind: envoy, admin: "http://10.0.0.5:9901", cluster: gateways, settle: 30s}]',
    "balancers: [{kind: gcp_neg, project: acme, backend_service: gloo-edge, settle: 5m}]",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "values-prod.yaml").write_text("replicas: 3\n")
    return tmp_path


def load_text(folder: Path, text: str, environ: dict[str, str] | None = None) -> LoadedPlaybook:
    file = folder / "playbook.yaml"
    file.write_text(text)
    return load(file, ENVIRON if environ is None else environ)


def refusal(folder: Path, text: str, environ: dict[str, str] | None = None) -> PlaybookInvalid:
    with pytest.raises(PlaybookInvalid) as caught:
        load_text(folder, text, environ)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.file == str(folder / "playbook.yaml")
    return caught.value


def changed(old: str, new_text: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new_text)


def test_a_good_playbook_loads_with_what_it_names(folder: Path) -> None:
    """Paths absolute, digest of the bytes read, secrets only where asked for."""
    loaded = load_text(folder, GOOD)

    assert loaded.playbook.name == "gloo-edge-gke"
    assert list(loaded.playbook.release.workloads) == ["control_plane", "proxies"]
    assert loaded.playbook.release.chart.from_version == "1.11.28"
    assert loaded.chart == "oci://registry.example/gloo-ee"
    assert loaded.values_files == (folder / "values-prod.yaml",)
    assert loaded.digest == f"sha256:{hashlib.sha256(GOOD.encode()).hexdigest()}"
    assert set(loaded.secrets) == {"LICENSE_KEY"}
    assert loaded.secret_values()["license_key"].get_secret_value() == SECRET


def test_a_secret_is_in_no_text_of_a_loaded_playbook(folder: Path) -> None:
    """Neither in its repr nor in what is written of it."""
    loaded = load_text(folder, GOOD)

    texts = [repr(loaded), str(loaded), loaded.playbook.model_dump_json(), repr(loaded.secret_values())]

    assert not [text for text in texts if SECRET in text]


def test_a_header_from_the_environment_reaches_the_signal_as_a_secret(folder: Path) -> None:
    """A literal one as it is."""
    text = changed("    expect: 401\n", "    headers: {x-key: {env: LICENSE_KEY}, accept: text/plain}\n")

    loaded = load_text(folder, text)
    settings = loaded.settings(loaded.playbook.signals[1])

    assert settings["headers"]["x-key"].get_secret_value() == SECRET
    assert settings["headers"]["accept"] == "text/plain"
    assert SECRET not in repr(settings)
    assert "kind" not in settings


def test_the_design_example_is_refused_for_exactly_what_is_not_there_yet(folder: Path) -> None:
    """Prometheus; its cloud balancer is there."""
    error = refusal(folder, DESIGN)

    (first,) = str(error).splitlines()
    file = folder / "playbook.yaml"
    assert (error.line, error.key) == (15, "signals[1].kind")
    assert first.startswith(
        f"{file}:15: signals[1].kind: prometheus is not in this version; there is: rollout"
    )


Mistake = tuple[str, str, int, str, str]
"""What to replace in the good playbook, by what; the line, the key and a part of what is said."""

REFUSED: dict[str, Mistake] = {
    "unknown-key": ("bake: 10m", "baked: 10m", 22, "baked", "did you mean bake?"),
    "unknown-nested-key": (
        "tolerate:",
        "tolerance:",
        20,
        "limits.error_ratio.tolerance",
        "did you mean tolerate?",
    ),
    "unknown-key-lists-the-allowed": ("stand: 2m", "x: 2m", 21, "gate.x", "allowed here: stand"),
    "unknown-key-of-a-signal": ("port: 19000", "prot: 19000", 14, "signals[0].prot", "did you mean port?"),
    "unknown-key-that-is-a-number": ("then: pause", "then: pause, 5: 1", 23, "blind[5]", "unknown key"),
    "key-twice": ("bake: 10m", "bake: 10m\nbake: 2m", 23, "bake", "written twice"),
    "key-not-yet": ("false_alarm: 0.1%", "latency_p99: 1", 20, "limits.latency_p99", "not in this version"),
    "strategy-not-yet": (
        "kind: rolling",
        "kind: gitops",
        12,
        "strategy.kind",
        "gitops is not in this version",
    ),
    "signal-not-yet": (
        "kind: envoy_stats",
        "kind: datadog",
        14,
        "signals[0].kind",
        "datadog is not in this version",
    ),
    "strategy-misspelt": ("kind: rolling", "kind: roling", 12, "strategy.kind", "did you mean rolling?"),
    "signal-misspelt": (
        "kind: synthetic",
        "kind: sythetic",
        15,
        "signals[1].kind",
        "did you mean synthetic?",
    ),
    "signal-without-kind": ("kind: synthetic", "rate: 2/s", 17, "rate", "written twice"),
    "kind-missing": ("{kind: envoy_stats, ", "{", 14, "signals[0].kind", "is required"),
    "required": ("name: gloo-edge-gke\n", "", 1, "name", "is required"),
    "required-nested": ("from: 1.11.28, ", "", 7, "releases[0].chart.from", "is required"),
    "empty": ("bake: 10m", "bake:", 22, "bake", "is empty"),
    "empty-mapping": ("gate: {stand: 2m}", "gate:", 21, "gate", "is empty"),
    "other-format": ("upgrader/v1", "upgrader/v2", 1, "apiVersion", "must be 'upgrader/v1'"),
    "time-without-unit": ("bake: 10m", "bake: 10", 22, "bake", "a time with its unit"),
    "time-zero": ("stand: 2m", "stand: 0s", 21, "gate.stand", "must be above zero"),
    "time-that-yaml-takes-for-a-date": ("bake: 10m", "bake: 2024-01-01", 22, "bake", "a time with its unit"),
    "ratio-without-unit": ("exclude: 5%", "exclude: 0.05", 20, "limits.error_ratio.exclude", "in percent"),
    "rate-without-unit": ("rate: 1/s", "rate: 1", 17, "signals[1].rate", "a rate with its unit"),
    "exclude-within-tolerate": (
        "exclude: 5%",
        "exclude: 0.1%",
        20,
        "limits.error_ratio.exclude",
        "above tolerate",
    ),
    "ceiling-of-nothing": ("exclude: 5%", "ceiling: 0%", 20, "limits.error_ratio.ceiling", "above 0%"),
    "false-alarm-of-nothing": ("false_alarm: 0.1%", "false_alarm: 0%", 20, "limits.false_alarm", "above 0%"),
    "batches-shrink": ("10%, 50%", "50%, 10%", 12, "strategy.batches", "larger than the one before"),
    "batches-stop-short": (", 100%]", "]", 12, "strategy.batches", "the last batch must be 100%"),
    "batch-of-nothing": ("[1, ", "[0, ", 12, "strategy.batches[0]", "at least 1 pod"),
    "batches-no-list": ("[1, 10%, 50%, 100%]", "1", 12, "strategy.batches", "must be a list"),
    "version-read-as-a-number": ("from: 1.11.28", "from: 1.10", 7, "releases[0].chart.from", "in quotes"),
    "number-as-text": ("port: 19000", 'port: "19000"', 14, "signals[0].port", "must be a whole number"),
    "port-too-large": ("port: 19000", "port: 70000", 14, "signals[0].port", "65535"),
    "text-as-number": ("context: prod-eu", "context: 5", 3, "context", "must be text"),
    "mapping-as-list": ("{stand: 2m}", "[2m]", 21, "gate", "must be a mapping"),
    "reach": (
        "reach: auto",
        "reach: ssh",
        14,
        "signals[0].reach",
        "'auto', 'direct', 'portforward' or 'apiserver'",
    ),
    "health-check-half": (
        "settle: 30s",
        "health_check: {interval: 1s}",
        19,
        "balancers[0].health_check.unhealthy",
        "is required",
    ),
    "green-alone": ("settle: 30s", "green: other", 19, "balancers[0].green", "needs split beside it"),
    "split-alone": ("settle: 30s", "split: front", 19, "balancers[0].split", "needs green beside it"),
    "green-is-blue": (
        "settle: 30s",
        "green: gateways, split: front",
        19,
        "balancers[0].green",
        "must be another cluster",
    ),
    "group-not-there": ("reach: auto", "group: proxy", 14, "signals[0].group", "did you mean proxies?"),
    "url-half": ("https://api", "api", 16, "signals[1].url", "whole URL"),
    "url-with-password": ("https://api", "https://u:p@api", 16, "signals[1].url", "no credentials in a URL"),
    "expect-no-status": ("expect: 401", "expect: 42", 18, "signals[1].expect", "100"),
    "probe-twice": (
        "balancers:",
        '  - {kind: synthetic, expect: 401, url: "https://api.example.com/orders", rate: 5/s}\nbalancers:',
        19,
        "signals[2].url",
        "the same probe as signals[1]",
    ),
    "header-name": ("expect: 401", 'headers: {"x y": a}', 18, "signals[1].headers", "no header name"),
    "header-number": ("expect: 401", "headers: {x: 5}", 18, "signals[1].headers.x", "must be a mapping"),
    "header-misspelt": (
        "expect: 401",
        "headers: {x: {enw: A}}",
        18,
        "signals[1].headers.x.enw",
        "did you mean env?",
    ),
    "header-variable-unset": (
        "expect: 401",
        "headers: {x: {env: A}}",
        18,
        "signals[1].headers.x.env",
        "A is not set",
    ),
    "selector": (
        "app=gloo,gloo=gloo",
        "app: gloo",
        10,
        "releases[0].workloads.control_plane.selector",
        "label selector",
    ),
    "namespace": ("gloo-system", "Gloo_System", 6, "releases[0].namespace", "small letters"),
    "variable-name": (
        ": LICENSE_KEY",
        ": A-B",
        8,
        "releases[0].values.env.license_key",
        "environment variable",
    ),
    "then": ("then: pause", "then: roll_back", 23, "blind.then", "must be 'pause'"),
    "waiver-without-reason": ('"CHG-1234"', '""', 24, "checks.waive[0].reason", "must not be empty"),
    "waiver-twice": (
        "checks: {waive: [",
        "checks: {waive: [{rule: drain-budget, reason: a}, ",
        24,
        "checks.waive[1].rule",
        "twice",
    ),
    "chart-scheme": ("oci://", "s3://", 7, "releases[0].chart.ref", "oci://…"),
    "chart-not-there": (
        "oci://registry.example/gloo-ee",
        "./gloo",
        7,
        "releases[0].chart.ref",
        "no chart at",
    ),
    "values-not-there": ("values-prod", "values-dev", 8, "releases[0].values.files[0]", "does not exist"),
    "values-a-folder": ("values-prod.yaml", ".", 8, "releases[0].values.files[0]", "is no file"),
    "variable-unset": (
        ": LICENSE_KEY",
        ": OTHER_KEY",
        8,
        "releases[0].values.env.license_key",
        "OTHER_KEY is not set",
    ),
    "yaml": ("{stand: 2m}", "{stand: 2m", 22, "", "is not YAML"),
    "two-documents": ("bake: 10m", "---\nbake: 10m", 22, "", "another document"),
    "no-signals": (
        GOOD[GOOD.index("signals:") : GOOD.index("balancers:")],
        "signals: []\n",
        13,
        "signals",
        "at least one",
    ),
    "no-releases": (
        GOOD[GOOD.index("releases:") : GOOD.index("strategy:")],
        "releases: []\n",
        4,
        "releases",
        "at least one",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED.values(), ids=REFUSED.keys())
def test_a_mistake_is_refused_with_line_and_key(folder: Path, mistake: Mistake) -> None:
    """And with what is allowed there."""
    old, changed_to, line, key, says = mistake

    error = refusal(folder, changed(old, changed_to))

    assert (error.line, error.key) == (line, key)
    assert says in error.what
    assert len(str(error).splitlines()) == 1, "one mistake, one line"


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(folder: Path) -> None:
    """One look at the editor, not five."""
    text = (
        changed("bake: 10m", "bake: 10").replace("port: 19000", "port: 0").replace("to: 1.11.30", "to: 2.0")
    )

    error = refusal(folder, text)

    assert [line.split(": ")[0].rpartition(":")[2] for line in str(error).splitlines()] == ["7", "14", "22"]
    assert error.key == "releases[0].chart.to"


def test_an_empty_variable_counts_as_not_there(folder: Path) -> None:
    """An empty licence key never is what somebody meant."""
    error = refusal(folder, GOOD, {"LICENSE_KEY": ""})

    assert (error.line, error.key) == (8, "releases[0].values.env.license_key")
    assert "LICENSE_KEY is empty" in error.what


def test_a_values_file_that_may_not_be_read_is_refused(folder: Path) -> None:
    """Before Helm finds out."""
    (folder / "values-prod.yaml").chmod(0)
    if os.access(folder / "values-prod.yaml", os.R_OK):
        pytest.skip("root reads everything")

    error = refusal(folder, GOOD)

    assert (error.line, error.key) == (8, "releases[0].values.files[0]")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        pytest.param(b"", 1, id="empty"),
        pytest.param(b"# nothing\n", 1, id="comment-only"),
        pytest.param(b"- a\n", 1, id="a-list"),
        pytest.param(b"\xff\xfe\x00", None, id="not-utf-8"),
        pytest.param(b"a\x00b", None, id="control-character"),
        pytest.param(b"%YAML 9\n", 1, id="bad-directive"),
        pytest.param(b"a: " + b"[" * 1000, None, id="nested-too-deeply"),
    ],
)
def test_what_is_no_playbook_at_all_is_refused_by_file(
    folder: Path, content: bytes, line: int | None
) -> None:
    """Never a traceback."""
    file = folder / "playbook.yaml"
    file.write_bytes(content)

    with pytest.raises(PlaybookInvalid) as caught:
        load(file, {})

    assert (caught.value.file, caught.value.line) == (str(file), line)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_says_how_to_get_one(folder: Path, name: str) -> None:
    """The next step is named."""
    with pytest.raises(PlaybookInvalid, match="cannot be read") as caught:
        load(folder / name, {})

    assert "upgrader playbook new" in caught.value.remedy


def test_an_anchor_may_be_used_and_its_mistake_is_told(folder: Path) -> None:
    """Merge keys are YAML too; the line is that of the part that uses them."""
    text = changed(
        "  - {kind: envoy_stats, port: 19000, reach: auto}",
        "  - &one {kind: envoy_stats, port: 19000}\n  - {<<: *one, port: 0}",
    )

    error = refusal(folder, text)

    assert (error.line, error.key) == (15, "signals[1].port")


def local_chart(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "Chart.yaml").write_text("name: gloo\n")


def test_a_local_chart_is_found_beside_the_playbook(folder: Path) -> None:
    """A folder with a Chart.yaml."""
    local_chart(folder, "charts/gloo")

    loaded = load_text(folder, changed("oci://registry.example/gloo-ee", "charts/gloo"))

    assert loaded.chart == loaded.old_chart == str(folder / "charts/gloo")


def test_a_local_chart_kept_once_a_version_needs_both(folder: Path) -> None:
    """The lab installs the old one first."""
    text = changed("oci://registry.example/gloo-ee", "gloo-{version}")
    local_chart(folder, "gloo-1.11.30")

    error = refusal(folder, text)
    local_chart(folder, "gloo-1.11.28")
    loaded = load_text(folder, text)

    assert "gloo-1.11.28" in error.what
    assert (loaded.old_chart, loaded.chart) == (str(folder / "gloo-1.11.28"), str(folder / "gloo-1.11.30"))


def test_a_packed_chart_is_found_too(folder: Path) -> None:
    """A file is as good as a folder."""
    (folder / "gloo.tgz").write_bytes(b"")

    assert load_text(folder, changed("oci://registry.example/gloo-ee", "gloo.tgz")).chart == str(
        folder / "gloo.tgz"
    )


@pytest.mark.parametrize("kind", STRATEGIES)
def test_the_template_is_a_playbook_as_printed(folder: Path, kind: str) -> None:
    """Nobody starts from a broken example, and no strategy is without one."""
    assert load_text(folder, new(kind), {}).playbook.strategy.kind == kind


@pytest.mark.parametrize("kind", STRATEGIES)
def test_the_template_names_every_key_with_its_true_default(folder: Path, kind: str) -> None:
    """With the comment signs of the optional lines taken away it is the same playbook, said aloud."""
    said = new(kind).partition("\n")[2].replace("\n# ", "\n")

    aloud = load_text(folder, said, {"API_KEY": SECRET}).playbook
    silent = load_text(folder, new(kind), {}).playbook

    explained: dict[str, Any] = {"context": True, "signals": True, "balancers": True}
    explained["strategy"] = {"direct"}
    assert aloud.model_dump(exclude=explained) == silent.model_dump(exclude=explained)
    assert aloud.signals[1] == silent.signals[1]
    assert aloud.context == "my-cluster"
    assert aloud.model_fields_set >= set(Playbook.model_fields) - {"lab"}
    assert aloud.strategy.model_fields_set == set(type(aloud.strategy).model_fields)
    assert len(aloud.balancers) == 1
    assert aloud.balancers[0].model_fields_set == set(type(aloud.balancers[0]).model_fields)


def test_a_template_of_an_unknown_strategy_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(PlaybookInvalid, match="there is: rolling, canary, blue_green"):
        new("gitops")


def parts(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        return [node, *(part for value in node.values() for part in parts(value))]
    return [part for value in node for part in parts(value)] if isinstance(node, list) else []


def test_the_schema_lets_editors_refuse_unknown_keys_and_bare_numbers() -> None:
    """Every part of ours is closed, and times carry their pattern."""
    published = schema()
    objects = [part for part in parts(published) if part.get("type") == "object" and "properties" in part]
    is_open = {part["title"] for part in objects if part.get("additionalProperties") is not False}

    assert is_open == {"PluginSignal", "PluginBalancer", "PluginStrategy"}
    assert published["$schema"].startswith("https://json-schema.org/")
    assert published["properties"]["bake"]["pattern"] == r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
    assert published["properties"]["bake"]["default"] == "10m"
    assert {"apiVersion", "name", "releases", "signals"} == set(published["required"])
