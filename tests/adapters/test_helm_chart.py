"""Where charts come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.adapters.scripted_helm import HELP4, ScriptedHelm, helm_answers
from upgrader.adapters.helm_chart import ChartSource, is_local, operator_flags, pull_arguments
from upgrader.adapters.helm_program import HelmProgram, Place
from upgrader.adapters.redaction import Redactor
from upgrader.adapters.shell import Command, Output
from upgrader.errors import PlaybookInvalid, ProgramFailed, Refused


class Registry(ScriptedHelm):
    """Brings a file when asked to pull or to package."""

    def run(self, command: Command, *, deadline_seconds: float) -> Output:
        output = super().run(command, deadline_seconds=deadline_seconds)
        if command.argv[1] in ("pull", "package"):
            folder = command.argv[command.argv.index("--destination") + 1]
            (Path(folder) / "gw-2.0.0.tgz").write_bytes(b"chart")
        return output


def registry() -> Registry:
    answers = {"pull": "", "package": "", "repo update": "", "show chart": "name: gw\nversion: 2.0.0\n"}
    return Registry(helm_answers(HELP4, "v4.3.1", **answers))


def source(shell: ScriptedHelm, ref: str, folder: Path, *, home: str = "/nowhere") -> ChartSource:
    environment = {"PATH": "/usr/bin:/bin", "HOME": home}
    helm = HelmProgram(
        Place("edge", "gw"),
        shell=shell,
        home=folder / "helm",
        redactor=Redactor(),
        inherited=environment,
        program="true",
    )
    return ChartSource(ref, "2.0.0", folder=folder / "chart", helm=helm)


@pytest.mark.parametrize(
    ("ref", "arguments"),
    [
        ("oci://reg.example/gw", ["oci://reg.example/gw", "--version", "2.0.0"]),
        ("https://charts.example/x/gw-2.0.0.tgz", ["https://charts.example/x/gw-2.0.0.tgz"]),
        ("https://charts.example/x/gw", ["gw", "--repo", "https://charts.example/x", "--version", "2.0.0"]),
        ("stable/gw", ["stable/gw", "--version", "2.0.0"]),
    ],
)
def test_each_kind_of_reference_is_pulled_its_way(ref: str, arguments: list[str], tmp_path: Path) -> None:
    shell = registry()

    chart = source(shell, ref, tmp_path).fetch()

    assert pull_arguments(ref, "2.0.0") == arguments
    pulls = [list(call.argv[1:]) for call in shell.calls if call.argv[1] == "pull"]
    assert pulls == [["pull", *arguments, "--destination", str(tmp_path / "chart")]]
    assert (chart.name, chart.version) == ("gw", "2.0.0")
    assert chart.digest == f"sha256:{hashlib.sha256(b'chart').hexdigest()}"
    assert ("repo update" in " ".join(" ".join(call.argv) for call in shell.calls)) == (ref == "stable/gw")


def test_a_chart_is_fetched_once(tmp_path: Path) -> None:
    shell = registry()
    first = source(shell, "oci://reg.example/gw", tmp_path).fetch()
    calls = len(shell.calls)

    again = source(shell, "oci://reg.example/gw", tmp_path).fetch()

    assert again == first
    assert len(shell.calls) == calls


def test_a_pinned_file_that_changed_is_refused(tmp_path: Path) -> None:
    chart = source(registry(), "oci://reg.example/gw", tmp_path).fetch()
    chart.path.write_bytes(b"another")

    with pytest.raises(Refused, match=chart.digest):
        source(registry(), "oci://reg.example/gw", tmp_path).fetch()


def test_a_fetch_that_died_half_way_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "half.tgz").write_bytes(b"ha")

    chart = source(registry(), "oci://reg.example/gw", tmp_path).fetch()

    assert chart.path.name == "gw-2.0.0.tgz"


def test_a_local_file_is_copied_and_a_folder_packaged(tmp_path: Path) -> None:
    file = tmp_path / "mine.tgz"
    file.write_bytes(b"my chart")
    folder = tmp_path / "gw"
    folder.mkdir()
    shell = registry()

    copied = source(registry(), str(file), tmp_path / "1").fetch()
    packed = source(shell, str(folder), tmp_path / "2").fetch()

    assert copied.path.read_bytes() == b"my chart"
    assert copied.path != file
    assert packed.path.read_bytes() == b"chart"
    assert [call.argv[1] for call in shell.calls] == ["package", "show"]


@pytest.mark.parametrize("shown", ["Welcome!", "", "name: gw\n", "- a\n", "{"])
def test_a_chart_that_is_not_shown_is_told_with_what_was_asked(shown: str, tmp_path: Path) -> None:
    """A helm wrapper's own words, and exit status 0."""
    shell = registry()
    shell.answers["show chart"] = shown

    with pytest.raises(ProgramFailed, match=r"`helm show chart .*gw-2\.0\.0\.tgz` ended well, but printed"):
        source(shell, "oci://reg.example/gw", tmp_path).fetch()


@pytest.mark.parametrize("ref", ["oci://reg.example/gw", "."])
def test_a_chart_that_was_not_brought_is_told(ref: str, tmp_path: Path) -> None:
    shell = ScriptedHelm(registry().answers)

    with pytest.raises(ProgramFailed, match="brought no file"):
        source(shell, ref, tmp_path).fetch()


def test_a_path_that_names_nothing_is_a_wrong_playbook(tmp_path: Path) -> None:
    with pytest.raises(PlaybookInvalid, match="no chart at"):
        source(registry(), "./absent", tmp_path).fetch()


@pytest.mark.parametrize(
    ("ref", "local"),
    [("./x", True), ("/x", True), ("~/x", True), ("x.tgz", True), ("oci://x/y", False), ("stable/gw", False)],
)
def test_what_is_local(ref: str, local: bool) -> None:
    assert is_local(ref) == local


def test_the_operators_logins_and_repositories_are_used(tmp_path: Path) -> None:
    config = tmp_path / ".config" / "helm"
    (config / "registry").mkdir(parents=True)
    (config / "repositories.yaml").touch()

    default = operator_flags({"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")})
    own = operator_flags({"HELM_REPOSITORY_CONFIG": str(config / "repositories.yaml")})
    none = operator_flags({"HOME": "/nowhere"})

    assert default == own == ["--repository-config", f"{config}/repositories.yaml"]
    assert none == []
