"""A run's folder: secrets lie in it while a plan is made, also when its process is killed."""

from __future__ import annotations

from pathlib import Path

from upgrader.adapters.helm_manifest import documents
from upgrader.adapters.run_folder import HELD, held, kept

JOURNAL = "journal.jsonl"


def test_the_folder_is_private_and_goes_when_only_planned_in(tmp_path: Path) -> None:
    mine = tmp_path / "runs/mine"

    with held(mine, keep=JOURNAL):
        mode = mine.stat().st_mode & 0o777
        (mine / "secrets.json").write_text("{}")

    assert mode == 0o700
    assert not mine.exists()


def test_the_folder_of_a_run_stays(tmp_path: Path) -> None:
    with held(tmp_path / "mine", keep=JOURNAL):
        (tmp_path / "mine" / JOURNAL).touch()

    assert (tmp_path / "mine" / JOURNAL).exists()


def test_what_a_killed_planner_left_goes_with_the_next_one(tmp_path: Path) -> None:
    killed, ended = tmp_path / "killed", tmp_path / "ended"
    for folder in (killed, ended):
        folder.mkdir()
        (folder / HELD).touch()
        (folder / "secrets.json").write_text("{}")
    (ended / JOURNAL).touch()

    with held(tmp_path / "mine", keep=JOURNAL):
        assert not killed.exists()

    assert (ended / "secrets.json").exists()


def test_who_is_planning_now_is_left_alone(tmp_path: Path) -> None:
    with held(tmp_path / "theirs", keep=JOURNAL), held(tmp_path / "mine", keep=JOURNAL):
        assert (tmp_path / "theirs").exists()


def test_a_strange_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "strange").mkdir()

    with held(tmp_path / "mine", keep=JOURNAL):
        pass

    assert (tmp_path / "strange").exists()


def test_kept_objects_are_read_back_as_they_were_by_kubernetes_rules(tmp_path: Path) -> None:
    """A plain ``y``, ``1e3`` or ``12:30`` in YAML is no text to Kubernetes, or none to Python."""
    enum = ["y", "on", "1e3", "0x1f", "12:30", "2026-01-01", "~", "plain", "null", "1_000", "", "a: b\nc"]
    shared = {"a": 1}
    one = {"kind": "A", "enum": enum, "n": [1, 2.5, True, None], "x": shared, "y": shared}

    path = kept(tmp_path, "a.yaml", [one, {"kind": "B"}])

    assert list(documents(Path(path).read_text())) == [one, {"kind": "B"}]
    assert Path(path).stat().st_mode & 0o777 == 0o600


def test_what_was_kept_first_stays(tmp_path: Path) -> None:
    first = kept(tmp_path, "a.yaml", [{"kind": "A"}])

    again = kept(tmp_path, "a.yaml", [{"kind": "B"}])

    assert first == again
    assert list(documents(Path(first).read_text())) == [{"kind": "A"}]
