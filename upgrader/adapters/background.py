"""One asyncio loop in a background thread, for adapters that must wait for many things at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_CLOSE_SECONDS = 5.0


class BackgroundLoop:
    """Run coroutines for callers that are not asynchronous; the thread starts with the first of them.

    The thread is a daemon: it never keeps the process alive.
    """

    def __init__(self, name: str = "upgrader-io") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, T], *, timeout_seconds: float) -> T:
        """Run to the end and return the result.

        Raises:
            TimeoutError: It took longer; the work is cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result(timeout_seconds)
        except TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what still runs and end the thread; a later `run` starts a new one."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_CLOSE_SECONDS)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_turn, args=(self._loop,), name=self._name, daemon=True
                )
                self._thread.start()
            return self._loop


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def within(seconds: float, act: Callable[[], T]) -> T:
    """Return what a call returns, or raise what it raises; one that takes longer is left to itself.

    Raises:
        TimeoutError: It took longer. Its thread is a daemon: it never keeps the process alive.
    """
    future: Future[T] = Future()

    def acted() -> None:
        try:
            future.set_result(act())
        except BaseException as error:  # whatever it is belongs to the caller
            future.set_exception(error)

    threading.Thread(target=acted, name="upgrader-within", daemon=True).start()
    return future.result(seconds)
