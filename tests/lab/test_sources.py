"""The identity of the lab's Go module."""

from __future__ import annotations

from pathlib import Path

import pytest

from upgrader.errors import LabUnavailable
from upgrader.lab.sources import digest, needed_modules, read_sources

_GO_MOD = "module lab\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n\tk8s.io/api v0.37.2\n)\n"


def _module(folder: Path) -> Path:
    (folder / "runtime").mkdir(parents=True)
    (folder / "go.mod").write_text(_GO_MOD)
    (folder / "go.sum").write_text("")
    (folder / "main.go").write_text("package main\n")
    (folder / "runtime" / "run.go").write_text("package runtime\n")
    return folder


def test_the_same_sources_elsewhere_have_the_same_digest(tmp_path: Path) -> None:
    assert digest(_module(tmp_path / "a")) == digest(_module(tmp_path / "b"))


@pytest.mark.parametrize("name", ["main.go", "runtime/run.go", "go.mod", "go.sum"])
def test_a_change_of_any_compiled_file_changes_the_digest(tmp_path: Path, name: str) -> None:
    folder = _module(tmp_path / "a")
    before = digest(folder)

    (folder / name).write_text((folder / name).read_text() + "// more\n")

    assert digest(folder) != before


def test_moving_code_between_files_changes_the_digest(tmp_path: Path) -> None:
    folder = _module(tmp_path / "a")
    before = digest(folder)

    (folder / "main.go").rename(folder / "other.go")

    assert digest(folder) != before


@pytest.mark.parametrize("name", ["main_test.go", "README.md", "runtime/testdata.json"])
def test_what_is_not_compiled_leaves_the_digest(tmp_path: Path, name: str) -> None:
    folder = _module(tmp_path / "a")
    before = digest(folder)

    (folder / name).write_text("anything")

    assert digest(folder) == before


def test_the_kubernetes_in_go_mod_is_the_version_the_binary_reports(tmp_path: Path) -> None:
    sources = read_sources(_module(tmp_path / "a"))

    assert sources.kubernetes == "v1.37.2"
    assert sources.go == (1, 26)
    prefix = "-X k8s.io/component-base/version"
    assert sources.link_flags == (
        f"-s -w {prefix}.gitVersion=v1.37.2 {prefix}.gitMajor=1 {prefix}.gitMinor=37"
    )


def test_a_missing_module_is_said_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(LabUnavailable, match=str(tmp_path)):
        read_sources(tmp_path)


def test_only_modules_whose_content_is_pinned_are_downloaded() -> None:
    checksums = "a v1 h1:x=\na v1/go.mod h1:y=\nb v2/go.mod h1:z=\n\n"

    assert needed_modules(checksums) == 1
