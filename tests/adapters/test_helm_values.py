"""Values travel as private files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from upgrader.adapters.helm_values import Values, ValuesFolder, put
from upgrader.adapters.redaction import Redactor
from upgrader.errors import PlaybookInvalid

REDACTOR = Redactor()


def never() -> str:
    raise AssertionError("the known-good values were not needed")


def folder(
    path: Path, values: Values, *, environment: dict[str, str] | None = None, redactor: Redactor = REDACTOR
) -> ValuesFolder:
    return ValuesFolder(path / "values", values, environment=environment or {}, redactor=redactor)


def test_files_are_pinned_copies_in_the_playbooks_order(tmp_path: Path) -> None:
    """What was planned is what is applied, whatever happens to the sources."""
    (tmp_path / "a.yaml").write_text("x: on # kept as it is\n")
    (tmp_path / "b.yaml").write_text("x: 0777\n")
    values = folder(tmp_path, Values((tmp_path / "a.yaml", tmp_path / "b.yaml")))

    first = values.write(never)
    (tmp_path / "a.yaml").write_text("x: changed\n")
    again = values.write(never)

    assert [path.name for path in first] == ["1-a.yaml", "2-b.yaml"]
    assert first == again == values.paths()
    assert first[0].read_text() == "x: on # kept as it is\n"
    assert {path.stat().st_mode & 0o777 for path in first} == {0o600}
    assert first[0].parent.stat().st_mode & 0o777 == 0o700


def test_without_files_the_known_good_values_are_taken_once(tmp_path: Path) -> None:
    values = folder(tmp_path, Values())

    (path,) = values.write(lambda: '{"replicas": 3}')
    values.write(never)

    assert json.loads(path.read_text()) == {"replicas": 3}


def test_secrets_come_last_nested_and_masked(tmp_path: Path) -> None:
    redactor = Redactor()
    env = {"global.licence": "LICENCE", "global.db.password": "PASSWORD", r"a.b\.c": "DOTTED"}
    variables = {"LICENCE": "l-1", "PASSWORD": "p-123456", "DOTTED": "d"}
    values = folder(tmp_path, Values((), env), environment=variables, redactor=redactor)

    *_, path = values.write(lambda: "{}")

    assert json.loads(path.read_text()) == {
        "global": {"licence": "l-1", "db": {"password": "p-123456"}},
        "a": {"b.c": "d"},
    }
    assert path.stat().st_mode & 0o777 == 0o600
    assert redactor.text("password p-123456!") == "password ***!"


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    values = folder(tmp_path, Values((), {"global.licence": "LICENCE"}))

    with pytest.raises(PlaybookInvalid, match=r"values.env.global.licence.*LICENCE is not set"):
        values.write(lambda: "{}")


def test_a_resumed_run_uses_the_secrets_that_are_written(tmp_path: Path) -> None:
    """The variable may not be set any more; the secret is masked all the same."""
    env, redactor = {"licence": "LICENCE"}, Redactor()
    folder(tmp_path, Values((), env), environment={"LICENCE": "l-123456"}).write(lambda: "{}")

    resumed = folder(tmp_path, Values((), env), redactor=redactor)
    *_, path = resumed.write(never)

    assert json.loads(path.read_text()) == {"licence": "l-123456"}
    assert redactor.text("l-123456") == "***"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlaybookInvalid, match=r"absent.yaml cannot be read"):
        folder(tmp_path, Values((tmp_path / "absent.yaml",))).write(never)


def test_nothing_stays_after_the_run(tmp_path: Path) -> None:
    values = folder(tmp_path, Values((), {"a": "A"}), environment={"A": "1"})
    paths = values.write(lambda: "{}")

    values.forget()
    values.forget()

    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize("key", ["", "a..b", ".a", "a.", "list[0]", "list[0].x[1]"])
def test_a_key_that_names_no_map_is_refused(key: str) -> None:
    with pytest.raises(PlaybookInvalid):
        put({}, key, "x")


@pytest.mark.parametrize(("first", "second"), [("a", "a.b"), ("a.b", "a"), ("a.b", "a.b")])
def test_keys_that_run_into_each_other_are_refused(first: str, second: str) -> None:
    root: dict[str, object] = {}
    put(root, first, "x")

    with pytest.raises(PlaybookInvalid):
        put(root, second, "y")
