"""The lab's binary as a wheel."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from upgrader.lab.sources import Sources
from upgrader.lab.wheel import pack, tag

_SOURCES = Sources(Path("/nowhere"), "0123456789abcdef", "v1.37.2", (1, 26))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    binary = tmp_path / "any-name"
    binary.write_bytes(b"\x7fELF")
    return pack(binary, folder=tmp_path / "wheels", sources=_SOURCES)


def test_the_name_says_kubernetes_sources_and_platform(packed: Path) -> None:
    assert packed.name == f"upgrader_lab_kube-1.37.2+0123456789abcdef-{tag()}.whl"
    assert tag("x86_64") == "py3-none-manylinux_2_17_x86_64"


def test_nothing_half_written_stays(packed: Path) -> None:
    assert list(packed.parent.iterdir()) == [packed]


def test_the_program_is_executable_and_the_rest_is_not(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}

    program = modes.pop("upgrader_lab_kube/lab-kube")
    assert program == 0o100755
    assert set(modes.values()) == {0o100644}


def test_the_record_lists_every_file_with_its_hash(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        [name] = [each for each in archive.namelist() if each.endswith("/RECORD")]
        rows = list(csv.reader(io.StringIO(archive.read(name).decode())))
        contents = {each: archive.read(each) for each in archive.namelist()}

    assert [row[0] for row in rows] == list(contents)
    for path, digest, size in rows:
        if path != name:
            wanted = base64.urlsafe_b64encode(hashlib.sha256(contents[path]).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={wanted}", str(len(contents[path])))


def test_the_package_says_which_sources_it_was_made_from(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        assert archive.read("upgrader_lab_kube/SOURCE") == b"0123456789abcdef\n"
