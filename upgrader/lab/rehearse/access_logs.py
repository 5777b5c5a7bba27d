"""Keep what the gateways logged, also of pods that are gone, and count it.

Runs inside the room: ``python -m upgrader.lab.rehearse.access_logs``. The kubelet deletes a pod's logs with
the pod, and renames and packs long ones; a second name for each file keeps it whole. It answers each line on
standard input by the counts so far, one JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import select
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upgrader.lab import layout

LOOK_SECONDS = 0.25
"""How often new log files are looked for; the kubelet keeps one for seconds after its pod has ended."""

OK, BROKEN = "ok", "broken"
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
    if not isinstance(told, dict) or not {"code", "flags", "agent"} <= told.keys():
        return None
    flags = set(str(told["flags"] or "").split(","))
    outcome = _outcome(int(told["code"] or 0), flags)
    failed = outcome == BROKEN or outcome.startswith("http_5") or "NR" in flags
    version, agent = str(told.get("version") or ""), str(told["agent"] or "")
    return Line(version, agent, outcome, failed, answered=told.get("details") == _ANSWERED)


def _outcome(code: int, flags: set[str]) -> str:
    if code == 0 or flags & _BROKEN_FLAGS:
        return BROKEN
    return OK if 200 <= code < 300 else f"http_{code}"


def without_prefix(lines: Iterable[str]) -> Iterator[str]:
    """Yield what a container wrote, from a log in CRI form: ``TIME STREAM F|P TEXT``, ``P`` for a part."""
    parts: dict[str, str] = {}
    for line in lines:
        _time, _, rest = line.partition(" ")
        stream, _, rest = rest.partition(" ")
        tag, _, text = rest.rstrip("\n").partition(" ")
        text = parts.pop(stream, "") + text
        if tag == "P":
            parts[stream] = text
        else:
            yield text


def counted(texts: Iterable[str]) -> Counter[Line]:
    """Count the lines of an access log; others are left out."""
    return Counter(line for line in map(read_line, texts) if line)


class Keeper:
    """Gives every log file of a namespace a second name, so that it outlives its pod.

    Args:
        root: The folder of the room's nodes.
        namespace: Whose pods.
        into: Where the second names go; on the same file system.
    """

    def __init__(self, root: Path, *, namespace: str, into: Path) -> None:
        self._root = root
        self._pattern = f"kubelet-*/logs/{namespace}_*/*/*.log*"
        self._into = into
        self._kept: set[int] = set()

    def look(self) -> None:
        """Take up the files that are new."""
        for path in self._root.glob(self._pattern):
            if path.suffix != ".gz":
                self._keep(path)

    def files(self) -> list[Path]:
        """Return the kept files; each container's pieces in the order they were begun."""
        return sorted(self._into.iterdir())

    def _keep(self, path: Path) -> None:
        try:
            number = path.stat().st_ino
            if number not in self._kept:
                name = f"{path.parts[-3]}.{path.parts[-2]}.{len(self._kept):06}"
                (self._into / name).hardlink_to(path)
                self._kept.add(number)
        except FileNotFoundError:
            return  # renamed or gone since it was listed; under its new name the next look finds it


def told(keeper: Keeper, front_log: Path) -> dict[str, Any]:
    """Return the counts of both kinds of logs as JSON values."""
    gateways: Counter[Line] = Counter()
    for path in keeper.files():
        with path.open(encoding="utf-8", errors="replace") as file:
            gateways += counted(without_prefix(file))
    with front_log.open(encoding="utf-8", errors="replace") as file:
        front = counted(file)
    return {"gateways": _rows(gateways), "front": _rows(front)}


def _rows(counts: Counter[Line]) -> list[list[Any]]:
    return [
        [line.version, line.agent, line.outcome, line.failed, line.answered, count]
        for line, count in counts.items()
    ]


def read_rows(rows: Iterable[Sequence[Any]]) -> Counter[Line]:
    """Return the counts that `told` gave as JSON values."""
    return Counter({Line(*row[:-1]): int(row[-1]) for row in rows})


def main(arguments: Sequence[str]) -> int:
    """Keep logs, and answer each line on standard input, until that is closed."""
    parser = argparse.ArgumentParser(prog="python -m upgrader.lab.rehearse.access_logs", description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--into", type=Path, required=True, help="folder of the second names")
    parser.add_argument("--front-log", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.into.mkdir(parents=True)
    keeper = Keeper(layout.ROOT, namespace=options.namespace, into=options.into)
    while True:
        keeper.look()
        if not select.select([sys.stdin], (), (), LOOK_SECONDS)[0]:
            continue
        if not sys.stdin.readline():
            return 0
        keeper.look()
        sys.stdout.write(json.dumps(told(keeper, options.front_log)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
