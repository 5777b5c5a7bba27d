"""The load's report: one JSON line a second, and the final account as the last line."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import IO, Any

from upgrader.lab.traffic.tally import Summary


class Report:
    """Write records to a file as they happen, so that others may follow it.

    Every record has ``kind`` (``second`` or ``summary``), ``at`` (UTC seconds since 1970) and the fields of
    `Summary.as_record`; a ``second`` record tells that second, and ``total_sent``, ``total_failed`` so far.
    """

    def __init__(self, file: Path) -> None:
        self._file: IO[str] = file.open("w", encoding="utf-8")

    def second(self, page: Summary, *, total: Summary) -> None:
        """Write what the last second came to."""
        self._write(
            "second",
            page.as_record() | {"total_sent": total.sent, "total_failed": total.failed},
        )

    def summary(self, total: Summary, *, seconds: float, cpu_seconds: float) -> None:
        """Write the final account and close the file."""
        self._write(
            "summary",
            total.as_record() | {"seconds": seconds, "cpu_seconds": cpu_seconds},
        )
        self._file.close()

    def _write(self, kind: str, record: dict[str, Any]) -> None:
        self._file.write(json.dumps({"kind": kind, "at": round(time.time(), 3)} | record) + "\n")
        self._file.flush()
