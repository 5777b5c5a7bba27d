"""Long-lived streams: which end is a move, which a loss, and that no message is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from upgrader.lab.traffic.calls import of_grpc
from upgrader.lab.traffic.lanes import MOVE, Lane, Message
from upgrader.lab.traffic.sockets import of_close
from upgrader.lab.traffic.tally import AccountError, Streams


class Fake:
    """A session that does what the test says."""

    def __init__(self) -> None:
        self.opening = self.finished = self.aborted = False
        self.sent: list[bytes] = []
        self.takes = True

    def open(self) -> None:
        self.opening = True

    def send(self, content: bytes) -> bool:
        if self.takes:
            self.sent.append(content)
        return self.takes

    def finish(self) -> None:
        assert not self.finished
        self.finished = True

    def abort(self) -> None:
        self.aborted = True


class Scene:
    """A lane, its sessions so far, and what was counted."""

    def __init__(self) -> None:
        self.sessions: list[Fake] = []
        self.streams = Streams()
        self.ends: dict[bytes, str] = {}
        self.lane = Lane(connect=self._connect, streams=self.streams, on_end=self._end)
        self.lane.open()

    @property
    def now(self) -> Fake:
        return self.sessions[-1]

    def opened(self) -> None:
        self.lane.on_open(self.now)

    def say(self, *contents: bytes) -> None:
        for content in contents:
            self.lane.say(Message(content, due=0.0, begun=0.0))

    def hear(self, *contents: bytes) -> None:
        for content in contents:
            self.lane.on_message(self.now, content)

    def ended(self, name: str) -> None:
        self.lane.on_end(self.now, name)

    def told(self) -> dict[str, Any]:
        return {key: value for key, value in self.streams.as_record().items() if value}

    def _connect(self, _lane: Lane) -> Fake:
        self.sessions.append(Fake())
        return self.sessions[-1]

    def _end(self, message: Message, name: str) -> None:
        assert message.content not in self.ends
        self.ends[message.content] = name


def open_scene() -> Scene:
    scene = Scene()
    scene.opened()
    return scene


def test_a_stream_that_is_asked_to_move_ends_when_all_has_come_back() -> None:
    """What is due meanwhile goes over the next one."""
    scene = open_scene()
    scene.say(b"1", b"2")
    scene.hear(MOVE)
    scene.say(b"3")
    assert (scene.now.sent, scene.now.finished) == ([b"1", b"2"], False)

    scene.hear(b"1", b"2")
    assert scene.now.finished
    scene.ended("ended")
    scene.opened()
    scene.hear(b"3")

    assert scene.ends == {b"1": "ok", b"2": "ok", b"3": "ok"}
    assert scene.told() == {
        "opened": 2,
        "open": 1,
        "moved": 1,
    }


@pytest.mark.parametrize("name", ["drained", "ended"])
def test_a_stream_ended_in_order_with_nothing_on_its_way_has_moved_once_another_is_open(name: str) -> None:
    scene = open_scene()

    scene.ended(name)
    assert scene.told() == {"opened": 1, "moving": 1}
    scene.opened()

    assert scene.told() == {"opened": 2, "open": 1, "moved": 1}


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("drained", "drained"),
        ("ended", "drained"),
        ("reset", "reset"),
        ("goaway_cut", "goaway_cut"),
        ("stream_reset", "stream_reset"),
        ("closed_1011", "closed_1011"),
    ],
)
def test_a_message_that_was_on_its_way_is_lost_with_its_stream(name: str, counted: str) -> None:
    """In order or not: it did not come back."""
    scene = open_scene()
    scene.say(b"1", b"2")
    scene.hear(b"1")
    scene.ended(name)

    assert scene.ends == {b"1": "ok", b"2": counted}
    assert scene.told() == {"opened": 1, "lost": {counted: 1}}
    assert scene.now.opening
    assert len(scene.sessions) == 2


def test_a_stream_that_is_cut_is_lost_even_when_nothing_was_on_it() -> None:
    scene = open_scene()
    scene.ended("eof")

    assert scene.told() == {"opened": 1, "lost": {"eof": 1}}


def test_a_move_to_nowhere_is_a_loss() -> None:
    """It ended in order, but no gateway takes it again at once; nor the message that waited."""
    scene = open_scene()
    scene.ended("drained")
    scene.say(b"1")
    scene.ended("http_503")

    assert scene.told() == {"opened": 1, "lost": {"http_503": 1}}
    assert scene.ends == {b"1": "http_503"}


def test_the_next_message_tries_to_open_again() -> None:
    scene = Scene()
    scene.ended("refused")
    assert len(scene.sessions) == 1

    scene.say(b"1")
    scene.opened()
    scene.hear(b"1")

    assert scene.ends == {b"1": "ok"}
    assert scene.told() == {"opened": 1, "open": 1}


def test_a_message_that_was_passed_over_is_missing() -> None:
    """An echo that swallows one would look well to whoever counts answers alone."""
    scene = open_scene()
    scene.say(b"1", b"2")
    scene.hear(b"2")

    assert scene.ends == {b"1": "missing", b"2": "ok"}


def test_an_answer_to_nothing_ends_the_stream() -> None:
    scene = open_scene()
    scene.say(b"1")
    first = scene.now
    scene.hear(b"other")

    assert scene.ends == {b"1": "garbled"}
    assert first.aborted
    assert scene.told() == {"opened": 1, "lost": {"garbled": 1}}


@pytest.mark.parametrize(("now", "is_over"), [(5.0, False), (5.1, True)])
def test_a_stream_that_does_not_answer_in_time_is_given_up(now: float, is_over: bool) -> None:
    scene = open_scene()
    scene.say(b"1")
    first = scene.now
    scene.lane.expire(now, timeout_seconds=5.0)

    assert first.aborted is is_over
    assert scene.ends == ({b"1": "timeout"} if is_over else {})


def test_a_stream_that_does_not_open_in_time_is_given_up() -> None:
    scene = Scene()
    scene.say(b"1")
    scene.lane.expire(6.0, timeout_seconds=5.0)

    assert scene.now.aborted
    assert scene.ends == {b"1": "timeout"}
    assert scene.told() == {}


def test_a_message_that_cannot_be_sent_is_counted_and_no_more() -> None:
    scene = open_scene()
    scene.now.takes = False
    scene.say(b"1")

    assert scene.ends == {b"1": "saturated"}


def test_the_end_of_the_load_closes_streams_and_is_no_move() -> None:
    scene = open_scene()
    scene.lane.finish()
    assert scene.now.finished
    scene.ended("ended")

    assert scene.lane.is_idle
    assert len(scene.sessions) == 1
    assert scene.told() == {"opened": 1, "closed": 1}


@pytest.mark.parametrize("is_asked_first", [True, False])
def test_a_stream_asked_to_move_as_the_load_ends_is_ended_once(is_asked_first: bool) -> None:
    """Seen: the second goodbye was one too many for the protocol, and the stream counted as cut."""
    scene = open_scene()
    for step in (1, 2):
        if (step == 1) is is_asked_first:
            scene.hear(MOVE)
        else:
            scene.lane.finish()
    scene.ended("ended")

    assert scene.told() == {"opened": 1, "closed": 1}


def test_a_stream_on_the_move_when_the_load_ends_still_arrives() -> None:
    scene = open_scene()
    scene.ended("ended")
    scene.lane.finish()
    scene.opened()
    scene.ended("ended")

    assert scene.told() == {"opened": 2, "moved": 1, "closed": 1}


def test_what_a_session_says_after_its_end_is_not_heard() -> None:
    scene = open_scene()
    first = scene.now
    scene.ended("reset")
    scene.opened()
    scene.say(b"1")
    scene.lane.on_message(first, b"1")
    scene.lane.on_end(first, "eof")

    assert scene.ends == {}
    assert scene.told() == {"opened": 2, "open": 1, "lost": {"reset": 1}}


def test_streams_that_do_not_add_up_are_no_account() -> None:
    streams = Streams()
    streams.begin()
    streams.open -= 1

    with pytest.raises(AccountError):
        streams.as_record()


@pytest.mark.parametrize(
    ("of", "code", "name"),
    [
        (of_close, 1000, "ended"),
        (of_close, 1001, "drained"),
        (of_close, 1012, "drained"),
        (of_close, 1011, "closed_1011"),
        (of_close, 1005, "ended"),
        (of_grpc, 0, "ended"),
        (of_grpc, 14, "drained"),
        (of_grpc, 13, "grpc_13"),
    ],
)
def test_only_a_server_that_leaves_may_end_a_stream(of: Callable[[int], str], code: int, name: str) -> None:
    """1001, 1012 and UNAVAILABLE are what servers say that go away; an error is an error."""
    assert of(code) == name
