"""How a room is made and entered, and what is said when the kernel refuses."""

from __future__ import annotations

import pytest

from upgrader.errors import LabUnavailable
from upgrader.lab.namespaces import check_system, enter_argv, make_argv, refusal


def test_an_ordinary_user_gets_a_user_namespace_and_root_does_not() -> None:
    assert "--user" in make_argv(["x"], user_namespace=True)
    assert "--user" not in make_argv(["x"], user_namespace=False)


def test_a_room_ends_with_its_outer_process() -> None:
    assert "--kill-child" in make_argv(["x"], user_namespace=False)


def test_the_way_in_carries_no_environment_on_the_command_line() -> None:
    command = enter_argv(["helm", "list"], pid=7, user_namespace=True, folder="/home")

    assert command[-2:] == ["helm", "list"]
    assert not [word for word in command if "=" in word and not word.startswith("--")]


@pytest.mark.parametrize(
    ("switches", "in_container", "expected"),
    [
        ({"kernel.unprivileged_userns_clone": "0"}, False, "sysctl -w kernel.unprivileged_userns_clone=1"),
        ({"user.max_user_namespaces": "0"}, False, "sysctl -w user.max_user_namespaces=15000"),
        (
            {"kernel.apparmor_restrict_unprivileged_userns": "1"},
            False,
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ({"user.max_user_namespaces": "9000"}, True, "seccomp=unconfined"),
        ({}, False, "dmesg"),
    ],
)
def test_a_refusal_names_the_cause_and_the_way_out(
    switches: dict[str, str], in_container: bool, expected: str
) -> None:
    error = refusal("Operation not permitted", switches=switches, in_container=in_container)

    assert expected in error.remedy
    assert "--context" in error.remedy
    assert "Operation not permitted" in error.what


def test_other_systems_are_told_at_once() -> None:
    with pytest.raises(LabUnavailable, match="darwin"):
        check_system("darwin")
