"""Exit codes have one meaning each, are documented, and the errors' own drawing tells the truth."""

from __future__ import annotations

import inspect
import re

import pytest

from tests.promises.sources import ROOT
from upgrader import errors
from upgrader.errors import ExitCode, Permanent, Transient, UpgraderError
from upgrader.model.phase import EXIT_CODES, TERMINAL, Phase

_ROW = re.compile(r"^\| (\d+) \| ([a-z ]+) \|", re.MULTILINE)
_BRANCH = re.compile(r"[├└]── (\w+) .*")


def _classes() -> dict[str, type[UpgraderError]]:
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: one for name, one in found if issubclass(one, UpgraderError)}


def test_no_two_exit_codes_share_a_number() -> None:
    assert len(ExitCode.__members__) == len({code.value for code in ExitCode})


def test_every_end_of_a_run_has_an_exit_code_of_its_own() -> None:
    assert set(EXIT_CODES) == TERMINAL | {Phase.PAUSED}
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)


def test_the_docs_name_every_exit_code_once() -> None:
    page = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")

    documented = [(int(number), name) for number, name in _ROW.findall(page)]

    assert documented == [(code.value, code.name.lower().replace("_", " ")) for code in ExitCode]


def test_every_error_says_whether_trying_again_can_help() -> None:
    undecided = [
        name
        for name, one in _classes().items()
        if one is not UpgraderError and not issubclass(one, Permanent | Transient)
    ]

    assert not undecided


def test_no_error_an_operator_can_meet_counts_as_a_bug() -> None:
    bare = {UpgraderError, Permanent}

    assert not [name for name, one in _classes().items() if one not in bare and one.exit_code == ExitCode.BUG]


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = _BRANCH.findall(errors.__doc__ or "")

    assert sorted(drawn) == sorted(set(_classes()) - {"UpgraderError"})


@pytest.mark.parametrize("line", [line for line in (errors.__doc__ or "").splitlines() if "exit " in line])
def test_an_exit_code_in_the_tree_is_the_one_of_its_class(line: str) -> None:
    branch, code = _BRANCH.search(line), re.search(r"exit (\d)", line)
    assert branch
    assert code

    assert _classes()[branch[1]].exit_code == int(code[1])
