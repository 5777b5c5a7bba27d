"""The live copy: what it holds after each event, and when it says that it is old."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.scripted_server import ScriptedServer, ScriptedStream, reply
from upgrader.adapters.kube_watch import Follower, KubeWatch
from upgrader.errors import ClusterUnreachable

PODS = "/api/v1/namespaces/gw/pods"


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "gw", "resourceVersion": str(version)}}


def listed(*items: dict[str, Any], version: int = 10) -> Any:
    return reply(items=list(items), metadata={"resourceVersion": str(version)})


def event(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": item}


def follower(server: ScriptedServer, clock: HandClock, path: str | None = PODS) -> Follower:
    return Follower(server, lambda: path, ("v1", "Pod"), clock)


def names(copy: Follower) -> list[str]:
    return [item["metadata"]["name"] for item in copy.objects()]


def test_events_change_the_copy() -> None:
    stream = ScriptedStream(
        event("ADDED", pod("c", 11)),
        event("DELETED", pod("a", 12)),
        event("MODIFIED", pod("b", 13) | {"status": {"phase": "Running"}}),
    )
    server = ScriptedServer(streams=[stream]).on("GET", PODS, listed(pod("a", 1), pod("b", 2)))
    copy = follower(server, HandClock())

    copy.cycle()

    assert names(copy) == ["b", "c"]
    assert copy.objects()[0]["status"] == {"phase": "Running"}
    assert {item["kind"] for item in copy.objects()} == {"Pod"}


def test_a_watch_that_ended_is_resumed_where_it_was() -> None:
    """Bookmarks move the place on; nothing is listed anew."""
    streams = [ScriptedStream(event("BOOKMARK", pod("", 44))), ScriptedStream()]
    server = ScriptedServer(streams=streams).on("GET", PODS, listed(pod("a", 1)))
    copy = follower(server, HandClock())

    copy.cycle()
    copy.cycle()

    watches = [request.query for request in server.asked if "watch" in request.query]
    assert [query["resourceVersion"] for query in watches] == ["10", "44"]
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "gone",
    [
        ScriptedStream(status=410),
        ScriptedStream({"type": "ERROR", "object": {"code": 410, "message": "too old"}}),
    ],
    ids=["refused", "in mid-stream"],
)
def test_a_version_the_server_forgot_is_listed_anew(gone: ScriptedStream) -> None:
    server = ScriptedServer(streams=[gone, ScriptedStream()])
    server.on("GET", PODS, listed(pod("a", 1)), listed(pod("b", 2), version=90))
    copy = follower(server, HandClock())

    copy.cycle()
    copy.cycle()

    assert names(copy) == ["b"]


def test_the_copy_has_no_age_only_while_connected() -> None:
    clock = HandClock()
    server = ScriptedServer(streams=[ScriptedStream(broken=True)]).on("GET", PODS, listed(pod("a", 1)))
    copy = follower(server, clock)

    never = copy.age_seconds()
    with pytest.raises(ClusterUnreachable):
        copy.cycle()
    clock.sleep(7)

    assert never == float("inf")
    assert copy.age_seconds() == 7
    assert names(copy) == ["a"]


def test_a_silent_watch_ages_unless_the_server_shows_a_sign_of_life() -> None:
    """A dead connection says as little as one on which nothing happens."""
    clock = HandClock()
    server = ScriptedServer().on("GET", "/version", ClusterUnreachable("stopped"), reply(403))
    server.on("GET", "/api/v1/nopods", reply(404))
    watch = KubeWatch(server, lambda _: None, kinds=[("v1", "Pod")], clock=clock)
    copy = watch._followers[0]
    copy.cycle()

    clock.sleep(6)
    watch.beat()
    silent = watch.age_seconds(), watch.error()
    watch.beat()

    assert silent == (6, "the API server does not answer")
    assert (watch.age_seconds(), watch.error()) == (0, "")


def test_a_kind_that_is_not_served_is_an_empty_copy() -> None:
    copy = follower(ScriptedServer(), HandClock(), path=None)

    served = copy.cycle()

    assert not served
    assert copy.objects() == ()
    assert copy.age_seconds() == 0


def test_a_kind_whose_definition_went_leaves_an_empty_copy() -> None:
    server = ScriptedServer(streams=[ScriptedStream(status=404)])
    server.on("GET", PODS, listed(pod("a", 1)), reply(404))
    copy = follower(server, HandClock())

    copy.cycle()
    copy.cycle()

    assert copy.objects() == ()


def test_a_refused_list_is_told() -> None:
    server = ScriptedServer().on("GET", PODS, reply(403, message="pods is forbidden"))
    copy = follower(server, HandClock())

    with pytest.raises(ClusterUnreachable, match="pods is forbidden"):
        copy.cycle()


def test_threads_follow_and_end() -> None:
    server = ScriptedServer().on("GET", "/version", reply())
    watch = KubeWatch(server, lambda _: None, kinds=[("v1", "Pod"), ("v1", "Secret")], clock=HandClock())

    watch.start(wait_seconds=5)
    age = watch.age_seconds()
    watch.close()

    assert age == 0
    assert not any(thread.is_alive() for thread in watch._threads)
