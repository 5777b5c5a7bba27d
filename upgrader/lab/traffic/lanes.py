"""A place for one long-lived stream after the other, and what became of each message and stream. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from upgrader.lab.traffic import outcome
from upgrader.lab.traffic.tally import Streams

MOVE = b"move"
"""What a server says that wants a stream to end: the client sends no more on it, and opens another one."""

_IN_ORDER = (outcome.ENDED, outcome.DRAINED)


@dataclass(slots=True, eq=False)
class Message:
    """One message, which must come back as it was sent.

    Args:
        content: Its bytes, which no other message of the load has.
        due: When it was to be sent (`time.perf_counter`).
        begun: When it was taken up.
        is_over: Whether it is in a class already.
    """

    content: bytes
    due: float
    begun: float
    is_over: bool = False


class Session(Protocol):
    """One long-lived stream, as its protocol does it; it tells its lane what happens."""

    def open(self) -> None:
        """Begin to open it."""

    def send(self, content: bytes) -> bool:
        """Send a message; ``False`` when the server takes no more bytes now."""

    def finish(self) -> None:
        """Say that we send no more; the server then ends the stream."""

    def abort(self) -> None:
        """Drop it at once; the lane is told nothing of it any more."""


class Lane:
    """Keeps one stream open at a time and sends messages on it.

    Args:
        connect: Makes a new session for the lane.
        streams: Where streams are counted.
        on_end: Called once for each message, with its class.
    """

    def __init__(
        self,
        *,
        connect: Callable[[Lane], Session],
        streams: Streams,
        on_end: Callable[[Message, str], None],
    ) -> None:
        self._connect, self._streams, self._on_end = connect, streams, on_end
        self._session: Session | None = None
        self._is_open = self._is_leaving = self._is_moving = self._is_finishing = False
        self._on_its_way: deque[Message] = deque()
        self._queue: deque[Message] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is open, being opened or on its way."""
        return self._session is None and not self._queue

    @property
    def is_open(self) -> bool:
        """Whether a message would be sent at once."""
        return self._is_open and not self._is_leaving

    def open(self) -> None:
        """Open a stream."""
        self._session = self._connect(self)
        self._session.open()

    def say(self, message: Message) -> None:
        """Send a message, or keep it until the stream that is being opened is there."""
        if not self.is_open or not self._session:
            self._queue.append(message)
            if self._session is None:
                self.open()
        elif self._session.send(message.content):
            self._on_its_way.append(message)
        else:
            self._end(message, outcome.SATURATED)

    def finish(self) -> None:
        """Close the stream in order, and open no other one."""
        self._is_finishing = True
        if self.is_open and self._session:
            self._leave()

    def give_up(self, name: str) -> None:
        """Drop the stream and all that is on its way, in this class."""
        if self._session is not None:
            self._session.abort()
            self._ended(name)
        while self._queue:
            self._end(self._queue.popleft(), name)

    def expire(self, now: float, *, timeout_seconds: float) -> None:
        """Give up a stream whose oldest message took too long."""
        oldest = min((each[0].begun for each in (self._on_its_way, self._queue) if each), default=now)
        if now - oldest > timeout_seconds:
            self.give_up(outcome.TIMEOUT)

    def on_open(self, session: Session) -> None:
        """The session is open (called by it)."""
        if session is not self._session:
            return
        self._is_open = True
        self._streams.begin()
        if self._is_moving:
            self._is_moving = False
            self._streams.arrive()
        waiting, self._queue = self._queue, deque()
        for message in waiting:
            self.say(message)
        if self._is_finishing:
            self._leave()

    def on_message(self, session: Session, content: bytes) -> None:
        """A message came in (called by the session)."""
        if session is not self._session:
            return
        if content == MOVE:
            self._leave()
            return
        if all(message.content != content for message in self._on_its_way):
            self.give_up(outcome.GARBLED)
            return
        while (message := self._on_its_way.popleft()).content != content:
            self._end(message, outcome.MISSING)
        self._end(message, outcome.OK)
        if self._is_leaving and not self._on_its_way:
            session.finish()

    def on_end(self, session: Session, name: str) -> None:
        """The session ended by itself, in this class (called by it)."""
        if session is self._session:
            self._ended(name)

    def _leave(self) -> None:
        if self._is_leaving:
            return
        self._is_leaving = True
        if not self._on_its_way and self._session:
            self._session.finish()

    def _ended(self, name: str) -> None:
        was_open, self._session = self._is_open, None
        self._is_open = self._is_leaving = False
        if was_open:
            self._end_open(name)
        else:
            self._end_unopened(outcome.GARBLED if name == outcome.ENDED else name)

    def _end_open(self, name: str) -> None:
        in_order, is_whole = name in _IN_ORDER, not self._on_its_way
        while self._on_its_way:
            self._end(self._on_its_way.popleft(), outcome.DRAINED if in_order else name)
        if not (in_order and is_whole):
            self._streams.lose(outcome.DRAINED if in_order else name)
        elif self._is_finishing:
            self._streams.close()
        else:
            self._streams.leave()
            self._is_moving = True
        if not self._is_finishing:
            self.open()

    def _end_unopened(self, name: str) -> None:
        if self._is_moving:
            self._is_moving = False
            self._streams.strand(name)
        while self._queue:
            self._end(self._queue.popleft(), name)

    def _end(self, message: Message, name: str) -> None:
        if not message.is_over:
            message.is_over = True
            self._on_end(message, name)
