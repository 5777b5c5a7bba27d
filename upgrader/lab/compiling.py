"""Read what Go prints while it builds, as progress: what, how far, how long still. Pure."""

from __future__ import annotations

from collections.abc import Callable

from upgrader.lab.progress import Progress

LINK_SECONDS = 30.0
"""Linking, after the last package: measured 28-37 s on 2 cores."""

_DOWNLOADING = "go: downloading "


class Downloads:
    """Counts ``go: downloading MODULE VERSION`` lines.

    Args:
        total: How many modules the build may need.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def read(self, line: str) -> Progress | None:
        """Return where the downloads stand after this line; ``None`` when it says nothing of them."""
        if not line.startswith(_DOWNLOADING):
            return None
        self._done += 1
        module = line.removeprefix(_DOWNLOADING).strip()
        return Progress("downloading", module, min(self._done, self._total), self._total)


class Packages:
    """Counts the package names that ``go build -v`` prints as it begins to compile each.

    Args:
        stale: The packages that have to be compiled, from ``go list``.
        clock: Monotonic seconds.
    """

    def __init__(self, stale: frozenset[str], *, clock: Callable[[], float]) -> None:
        self._stale = stale
        self._begun: set[str] = set()
        self._clock = clock
        self._began = clock()

    def begin(self) -> Progress:
        """Return where it stands before the first line: with nothing to compile, it is all linking."""
        total = len(self._stale)
        if not total:
            return Progress("linking", seconds_left=LINK_SECONDS)
        return Progress("compiling", "", 0, total)

    def read(self, line: str) -> Progress | None:
        """Return where compiling stands after this line; ``None`` when the line names no package of ours."""
        name = line.strip()
        if name not in self._stale:
            return None
        self._begun.add(name)
        done, total = len(self._begun), len(self._stale)
        if done == total:
            return Progress("linking", name, done, total, LINK_SECONDS)
        return Progress("compiling", name, done, total, self._left(done, total))

    def _left(self, done: int, total: int) -> float | None:
        """Return seconds left at the pace so far; ``None`` before a fiftieth is done."""
        if done * 50 < total:
            return None
        return (self._clock() - self._began) * (total - done) / done + LINK_SECONDS
