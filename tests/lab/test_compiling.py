"""What Go prints while it builds, read as progress."""

from __future__ import annotations

import pytest

from upgrader.lab.compiling import LINK_SECONDS, Downloads, Packages
from upgrader.lab.progress import Progress
from upgrader.lab.toolchain import parse_version


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_downloads_are_counted_against_what_go_sum_pins() -> None:
    downloads = Downloads(2)

    first = downloads.read("go: downloading k8s.io/api v0.37.2\n")

    assert first == Progress("downloading", "k8s.io/api v0.37.2", 1, 2)


def test_more_downloads_than_expected_never_pass_the_total() -> None:
    downloads = Downloads(1)
    downloads.read("go: downloading a v1\n")

    second = downloads.read("go: downloading b v1\n")

    assert second is not None
    assert (second.done, second.total) == (1, 1)


def test_compiler_messages_are_no_progress() -> None:
    packages = Packages(frozenset({"a"}), clock=_Clock())

    assert packages.read("# a\n") is None
    assert packages.read("./main.go:3:2: undefined: x\n") is None
    assert Downloads(1).read("go: finding module\n") is None


def test_the_time_left_is_the_pace_so_far_and_the_linking() -> None:
    clock = _Clock()
    packages = Packages(frozenset("abcd"), clock=clock)

    clock.now += 10
    progress = packages.read("a\n")

    assert progress == Progress("compiling", "a", 1, 4, 30 + LINK_SECONDS)


def test_there_is_no_estimate_before_it_means_something() -> None:
    packages = Packages(frozenset(str(number) for number in range(200)), clock=_Clock())

    progress = packages.read("7\n")

    assert progress is not None
    assert progress.seconds_left is None


def test_a_package_printed_twice_counts_once() -> None:
    packages = Packages(frozenset("ab"), clock=_Clock())
    packages.read("a\n")

    again = packages.read("a\n")

    assert again is not None
    assert again.done == 1


def test_where_all_is_compiled_only_linking_is_left() -> None:
    assert Packages(frozenset(), clock=_Clock()).begin() == Progress("linking", seconds_left=LINK_SECONDS)
    assert Packages(frozenset("ab"), clock=_Clock()).begin() == Progress("compiling", "", 0, 2)


def test_after_the_last_package_comes_the_linking() -> None:
    packages = Packages(frozenset({"a"}), clock=_Clock())

    assert packages.read("a\n") == Progress("linking", "a", 1, 1, LINK_SECONDS)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.27rc1 linux/arm64", (1, 27)),
        ("go version devel go1.28-abcdef linux/amd64", (1, 28)),
        ("command not found", None),
    ],
)
def test_go_says_its_version_in_several_ways(said: str, version: tuple[int, int] | None) -> None:
    assert parse_version(said) == version
