"""A live copy of some kinds of objects: one thread a kind that lists, then watches, then resumes.

A watch whose connection died says nothing, and so does one on which nothing happens. A heartbeat (one tiny
request every two seconds) tells the two apart: while the API server does not answer it, the copy ages.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from upgrader.adapters.kube_rest import Request, Stream, Transport
from upgrader.errors import ClusterUnreachable
from upgrader.model.ports import Clock, Manifest

BEAT_SECONDS = 2.0
STALE_AFTER_SECONDS = 5.0
"""Two heartbeats and their deadline: a copy not confirmed for longer has an age."""
SERVER_SECONDS = 290
"""How long one watch request lasts; the server ends it then, and it is resumed where it was."""
IDLE_SECONDS = 100.0
"""Silence that breaks a watch; bookmarks come about once a minute."""
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)
RESUME_SECONDS = 0.1
"""Pause between two watches, so that a proxy that ends each at once makes no storm."""
ABSENT_SECONDS = 5.0
"""How often a kind that is not served is looked for again."""
PAGE = 500
FOREVER = float("inf")

PathOf = Callable[[tuple[str, str]], str | None]
"""Returns the path that lists ``(apiVersion, kind)``; ``None`` while the kind is not served."""


class ExpiredError(Exception):
    """The server no longer knows the version we stopped at (410), or the kind (404): begin anew."""


class Follower:
    """Follow one kind. One thread calls `run`; any thread may look."""

    def __init__(
        self, transport: Transport, path: Callable[[], str | None], what: tuple[str, str], clock: Clock
    ) -> None:
        """Follow nothing yet.

        Args:
            transport: Sends requests.
            path: Returns the path that lists the kind; ``None`` while it is not served.
            what: ``apiVersion`` and ``kind``.
            clock: For the age.
        """
        self._transport = transport
        self._path = path
        self._what = what
        self._clock = clock
        self._objects: dict[tuple[str, str], Manifest] = {}
        self._version = ""
        self._confirmed = -FOREVER
        self._connected = False
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self.stopped = threading.Event()
        self.listed = threading.Event()
        self.problem = "not read yet"

    def objects(self) -> tuple[Manifest, ...]:
        """Return every object as last seen."""
        with self._lock:
            return tuple(self._objects.values())

    def age_seconds(self) -> float:
        """Return for how long the copy may be out of date; infinite before the first list."""
        silent = self._clock.monotonic() - self._confirmed
        return 0.0 if self._connected and silent <= STALE_AFTER_SECONDS else silent

    def confirm(self) -> None:
        """Note that the API server answers; it counts only while the watch is connected."""
        if self._connected:
            self._confirmed = self._clock.monotonic()

    def run(self) -> None:
        """Follow until stopped."""
        failures = 0
        while not self.stopped.is_set():
            try:
                absent = not self.cycle()
            except Exception as error:  # whatever it is, the copy ages and the thread goes on
                self._connected = False
                self.problem = str(error)
                self.stopped.wait(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
                failures += 1
            else:
                failures = 0
                self.stopped.wait(ABSENT_SECONDS if absent else RESUME_SECONDS)

    def cycle(self) -> bool:
        """List if need be, then watch until the server ends it; False when the kind is not served."""
        path = self._path()
        if path is None:
            return self._absent()
        try:
            if not self._version and not self._list(path):
                return self._absent()
            self._watch(path)
        except ExpiredError:
            self._version = ""
        return True

    def _absent(self) -> bool:
        self._replace((), version="")
        return False

    def _list(self, path: str) -> bool:
        items: list[Manifest] = []
        after = ""
        while True:
            reply = self._transport.send(
                Request("GET", path, {"limit": str(PAGE), "continue": after}), deadline_seconds=10.0
            )
            if reply.status == 404:
                return False
            if reply.status == 410:
                raise ExpiredError
            if not reply.ok:
                raise ClusterUnreachable(f"cannot list {self._what[1]}: {reply.status}: {reply.message()}")
            page = reply.json()
            items += page.get("items") or ()
            after = str(page["metadata"].get("continue") or "")
            if not after:
                break
        self._replace(items, version=str(page["metadata"]["resourceVersion"]))
        return True

    def _replace(self, items: Iterable[Manifest], *, version: str) -> None:
        fresh = {key_of(item): self._named(item) for item in items}
        with self._lock:
            self._objects = fresh
        self._version = version
        self._connected = True
        self.problem = ""
        self.confirm()
        self.listed.set()

    def _watch(self, path: str) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(SERVER_SECONDS),
        }
        stream = self._transport.open(Request("GET", path, query), idle_seconds=IDLE_SECONDS)
        if stream.status != 200:
            reply = stream.reply()
            if reply.status in (404, 410):
                raise ExpiredError
            raise ClusterUnreachable(f"cannot watch {self._what[1]}: {reply.status}: {reply.message()}")
        self._stream = stream
        self._connected = True
        self.problem = ""
        self.confirm()
        try:
            for line in stream.lines():
                if self.stopped.is_set():
                    break
                self._take(json.loads(line))
        finally:
            self._connected = False
            stream.close()

    def _take(self, event: dict[str, Any]) -> None:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":
            if item.get("code") == 410:
                raise ExpiredError
            raise ClusterUnreachable(f"the watch of {self._what[1]} ended: {item.get('message', item)}")
        with self._lock:
            if kind == "DELETED":
                self._objects.pop(key_of(item), None)
            elif kind in ("ADDED", "MODIFIED"):
                self._objects[key_of(item)] = self._named(item)
        self._version = str(item["metadata"]["resourceVersion"])
        self.confirm()

    def _named(self, item: Manifest) -> Manifest:
        return item | {"apiVersion": self._what[0], "kind": self._what[1]}

    def close(self) -> None:
        """Stop; a blocked read is woken."""
        self.stopped.set()
        if self._stream is not None:
            self._stream.close()


class KubeWatch:
    """Several kinds; implements `upgrader.model.ports.Watch`."""

    def __init__(
        self,
        transport: Transport,
        path_of: PathOf,
        *,
        kinds: Sequence[tuple[str, str]],
        clock: Clock,
    ) -> None:
        """Make the followers; `start` starts their threads."""
        self._transport = transport
        self._stopped = threading.Event()
        self._followers = [Follower(transport, partial(path_of, what), what, clock) for what in kinds]
        self._threads = [
            threading.Thread(target=follower.run, name=f"watch-{kind}", daemon=True)
            for follower, (_, kind) in zip(self._followers, kinds, strict=True)
        ]
        self._threads.append(threading.Thread(target=self._beat, name="watch-heartbeat", daemon=True))

    def start(self, *, wait_seconds: float) -> None:
        """Start, and wait for the first copy at most that long; one that did not come has an infinite age."""
        for thread in self._threads:
            thread.start()
        ends = time.monotonic() + wait_seconds
        for follower in self._followers:
            follower.listed.wait(max(0.0, ends - time.monotonic()))

    def objects(self) -> tuple[Manifest, ...]:
        """Return every object as last seen."""
        return tuple(item for follower in self._followers for item in follower.objects())

    def age_seconds(self) -> float:
        """Return for how long the copy may have been out of date, infinite where a kind was never read."""
        return max((follower.age_seconds() for follower in self._followers), default=0.0)

    def error(self) -> str:
        """Return why the copy is out of date, or the empty text."""
        if self.age_seconds() == 0.0:
            return ""
        problems = [follower.problem for follower in self._followers if follower.problem]
        return "; ".join(problems) or "the API server does not answer"

    def close(self) -> None:
        """Stop watching and wait for the threads, at most a second each."""
        self._stopped.set()
        for follower in self._followers:
            follower.close()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def beat(self) -> None:
        """Ask the API server for a sign of life once; any answer is one."""
        with suppress(ClusterUnreachable):
            self._transport.send(Request("GET", "/version"), deadline_seconds=BEAT_SECONDS)
            for follower in self._followers:
                follower.confirm()

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            self.beat()


def key_of(item: Manifest) -> tuple[str, str]:
    """Return what tells one object of a kind from another."""
    metadata = item["metadata"]
    return str(metadata.get("namespace", "")), str(metadata["name"])
