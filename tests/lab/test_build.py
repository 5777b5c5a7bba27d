"""Finding a built binary, and where a build keeps its things."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from upgrader.errors import LabUnavailable
from upgrader.lab.build import BINARY, GIVEN, build_environment, ensure, find, prune
from upgrader.lab.sources import Sources

_SOURCES = Sources(Path("/nowhere"), "0123456789abcdef", "v1.37.2", (1, 26))


def _finished(cache: Path, digest: str, *, age_seconds: float = 0.0) -> Path:
    binary = cache / digest / "go1.26.8" / BINARY
    binary.parent.mkdir(parents=True)
    binary.touch()
    then = 1_000_000.0 - age_seconds
    os.utime(binary.parent.parent, (then, then))
    return binary


def test_a_finished_binary_is_found_by_its_sources(tmp_path: Path) -> None:
    binary = _finished(tmp_path, _SOURCES.digest)

    assert find(tmp_path, _SOURCES) == binary


def test_a_build_in_progress_is_no_binary(tmp_path: Path) -> None:
    (tmp_path / "building" / "tmp").mkdir(parents=True)
    (tmp_path / "building" / BINARY).touch()
    (tmp_path / "building" / "tmp" / BINARY).touch()

    assert find(tmp_path, _SOURCES) is None


def test_a_binary_of_other_sources_is_not_taken(tmp_path: Path) -> None:
    _finished(tmp_path, "fedcba9876543210")

    assert find(tmp_path, _SOURCES) is None


def test_the_binaries_unused_for_longest_are_removed(tmp_path: Path) -> None:
    for age, digest in enumerate(["newest", "middle", "oldest"]):
        _finished(tmp_path, digest, age_seconds=age)

    prune(tmp_path, keep=2)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["middle", "newest"]


def test_compiler_caches_are_our_own_unless_the_user_names_some(tmp_path: Path) -> None:
    own = build_environment({}, workshop=tmp_path)
    theirs = build_environment({"GOCACHE": "/their/cache"}, workshop=tmp_path)

    assert own["GOCACHE"] == str(tmp_path / "gocache")
    assert own["GOMODCACHE"] == str(tmp_path / "modcache")
    assert theirs["GOCACHE"] == "/their/cache"


def test_settings_of_the_user_that_change_the_binary_are_overruled(tmp_path: Path) -> None:
    environment = build_environment({"CGO_ENABLED": "1", "GOFLAGS": "-mod=vendor"}, workshop=tmp_path)

    assert environment["CGO_ENABLED"] == "0"
    assert "vendor" not in environment["GOFLAGS"]


def test_a_given_binary_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GIVEN, str(tmp_path / "missing"))

    with pytest.raises(LabUnavailable, match=GIVEN):
        ensure()


def test_a_given_binary_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "lab"
    binary.touch(mode=0o755)
    monkeypatch.setenv(GIVEN, str(binary))

    assert ensure() == binary
