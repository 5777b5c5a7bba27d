"""What a rehearsal came to: the run, what its clients saw, and whether all accounts agree. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upgrader.errors import ExitCode
from upgrader.lab.rehearse.accounts import RETRIES, Books, Check
from upgrader.lab.rehearse.drills import Drill
from upgrader.report.summary import Summary, duration

SCHEMA = 1
"""Version of the JSON form."""


@dataclass(frozen=True, slots=True)
class Back:
    """The gated way back of a good upgrade, a run of its own under the same traffic.

    Args:
        exit_code: Its own.
        summary: The run; ``None`` when it never began.
    """

    exit_code: int
    summary: Summary | None


@dataclass(frozen=True)
class Outcome:
    """A rehearsal told at its end.

    Args:
        drill: What was drilled.
        exit_code: The run's own.
        summary: The run; ``None`` when it never began.
        books: What everybody counted.
        checks: Whether they agree.
        has_come: Whether what the drill does in mid-run was done.
        left: What the run left behind, a sentence each.
        stage_seconds: How long each stage took.
        journal: The run's journal; ``None`` when it never began.
        back: The way back, where one was wished and the upgrade came to its end.
    """

    drill: Drill
    exit_code: int
    summary: Summary | None
    books: Books
    checks: tuple[Check, ...]
    has_come: bool
    left: tuple[str, ...]
    stage_seconds: Mapping[str, float]
    journal: Path | None
    back: Back | None = None

    @property
    def is_as_named(self) -> bool:
        """Tell whether the run ended as the drill promises, if it does, and the way back well."""
        there = self.drill.exit_code is None or self.exit_code == self.drill.exit_code
        return there and (self.back is None or self.back.exit_code == ExitCode.COMPLETED)

    @property
    def is_right(self) -> bool:
        """Tell whether the end is as named, all accounts agree, nothing is left, and it was the drill."""
        return self.is_as_named and self.agrees and not self.left and self.has_come

    @property
    def agrees(self) -> bool:
        """Tell whether all accounts agree to the request."""
        return all(check.agrees for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; units are in the names."""
        expected = self.drill.exit_code
        return {
            "schema": SCHEMA,
            "event": "rehearsal.ended",
            "fault": self.drill.name,
            "exit_code": self.exit_code,
            "expected_exit_code": None if expected is None else expected.value,
            "as_expected": self.is_as_named,
            "drilled": self.has_come,
            "accounts_agree": self.agrees,
            "accounts": [
                {"what": one.what, "numbers": {**one.numbers}, "agree": one.agrees} for one in self.checks
            ],
            "clients": {**self.books.client},
            "left_behind": list(self.left),
            "upstream_rq_retry": self.books.counters.get(RETRIES),
            "stage_seconds": {name: round(took, 3) for name, took in self.stage_seconds.items()},
            "run": None if self.summary is None else self.summary.to_json(),
            "journal": None if self.journal is None else str(self.journal),
            "back": self.back
            and {
                "exit_code": self.back.exit_code,
                "run": self.back.summary and self.back.summary.to_json(),
            },
        }

    def lines(self) -> tuple[str, ...]:
        """Return what the run's own summary, which it has printed, does not say."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[str]:
        client = self.books.client
        reasons = ", ".join(f"{count:,} {name}" for name, count in client["failures"].items())
        failed = f"{client['failed']:,} failed" + (f" ({reasons})" if reasons else "")
        p50, p99 = client["p50_ms"], client["p99_ms"]
        yield f"DRILL {self.drill.name}" if self.drill.name else "REHEARSAL"
        yield from _row("clients", [f"{client['sent']:,} requests sent, {failed}"])
        yield from _row("latency", [f"half of the answers within {p50} ms, 99 of 100 within {p99} ms"])
        yield from _row("retries", [f"{self.books.counters.get(RETRIES, 0)} by the front balancer"])
        yield from _row("accounts", [check.sentence() for check in self.checks])
        yield from _row("left", self._left())
        yield from _row("stages", [" · ".join(f"{k} {duration(v)}" for k, v in self.stage_seconds.items())])
        yield from _row("journal", [str(self.journal)] if self.journal else ["none: the run never began"])
        yield from _row("end", [self._verdict()])

    def _left(self) -> Sequence[str]:
        if self.left:
            return self.left
        is_over = self.summary is not None and self.summary.run.is_over
        return ["nothing"] if is_over else ["not looked for: the run is not over, its brake stays on"]

    def _verdict(self) -> str:
        books = "all accounts agree to the request" if self.agrees else "THE ACCOUNTS DIFFER"
        if self.left:
            books += ", AND SOMETHING IS LEFT BEHIND"
        if not self.has_come:
            books += ", BUT THE MOMENT OF THE DRILL NEVER CAME"
        if self.drill.exit_code is None:
            return f"exit {self.exit_code}; nothing is promised for this drill; {books}"
        if self.back is not None and self.back.exit_code != ExitCode.COMPLETED:
            return f"the way back: exit {self.back.exit_code}, BUT IT MUST BE 0; {books}"
        if self.is_as_named:
            return f"exit {self.exit_code}, as it must be; {books}"
        return f"exit {self.exit_code}, BUT IT MUST BE {self.drill.exit_code.value}; {books}"


def _row(name: str, texts: Sequence[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f"  {'' if number else name:<10}{text}"
