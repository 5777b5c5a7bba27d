"""The sweep over real connections on loopback; nothing here waits longer than a deadline of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.listening import Pages, abrupt, listening, silent
from upgrader.adapters.background import BackgroundLoop
from upgrader.adapters.sweep import PodSweep, read_all
from upgrader.adapters.ways import DirectWay
from upgrader.model.ports import Answer, Endpoint


def endpoint(port: int, key: str = "a", address: str = "127.0.0.1") -> Endpoint:
    return Endpoint(key, "gw", f"pod-{key}", address, port)


@pytest.fixture
def background() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop("test-io")
    yield loop
    loop.close()


def test_connections_are_kept_and_the_query_is_sent_as_it_stands(background: BackgroundLoop) -> None:
    pages, sweep = Pages(), PodSweep([DirectWay()], background)
    with listening(background, pages) as port:
        path = "/stats?usedonly&filter=%5Ehttp%5C."

        first = sweep.read([endpoint(port)], path, deadline_seconds=2)
        sweep.read([endpoint(port)], path, deadline_seconds=2)
        sweep.close()

    assert (first["a"].status, first["a"].body, first["a"].error) == (200, b"server.uptime: 1\n", "")
    assert pages.asked == [path, path]
    assert pages.connections == 1


def test_one_silent_pod_costs_its_deadline_and_nobody_elses_answer(background: BackgroundLoop) -> None:
    sweep = PodSweep([DirectWay()], background)
    with listening(background, Pages()) as good, listening(background, silent) as bad:
        answers = sweep.read([endpoint(good), endpoint(bad, "b")], "/stats", deadline_seconds=0.3)
        sweep.close()

    assert answers["a"].status == 200
    assert answers["b"].error == "no answer within 0.3 s"


def test_a_pod_that_refuses_or_breaks_off_has_an_error_with_the_reason(background: BackgroundLoop) -> None:
    sweep = PodSweep([DirectWay()], background)
    with listening(background, silent) as port:
        pass
    with listening(background, abrupt) as broken:
        answers = sweep.read([endpoint(port), endpoint(broken, "b")], "/stats", deadline_seconds=2)
        sweep.close()

    assert answers["a"].status == answers["b"].status == 0
    assert "ClientConnectorError" in answers["a"].error
    assert answers["b"].error


def test_a_pod_without_an_ip_is_an_error(background: BackgroundLoop) -> None:
    answers = PodSweep([DirectWay()], background).read(
        [endpoint(1, address="")], "/stats", deadline_seconds=1
    )

    assert answers["a"].error == "the pod has no IP"


def test_a_way_that_raises_is_an_answer_with_an_error(background: BackgroundLoop) -> None:
    class Broken(DirectWay):
        async def read(self, endpoint: Endpoint, path: str) -> Answer:
            raise RuntimeError("no way")

    answers = background.run(read_all(Broken(), [endpoint(1)], "/", seconds=1), timeout_seconds=5)

    assert answers["a"].error == "RuntimeError: no way"


def test_no_pod_is_no_answer(background: BackgroundLoop) -> None:
    assert PodSweep([DirectWay()], background).read([], "/stats", deadline_seconds=1) == {}
