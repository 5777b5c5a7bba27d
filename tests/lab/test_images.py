"""Which program stands for which image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import upgrader
from upgrader.errors import PlaybookInvalid
from upgrader.lab.images import EVERY_IMAGE, image_table, spellings

_BINARY = Path("/opt/lab-kube")


@pytest.mark.parametrize(
    ("prefix", "spelled"),
    [
        ("envoyproxy/envoy", ("envoyproxy/envoy", "docker.io/envoyproxy/envoy")),
        ("nginx", ("nginx", "docker.io/library/nginx")),
        ("quay.io/solo-io/gloo", ("quay.io/solo-io/gloo",)),
        ("localhost/x", ("localhost/x",)),
        ("registry:5000/x", ("registry:5000/x",)),
        ("", ("",)),
    ],
)
def test_docker_hub_has_a_short_and_a_long_spelling(prefix: str, spelled: tuple[str, ...]) -> None:
    assert spellings(prefix) == spelled


def test_envoy_is_the_real_one_in_both_spellings() -> None:
    table = image_table({}, binary=_BINARY)

    assert table["envoyproxy/envoy"] == table["docker.io/envoyproxy/envoy"]
    assert table["envoyproxy/envoy"]["files"]["/usr/local/bin/envoy"].endswith("envoy/_bin/envoy")


def test_an_unknown_image_has_no_program_unless_asked_for() -> None:
    assert EVERY_IMAGE not in image_table({}, binary=_BINARY)

    table = image_table({EVERY_IMAGE: {"run": "standin"}}, binary=_BINARY)

    assert table[EVERY_IMAGE]["entrypoint"][-1] == "upgrader.lab.standin"


def test_the_users_entry_wins_over_ours_in_both_spellings(tmp_path: Path) -> None:
    program = tmp_path / "proxy"
    program.touch()

    table = image_table({"envoyproxy/envoy": {"run": str(program)}}, binary=_BINARY)

    assert table["envoyproxy/envoy"]["entrypoint"] == [str(program)]
    assert table["docker.io/envoyproxy/envoy"]["entrypoint"] == [str(program)]


def test_the_long_spelling_of_the_user_is_not_overwritten_by_ours(tmp_path: Path) -> None:
    program = tmp_path / "proxy"
    program.touch()

    table = image_table({"docker.io/envoyproxy/envoy": {"run": str(program)}}, binary=_BINARY)

    assert table["docker.io/envoyproxy/envoy"]["entrypoint"] == [str(program)]


def test_a_program_of_the_users_is_shown_inside_under_its_own_path(tmp_path: Path) -> None:
    program = tmp_path / "shop-api"
    program.touch()
    entry = {"run": str(program), "args": ["--port", 8080], "env": {"MODE": "x"}, "dir": "/srv"}

    made = image_table({"shop/api": entry}, binary=_BINARY)["shop/api"]

    assert made == {
        "entrypoint": [str(program), "--port", "8080"],
        "env": {"MODE": "x"},
        "files": {str(program): str(program)},
        "dir": "/srv",
    }


def test_a_program_every_container_sees_needs_no_mount() -> None:
    assert image_table({}, binary=_BINARY)["busybox"]["files"] == {}


def test_python_programs_find_the_interpreter_and_our_package() -> None:
    made = image_table({"x": {"run": "python", "module": "shop.hooks"}}, binary=_BINARY)["x"]
    package = Path(upgrader.__file__).parent

    assert made["entrypoint"] == [sys.executable, "-m", "shop.hooks"]
    assert made["env"]["PYTHONPATH"] == str(package.parent)
    for path in (Path(sys.prefix), Path(sys.base_prefix), package):
        everywhere = path.parts[1] in {"usr", "opt", "bin", "lib", "sbin", "lib64"}
        assert everywhere or made["files"][str(path)] == str(path)


def test_kubectl_images_run_the_labs_binary_under_that_name() -> None:
    made = image_table({}, binary=_BINARY)["bitnami/kubectl"]

    assert made["entrypoint"] == ["/usr/local/bin/kubectl"]
    assert made["files"] == {"/usr/local/bin/kubectl": str(_BINARY)}


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ("envoy", "lab.images.x"),
        ({}, "lab.images.x"),
        ({"run": "envoy", "argv": []}, "lab.images.x"),
        ({"run": "ngnix"}, "lab.images.x.run"),
        ({"run": "/no/such/program"}, "lab.images.x.run"),
        ({"run": "python"}, "lab.images.x.module"),
    ],
)
def test_a_bad_entry_is_refused_with_its_key(entry: Any, key: str) -> None:
    with pytest.raises(PlaybookInvalid) as refused:
        image_table({"x": entry}, binary=_BINARY)

    assert refused.value.key == key
