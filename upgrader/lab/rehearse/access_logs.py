"""Keep what the gateways logged, also of pods that are gone, and count it.

Runs inside the room: ``python -m upgrader.lab.rehearse.access_logs``. The kubelet deletes a pod's logs with
the pod, and renames and packs long ones; a file that is held open can be read to its end all the same. It
answers each line on standard input by the counts so far, one JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import select
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from upgrader.lab import layout
from upgrader.lab.front import traefik

LOOK_SECONDS = 0.25
"""How often new log files are looked for; the kubelet keeps one for seconds after its pod has ended."""

OK, BROKEN, SWITCHED = "ok", "broken", "http_101"
_BROKEN_FLAGS = frozenset({"DC", "DPE", "UPE"})
"""Envoy's flags of a request whose answer did not reach the client whole, whatever its code."""
_ANSWERED = "via_upstream"
"""Envoy's word for an answer that came from behind, not from Envoy itself."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an access log of ours.

    Args:
        version: The gateway's chart version; empty in the front balancer's log.
        agent: The client's ``User-Agent``.
        outcome: ``ok`` (2xx), ``http_503`` and the like, or ``broken``.
        failed: Whether the proxies' counters call it a failed request: 5xx, broken off, or without a route.
        answered: Whether the answer came from behind.
    """

    version: str
    agent: str
    outcome: str
    failed: bool
    answered: bool


def read_line(text: str) -> Line | None:
    """Read a line as the demo's proxies and the front balancer write it; ``None`` for any other."""
    if not text.startswith("{"):
        return None
    try:
        told = json.loads(text)
    except ValueError:
        return None
    told = (traefik.told(told) or told) if isinstance(told, dict) else {}
    if not {"code", "flags", "agent"} <= told.keys():
        return None
    flags = set(str(told["flags"] or "").split(","))
    outcome = _outcome(int(told["code"] or 0), flags)
    failed = outcome == BROKEN or outcome.startswith("http_5") or "NR" in flags
    version, agent = str(told.get("version") or ""), str(told["agent"] or "")
    return Line(version, agent, outcome, failed, answered=told.get("details") == _ANSWERED)


def _outcome(code: int, flags: set[str]) -> str:
    if code == 101:  # a WebSocket ends by one side going, whatever became of it
        return SWITCHED
    if code == 0 or flags & _BROKEN_FLAGS:
        return BROKEN
    return OK if 200 <= code < 300 else f"http_{code}"


class Tail:
    """Reads a file as it grows, also after it was renamed or deleted.

    Args:
        path: The file; it is there.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._rest = b""

    def lines(self) -> list[str]:
        """Return the whole lines that are new."""
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


class ContainerLog:
    """One log file of a container, in CRI form: ``TIME STREAM F|P TEXT``, ``P`` for a part of a line.

    Args:
        path: The file; it is there.
    """

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._parts: dict[str, str] = {}

    def texts(self) -> Iterator[str]:
        """Yield what the container wrote since the last call, line by line."""
        for line in self._tail.lines():
            _time, _, rest = line.partition(" ")
            stream, _, rest = rest.partition(" ")
            tag, _, text = rest.partition(" ")
            text = self._parts.pop(stream, "") + text
            if tag == "P":
                self._parts[stream] = text
            else:
                yield text

    def close(self) -> None:
        """Let the file go."""
        self._tail.close()


class Keeper:
    """Counts the lines of all access logs: those of some namespaces' pods, and the front balancer's.

    Each file is held open from when it is first seen, so that it outlives its pod.

    Args:
        root: The folder of the room's nodes.
        namespaces: Whose pods; a namespace may come later.
        front_log: The front balancer's file; it is there.
    """

    def __init__(self, root: Path, *, namespaces: Sequence[str], front_log: Path) -> None:
        self._root = root
        self._patterns = [f"kubelet-*/logs/{namespace}_*/*/*.log*" for namespace in namespaces]
        self._open: dict[tuple[int, int], ContainerLog] = {}
        self._front_log = Tail(front_log)
        self._gateways: Counter[Line] = Counter()
        self._front: Counter[Line] = Counter()

    def look(self) -> None:
        """Take up the files that are new, and count all lines that are."""
        for path in chain.from_iterable(map(self._root.glob, self._patterns)):
            if path.suffix != ".gz":  # packed by the kubelet, and held open since before
                self._take_up(path)
        for log in self._open.values():
            self._gateways.update(_known(log.texts()))
        self._front.update(_known(self._front_log.lines()))

    def told(self) -> dict[str, Any]:
        """Return the counts of both kinds of logs as JSON values."""
        return {"gateways": _rows(self._gateways), "front": _rows(self._front)}

    def close(self) -> None:
        """Let all files go."""
        for log in self._open.values():
            log.close()
        self._front_log.close()

    def _take_up(self, path: Path) -> None:
        try:
            found = path.stat()
            key = (found.st_dev, found.st_ino)  # stays the same when the kubelet renames a long one
            if key not in self._open:
                self._open[key] = ContainerLog(path)
        except FileNotFoundError:
            return  # renamed or gone since it was listed; under its new name the next look finds it


def _known(texts: Iterable[str]) -> Iterator[Line]:
    return (line for line in map(read_line, texts) if line)


def _rows(counts: Counter[Line]) -> list[list[Any]]:
    return [
        [line.version, line.agent, line.outcome, line.failed, line.answered, count]
        for line, count in counts.items()
    ]


def read_rows(rows: Iterable[Sequence[Any]]) -> Counter[Line]:
    """Return the counts that `Keeper.told` gave as JSON values."""
    return Counter({Line(*row[:-1]): int(row[-1]) for row in rows})


def main(arguments: Sequence[str]) -> int:
    """Follow logs, and answer each line on standard input, until that is closed."""
    parser = argparse.ArgumentParser(prog="python -m upgrader.lab.rehearse.access_logs", description=__doc__)
    parser.add_argument("--namespace", required=True, action="append")
    parser.add_argument("--front-log", type=Path, required=True)
    options = parser.parse_args(arguments)
    keeper = Keeper(layout.ROOT, namespaces=options.namespace, front_log=options.front_log)
    while True:
        keeper.look()
        if not select.select([sys.stdin], (), (), LOOK_SECONDS)[0]:
            continue
        if not sys.stdin.readline():
            keeper.close()
            return 0
        keeper.look()
        sys.stdout.write(json.dumps(keeper.told()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
