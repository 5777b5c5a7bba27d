"""What a rehearsal came to: the run, what its clients saw, and whether all accounts agree. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upgrader.errors import ExitCode
from upgrader.lab.rehearse.accounts import RETRIES, Books, Check
from upgrader.lab.rehearse.drills import Drill
from upgrader.report.summary import Summary, duration

SCHEMA = 1
"""Version of the JSON form."""


@dataclass(frozen=True)
class Outcome:
    """A rehearsal told at its end.

    Args:
        drill: What was drilled.
        exit_code: The run's own.
        summary: The run; ``None`` when it never began.
        books: What everybody counted.
        checks: Whether they agree.
        left: What the run left behind, a sentence each.
        stage_seconds: How long each stage took.
        journal: The run's journal; ``None`` when it never began.
    """

    drill: Drill
    exit_code: int
    summary: Summary | None
    books: Books
    checks: tuple[Check, ...]
    left: tuple[str, ...]
    stage_seconds: Mapping[str, float]
    journal: Path | None

    @property
    def is_as_named(self) -> bool:
        """Tell whether the run ended as the drill says; always where it promises nothing."""
        return self.drill.exit_code is None or self.exit_code == self.drill.exit_code

    @property
    def is_right(self) -> bool:
        """Tell whether the end is as named, all accounts agree and nothing is left behind."""
        return self.is_as_named and self.agrees and not self.left

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
        }

    def lines(self) -> tuple[str, ...]:
        """Return it as lines for a terminal."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[str]:
        client = self.books.client
        yield from self.summary.lines() if self.summary else ("the run never began",)
        p50, p99 = client["p50_ms"], client["p99_ms"]
        yield f"  latency   half of the answers within {p50} ms, 99 of 100 within {p99} ms"
        yield f"  retries   {self.books.counters.get(RETRIES, 0)} by the front balancer"
        for number, check in enumerate(self.checks):
            yield f"  {'' if number else 'accounts':<10}{check.sentence()}"
        for number, left in enumerate(self.left):
            yield f"  {'' if number else 'left':<10}{left}"
        yield "  stages    " + " · ".join(
            f"{name} {duration(took)}" for name, took in self.stage_seconds.items()
        )
        if self.journal:
            yield f"  journal   {self.journal}"
        yield self._verdict()

    def _verdict(self) -> str:
        books = "all accounts agree to the request" if self.agrees else "THE ACCOUNTS DIFFER"
        if self.left:
            books += ", AND SOMETHING IS LEFT BEHIND"
        name = f"drill {self.drill.name}" if self.drill.name else "rehearsal"
        if self.drill.exit_code is None:
            return f"{name}: ended with exit {self.exit_code}; nothing is promised for it; {books}"
        if self.is_as_named:
            return f"{name}: ended as it must, exit {self.exit_code}; {books}"
        wanted: ExitCode = self.drill.exit_code
        return f"{name}: ended with exit {self.exit_code}, BUT IT MUST END WITH {wanted.value}; {books}"
