"""What the host keeps of a room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from upgrader.errors import PlaybookInvalid, Refused
from upgrader.lab.record import Record, Records, check_name, start_time

_GONE_PID = 2**22 + 1
"""Above the kernel's largest pid (PID_MAX_LIMIT, 64 bit)."""


def _record(name: str, *, pid: int | None = None, started: int | None = None) -> Record:
    us = os.getpid()
    return Record(name, pid or us, (start_time(us) or 0) if started is None else started, 0.0)


def test_a_room_is_found_by_its_name(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.claim(_record("a"))

    assert records.find("a") == _record("a")


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.claim(_record("a"))

    with pytest.raises(Refused, match="'a' already"):
        records.claim(_record("a"))


def test_rooms_whose_process_is_gone_are_swept(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.replace(_record("dead", pid=_GONE_PID))
    records.replace(_record("alive"))

    assert [record.name for record in records.sweep()] == ["alive"]
    assert [path.name for path in tmp_path.iterdir()] == ["alive.json"]


def test_a_reused_pid_is_not_taken_for_the_room(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.replace(_record("a", started=1))

    assert records.sweep() == []


def test_the_name_of_a_dead_room_is_free_again(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.replace(_record("a", pid=_GONE_PID))

    records.claim(_record("a"))

    assert records.find("a").pid == os.getpid()


@pytest.mark.parametrize("text", ["", "{", '{"name": "a"}', '{"name": "a", "unknown": 1}', "[]"])
def test_a_damaged_record_is_swept(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)

    assert Records(tmp_path).sweep() == []
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_room_is_refused_with_the_way_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="upgrader lab up --name a"):
        Records(tmp_path).find("a")


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", "-a", "a-", "a" * 41, "a.b", "a\n"])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(PlaybookInvalid):
        check_name(name)


def test_a_process_that_never_was_has_no_start_time() -> None:
    assert start_time(_GONE_PID) is None
