"""The playbooks of real gateways: each is valid, says what an operator must fill in, and tells the truth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from upgrader import plugins
from upgrader.adapters.playbook_file import LoadedPlaybook, load
from upgrader.model.evidence import Meter, MeterParameters, time_to_see
from upgrader.model.watching import EnvoyStats, Synthetic

ROOT = Path(__file__).parents[2]
PLAYBOOKS = [path for path in sorted((ROOT / "playbooks").glob("*.yaml")) if not path.stem.startswith("demo")]
VALUES = sorted((ROOT / "playbooks" / "values").glob("*.yaml"))
ENVIRON = {"LICENSE_KEY": "a-license", "API_KEY": "a-key"}
MARK = "FILL IN"
OF_THE_PLACE = re.compile(
    r"context|releases\.0\.(name|namespace|chart\.(from|to)|values\.files.*|workloads\.proxies\.service)"
    r"|strategy\.(green\..+|direct\..+)|signals\.\d+\.(url|bypass)"
    r"|balancers\.\d+\.(project|backend_service|green|url_map|region|target_group)"
)
"""Keys whose value differs from one operator to the next."""
THE_CHARTS_OWN = {
    **dict.fromkeys(("gloo-edge-gke", "gloo-edge-gke-canary", "gloo-edge-eks"), ("namespace", "service")),
    "envoy-gateway": ("namespace",),
}
"""Names that are fixed by the gateway's documented installation, or by its chart."""
WITHOUT_COUNTERS = ("ingress-nginx", "kong", "traefik")

by_file = pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)


def loaded(path: Path) -> LoadedPlaybook:
    return load(path, ENVIRON)


def header(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(takewhile(lambda line: line.startswith("#"), lines))


def leaves(node: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, int]]:
    """Yield each value's path and its line, from 0."""
    if isinstance(node, CommentedMap):
        entries = [(str(key), node.lc.value(key)[0], value) for key, value in node.items()]
    elif isinstance(node, CommentedSeq):
        entries = [(str(key), node.lc.item(key)[0], value) for key, value in enumerate(node)]
    else:
        entries = []
    for key, line, value in entries:
        if isinstance(value, CommentedMap | CommentedSeq):
            yield from leaves(value, (*at, key))
        else:
            yield ".".join((*at, key)), line


def test_there_is_one_for_each_gateway_of_the_docs() -> None:
    page = (ROOT / "docs" / "playbooks.md").read_text(encoding="utf-8")

    assert set(re.findall(r"`playbooks/([\w-]+)\.yaml`", page)) == {path.stem for path in PLAYBOOKS}


@by_file
def test_it_is_valid_with_its_variables_set(path: Path) -> None:
    """Unknown keys, missing files and unset variables are refused by the same reader that runs use."""
    playbook = loaded(path).playbook

    assert playbook.name == path.stem
    assert not playbook.release.chart.is_local
    assert playbook.release.workloads


