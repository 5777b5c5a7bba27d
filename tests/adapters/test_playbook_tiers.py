"""A playbook with several releases: each is checked as the first is, and the program gets each alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from upgrader.adapters.playbook_file import LoadedPlaybook, load
from upgrader.errors import PlaybookInvalid

TIERS = """\
apiVersion: upgrader/v1
name: edge-and-workload
releases:
  - name: inner
    namespace: gw
    chart: {ref: "oci://registry.example/inner", from: 1.1.0, to: 1.2.0}
    workloads: {proxies: {selector: "app=inner", service: inner}}
  - name: outer
    namespace: gw
    chart: {ref: "charts/outer-{version}", from: 2.1.0, to: 2.2.0}
    values: {files: [outer.yaml], env: {key: OUTER_KEY}}
    workloads: {gateways: {selector: "app=outer", service: outer}}
strategy: {kind: rolling}
signals: [{kind: envoy_stats, port: 19000}]
"""
CANARY = "{kind: canary, green: {name: g, namespace: green}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outer.yaml").write_text("replicas: 3\n")
    for version in ("2.1.0", "2.2.0"):
        (tmp_path / f"charts/outer-{version}").mkdir(parents=True)
        (tmp_path / f"charts/outer-{version}/Chart.yaml").write_text("name: outer\n")
    return tmp_path


def load_text(folder: Path, text: str) -> LoadedPlaybook:
    (folder / "playbook.yaml").write_text(text)
    return load(folder / "playbook.yaml", {"OUTER_KEY": "hush"})


def test_each_tier_reads_as_a_playbook_of_its_own(folder: Path) -> None:
    loaded = load_text(folder, TIERS)

    tiers = loaded.playbook.tiers
    assert [[one.name for one in tier.releases] for tier in tiers] == [["inner"], ["outer"]]
    assert [loaded.chart_of(tier.release) for tier in tiers] == [
        "oci://registry.example/inner",
        str(folder / "charts/outer-2.2.0"),
    ]
    assert loaded.files_of(tiers[1].release) == (folder / "outer.yaml",)
    assert loaded.secrets["OUTER_KEY"].get_secret_value() == "hush"


def test_counters_are_read_of_the_serving_groups_of_all_tiers(folder: Path) -> None:
    loaded = load_text(folder, TIERS)

    assert loaded.settings(loaded.playbook.signals[0])["group"] == ("proxies", "gateways")


def test_counters_are_read_of_all_where_a_tier_names_no_serving_group(folder: Path) -> None:
    """Else there would be no proxy to read while that tier is upgraded."""
    loaded = load_text(folder, TIERS.replace(", service: outer}", "}"))

    assert loaded.settings(loaded.playbook.signals[0])["group"] == ()


@pytest.mark.parametrize(
    ("old", "new", "key", "what"),
    [
        ("{kind: rolling}", CANARY, "releases[1]", "one release with canary in this version"),
        ("name: outer\n", "name: inner\n", "releases[1].name", "the same release as releases[0]"),
        ("[outer.yaml]", "[absent.yaml]", "releases[1].values.files[0]", "does not exist"),
        ("OUTER_KEY", "OTHER_KEY", "releases[1].values.env.key", "OTHER_KEY is not set"),
        ("to: 2.2.0", "to: 2.3.0", "releases[1].chart.ref", "no chart at"),
        ("port: 19000", "port: 19000, group: proxies", "signals[0].group", "releases[1].workloads has: gate"),
    ],
)
def test_a_mistake_in_a_later_tier_is_refused_with_its_key(
    folder: Path, old: str, new: str, key: str, what: str
) -> None:
    assert TIERS.count(old) == 1

    with pytest.raises(PlaybookInvalid) as caught:
        load_text(folder, TIERS.replace(old, new))

    assert caught.value.key == key
    assert what in str(caught.value)
