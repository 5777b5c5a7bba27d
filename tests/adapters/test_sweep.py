from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from upgrader.adapters.background import BackgroundLoop
from upgrader.adapters.sweep import PodSweep, sweep_by
from upgrader.model.ports import Answer, Endpoint

REFUSED = Answer(0, error="refused")
GOOD = Answer(200, b"server.uptime: 1\n")
PATH = "/stats"


@dataclass
class FakeWay:
    """A way that reaches the pods named, refuses others, and never answers those it waits for."""

    name: str
    reaches: frozenset[str] = frozenset()
    hangs: frozenset[str] = frozenset()
    refuses: Answer = REFUSED
    asked: list[str] = field(default_factory=list)
    closed: int = 0

    async def read(self, endpoint: Endpoint, path: str) -> Answer:
        self.asked.append(endpoint.pod)
        if endpoint.pod in self.hangs:
            await asyncio.Event().wait()
        return GOOD if endpoint.pod in self.reaches else self.refuses

    async def close(self) -> None:
        self.closed += 1


def pods(*names: str) -> list[Endpoint]:
    return [Endpoint(f"uid-{name}", "gw", name, "10.0.0.1", 19000) for name in names]


ALL = frozenset("abcdefgh")


@pytest.fixture
def background() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop("test-io")
    yield loop
    loop.close()


def test_every_pod_has_an_answer_and_a_late_one_an_error(background: BackgroundLoop) -> None:
    sweep = PodSweep([FakeWay("direct", frozenset("a"), frozenset("c"))], background)

    answers = sweep.read(pods("a", "b", "c"), PATH, deadline_seconds=0.05)

    assert answers["uid-a"] == GOOD
    assert answers["uid-b"].error == "refused"
    assert answers["uid-c"].error == "no answer within 0.05 s"


def test_one_way_is_named_from_the_start(background: BackgroundLoop) -> None:
    assert PodSweep([FakeWay("apiserver")], background).reach == "apiserver"


@pytest.mark.parametrize(
    ("direct", "apiserver", "portforward", "found"),
    [
        pytest.param(ALL, ALL, ALL, "direct", id="all ways: the cheapest"),
        pytest.param(frozenset(), ALL, ALL, "apiserver", id="no route to the pods"),
        pytest.param(frozenset(), frozenset(), ALL, "portforward", id="bound to loopback"),
        pytest.param(frozenset("b"), ALL, ALL, "direct", id="one of the three that are tried is enough"),
    ],
)
def test_auto_finds_the_first_way_that_reaches_a_pod(
    background: BackgroundLoop,
    direct: frozenset[str],
    apiserver: frozenset[str],
    portforward: frozenset[str],
    found: str,
) -> None:
    ways = [
        FakeWay("direct", direct),
        FakeWay("apiserver", apiserver),
        FakeWay("portforward", portforward),
    ]
    sweep = PodSweep(ways, background)
    assert sweep.reach == "auto"

    answers = sweep.read(pods("a", "b", "c", "d"), PATH, deadline_seconds=1)
    sweep.read(pods("a", "b", "c", "d"), PATH, deadline_seconds=1)

    assert sweep.reach == found
    assert len(answers) == 4
    others = [way for way in ways if way.name != found]
    assert all(len(way.asked) == 3 and way.closed == 1 for way in others)


def test_auto_is_not_misled_by_something_else_that_answers(background: BackgroundLoop) -> None:
    elsewhere = FakeWay("direct", refuses=Answer(404, b"not an Envoy"))
    sweep = PodSweep([elsewhere, FakeWay("portforward", ALL)], background)

    sweep.read(pods("a"), PATH, deadline_seconds=1)

    assert sweep.reach == "portforward"


def test_a_way_that_hangs_does_not_keep_auto_from_another(background: BackgroundLoop) -> None:
    sweep = PodSweep([FakeWay("direct", hangs=ALL), FakeWay("apiserver", ALL)], background)

    answers = sweep.read(pods("a"), PATH, deadline_seconds=0.1)

    assert (sweep.reach, answers["uid-a"]) == ("apiserver", GOOD)


def test_where_no_way_works_each_says_why_and_other_pods_are_tried_next(background: BackgroundLoop) -> None:
    direct, forward = FakeWay("direct"), FakeWay("portforward", refuses=Answer(403))
    sweep = PodSweep([direct, forward], background)

    answers = sweep.read(pods(*"abcd"), PATH, deadline_seconds=1)
    sweep.read(pods(*"abcd"), PATH, deadline_seconds=1)

    assert answers["uid-d"].error == "direct: refused; portforward: HTTP 403"
    assert sweep.reach == "auto"
    assert direct.asked == ["a", "b", "c", "d", "a", "b"]


def test_no_pod_yet_is_no_way_yet(background: BackgroundLoop) -> None:
    sweep = PodSweep([FakeWay("direct", ALL), FakeWay("apiserver", ALL)], background)

    assert sweep.read([], PATH, deadline_seconds=1) == {}
    assert sweep.reach == "auto"


def test_a_way_that_raises_is_an_answer_with_an_error(background: BackgroundLoop) -> None:
    @dataclass
    class Broken(FakeWay):
        async def read(self, endpoint: Endpoint, path: str) -> Answer:
            raise RuntimeError("no way")

    sweep = PodSweep([Broken("direct")], background)

    assert sweep.read(pods("a"), PATH, deadline_seconds=1)["uid-a"].error == "RuntimeError: no way"


def test_closing_closes_the_ways(background: BackgroundLoop) -> None:
    way = FakeWay("direct")

    PodSweep([way], background).close()

    assert way.closed == 1


def test_a_direct_sweep_asks_for_no_connection_to_the_api_server() -> None:
    class Kube:
        def connection(self) -> object:
            raise AssertionError("not needed")

    assert sweep_by("direct", Kube()).reach == "direct"  # type: ignore[arg-type]
