"""The journal file: durable, chained, written by one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from upgrader.adapters.journal import JournalFile, encoded, read_journal
from upgrader.errors import JournalDamaged, Locked
from upgrader.model.phase import Phase
from upgrader.model.ports import Journal
from upgrader.model.record import SCHEMA, Kind, Record


def chained(count: int, *, schema: int = SCHEMA) -> Iterator[dict[str, Any]]:
    """Yield records as the flow makes them: the flow's own hash, not the file's."""
    prev = ""
    for seq in range(count):
        kind, body = (Kind.HEADER, {"schema": schema}) if seq == 0 else (Kind.READING, {"n": seq, "ü": "ß\n"})
        record = Record(seq, 1_700_000_000.1239 + seq, kind, Phase.APPLYING, "batch-1", body, prev)
        yield record.to_line()
        prev = record.digest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "journal.jsonl"


def written(path: Path, count: int) -> list[dict[str, Any]]:
    journal: Journal = JournalFile(path)
    records = list(chained(count))
    for record in records:
        journal.append(record)
    assert isinstance(journal, JournalFile)
    journal.close()
    return records


def test_records_come_back_as_they_were_written(path: Path) -> None:
    records = written(path, 5)

    assert list(JournalFile(path).records()) == records
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_journal_that_was_not_begun_leaves_nothing(path: Path) -> None:
    """A run that is refused must not look like one."""
    journal = JournalFile(path)

    assert list(journal.records()) == []
    assert not path.exists()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_dropped_and_overwritten(path: Path, cut: int) -> None:
    records = written(path, 3)
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes() + encoded({"torn": "x" * 80})[:cut])

    journal = JournalFile(path)
    seen = list(journal.records())
    for record in list(chained(4))[3:]:
        journal.append(record)

    assert seen == records
    assert len(list(journal.records())) == 4
    assert path.read_bytes()[: whole + 1].endswith(b"{")


def test_a_line_may_be_torn_while_somebody_reads(path: Path) -> None:
    written(path, 2)
    path.write_bytes(path.read_bytes() + b'{"half')

    assert len(list(read_journal(path))) == 2


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_line_breaks_the_chain(path: Path, line: int) -> None:
    """The last line alone can change unseen: nothing comes after it."""
    written(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"step":"batch-1"', b'"step":"batch-2"')
    path.write_bytes(b"".join(lines))

    with pytest.raises(JournalDamaged, match=f":{line + 2} does not follow"):
        list(read_journal(path))


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_missing_line_breaks_the_chain(path: Path, line: int) -> None:
    written(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[line]
    path.write_bytes(b"".join(lines))

    with pytest.raises(JournalDamaged):
        list(read_journal(path))


@pytest.mark.parametrize("line", [b"not json\n", b"[1]\n", b"\n", b"\x00\x00\n"])
def test_a_whole_line_that_is_no_record_is_damage(path: Path, line: bytes) -> None:
    written(path, 2)
    path.write_bytes(path.read_bytes() + line)

    with pytest.raises(JournalDamaged, match=":3 is no record"):
        list(read_journal(path))


def test_an_unknown_version_is_refused(path: Path) -> None:
    journal = JournalFile(path)
    journal.append(next(chained(1, schema=SCHEMA + 1)))

    with pytest.raises(JournalDamaged, match=f"schema {SCHEMA + 1}") as damage:
        list(journal.records())

    assert "version of upgrader" in damage.value.remedy


def test_no_two_write_the_same(path: Path) -> None:
    written(path, 1)
    first = JournalFile(path)

    with pytest.raises(Locked, match="another process writes"):
        JournalFile(path)
    first.close()

    JournalFile(path).close()


def test_the_lock_ends_with_its_process_and_is_not_inherited(path: Path) -> None:
    """A helm of ours outlives us; it must not keep the journal."""
    written(path, 1)
    program = (
        "import subprocess, sys; from pathlib import Path; from upgrader.adapters.journal import JournalFile;"
        "journal = JournalFile(Path(sys.argv[1]));"
        "print(subprocess.Popen(['sleep', '60'], stdout=-3, stderr=-3).pid)"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )

    try:
        JournalFile(path).close()
    finally:
        os.kill(int(ended.stdout), 9)


def test_a_record_that_is_no_json_is_not_written(path: Path) -> None:
    journal = JournalFile(path)
    journal.append(next(chained(1)))
    before = path.read_bytes()

    with pytest.raises(ValueError, match="JSON"):
        journal.append({"value": float("nan")})

    assert path.read_bytes() == before


def test_a_full_disk_leaves_no_half_record(path: Path) -> None:
    """Where the kernel takes only a part (here: a file size limit), that part goes again."""
    program = (
        "import resource, signal, sys; from pathlib import Path;"
        "from upgrader.adapters.journal import JournalFile;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "journal = JournalFile(Path(sys.argv[1]));"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500));"
        "journal.append({'a': 'x' * 400})\n"
        "try: journal.append({'b': 'y' * 400})\n"
        "except OSError as error: print('refused')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )

    assert ended.stdout == "refused\n"
    assert path.read_bytes() == encoded({"a": "x" * 400}) + b"\n"