@by_file
def test_what_differs_from_place_to_place_is_marked(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    fixed = THE_CHARTS_OWN.get(path.stem, ())

    unmarked = [
        f"{line + 1}: {key}"
        for key, line in leaves(YAML().load(text))
        if OF_THE_PLACE.fullmatch(key) and key.rpartition(".")[2] not in fixed and MARK not in lines[line]
    ]

    assert not unmarked


@by_file
def test_no_made_up_name_stands_unmarked(path: Path) -> None:
    """A host, account or project that is nobody's must catch the eye."""
    invented = re.compile(r"example\.com|\bacme\b|\b123456789012\b|0123456789|\b10\.10\.0\.")
    body = path.read_text(encoding="utf-8").splitlines()[len(header(path)) :]

    assert not [line for line in body if invented.search(line) and MARK not in line and line[0] != "#"]


@by_file
def test_its_header_tells_what_an_operator_asks_first(path: Path) -> None:
    said = header(path)
    topics = {found[1] for line in said if (found := re.match(r"# (\w+):  ", line))}

    assert topics >= {"For", "Before", "Rights", "Delays", "Back"}
    assert any(line.startswith("# Fill in:") for line in said)
    assert any(re.search(r"Sources?, read \d{4}-\d{2}", line) for line in said)
    assert 15 <= len(said) <= 32


@by_file
def test_what_it_refers_to_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    waived = {one.rule for one in loaded(path).playbook.checks.waive}

    for page, anchor in re.findall(r"\b(docs/[\w-]+\.md)(?:#(\w+))?", text):
        assert not anchor or f"\n## {anchor}\n" in (ROOT / page).read_text(encoding="utf-8")
    for name in re.findall(
        r"(?<![\w/.-])((?:values/)?gloo-[\w-]+\.yaml|(?:playbooks|values)/[\w-]+\.yaml)", text
    ):
        assert (ROOT / "playbooks" / name.removeprefix("playbooks/")).is_file(), name
    assert waived <= {rule for check in plugins.modules("checks") for rule in check.RULES}


@by_file
def test_headers_of_its_probes_are_told_in_the_docs(path: Path) -> None:
    page = (ROOT / "docs" / "playbooks.md").read_text(encoding="utf-8")
    probes = [one for one in loaded(path).playbook.signals if isinstance(one, Synthetic)]

    assert not [name for probe in probes for name in probe.headers if f"`{name}`" not in page]


@by_file
def test_a_door_that_must_be_open_and_one_that_must_be_shut_are_tried(path: Path) -> None:
    probes = [one for one in loaded(path).playbook.signals if isinstance(one, Synthetic)]

    assert any(one.expect == 200 and one.bypass for one in probes)
    assert any(one.expect in (401, 403) for one in probes)


@by_file
def test_counters_are_asked_of_envoys_alone_and_their_lack_is_said(path: Path) -> None:
    counted = any(isinstance(one, EnvoyStats) for one in loaded(path).playbook.signals)
    said = " ".join(line.lstrip("# ") for line in header(path))

    assert counted == (path.stem not in WITHOUT_COUNTERS)
    assert counted != ("this version has no `prometheus` signal" in said)


@pytest.mark.parametrize(
    ("words", "fault", "share", "rate"),
    [
        ("50 probes a second prove in 41 s", 0.02, 0.5, 2 * 50),
        ("10 a second in over 3 minutes", 0.02, 0.5, 2 * 10),
        ("counters at 1,000 requests a second need 5 s", 0.2, 0.1, 1000),
    ],
)
def test_the_times_that_the_headers_state_are_those_of_the_meter(
    words: str, fault: float, share: float, rate: float
) -> None:
    """One pod of ten fails one request in five: through the door, and counted at the pod."""
    meter = Meter(MeterParameters(alpha=0.001, tolerate=0.001, old_ref=0.001, plan_seconds=3600))
    number, unit = re.findall(r"(\d+) (s|minutes)\b", words)[-1]

    seconds = time_to_see(meter, fault=fault, share=share, rate=rate)

    if unit == "minutes":
        assert int(number) * 60 < seconds < (int(number) + 1) * 60
    else:
        assert round(seconds) == int(number)
    for path in PLAYBOOKS:
        if path.stem in WITHOUT_COUNTERS:
            assert words in " ".join(line.lstrip("# ") for line in header(path))


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_values_are_a_mapping_with_their_source(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert isinstance(YAML().load(text), CommentedMap)
    assert re.search(r"# Source: .*\(read \d{4}-\d{2}", text) or re.search(r"# Source: ", text)


def test_every_values_file_is_used() -> None:
    used = {file for path in PLAYBOOKS for file in loaded(path).values_files}
    green = {
        file
        for path in PLAYBOOKS
        for file in getattr(getattr(loaded(path).playbook.strategy, "green", None), "values_files", ())
    }

    assert {path.name for path in VALUES} == {file.name for file in used} | {
        Path(name).name for name in green
    }
