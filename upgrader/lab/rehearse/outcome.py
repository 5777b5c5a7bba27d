"""What a rehearsal came to: the run, what its clients saw, and whether all accounts agree. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upgrader.errors import ExitCode
from upgrader.lab.rehearse.accounts import RETRIES, Books, Check, lost_streams
from upgrader.lab.rehearse.drills import Drill
from upgrader.lab.rehearse.troubles import Met
from upgrader.lab.traffic.kinds import Kind
from upgrader.model.phase import Phase
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
        met: What became of the traffic while the balancer's API was in trouble, where it was.
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
    met: Met | None = None

    @property
    def is_as_named(self) -> bool:
        """Tell whether the run ended as the drill promises, if it does, and the way back well."""
        there = self.drill.exit_code is None or self.exit_code == self.drill.exit_code
        return there and (self.back is None or self.back.exit_code == ExitCode.COMPLETED)

    @property
    def is_right(self) -> bool:
        """Tell whether the end is as named, all accounts agree, nothing is left or lost, and it was done."""
        kept = self.agrees and not self.left and not self.has_lost
        return self.is_as_named and kept and self.has_come and not self.has_strayed

    @property
    def has_lost(self) -> bool:
        """Tell whether clients lost something though nothing was wrong with version and application."""
        return not self.drill.may_lose and self.books.lost > 0

    @property
    def has_strayed(self) -> bool:
        """Tell whether traffic moved, on or back, though the run was to stay where it was."""
        return self.drill.end is Phase.PAUSED and self.met is not None and not self.met.has_stayed

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
            "trouble": self.met and self.met.to_json(),
            "accounts_agree": self.agrees,
            "accounts": [
                {"what": one.what, "numbers": {**one.numbers}, "agree": one.agrees} for one in self.checks
            ],
            "clients": {**self.books.client},
            "traffic": {kind.value: {**account} for kind, account in self.books.clients.items()},
            "lost": self.books.lost,
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
        yield f"DRILL {self.drill.name}" if self.drill.name else "REHEARSAL"
        clients = self.books.clients
        yield from _row("clients", [_of_clients(kind, account) for kind, account in clients.items()])
        yield from _row("latency", [_latency(kind, account) for kind, account in clients.items()])
        retries = self.books.counters.get(RETRIES)
        told = "not counted by this front balancer" if retries is None else f"{retries} by the front balancer"
        yield from _row("retries", [told])
        yield from _row("accounts", [check.sentence() for check in self.checks])
        yield from _row("trouble", [self.met.sentence] if self.met else [])
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
        if self.has_lost:
            books += f", BUT {self.books.lost:,} WERE LOST"
        if self.has_strayed:
            books += ", BUT TRAFFIC WAS MOVED"
        if not self.has_come:
            books += ", BUT THE MOMENT OF THE DRILL NEVER CAME"
        if self.drill.exit_code is None:
            return f"exit {self.exit_code}; nothing is promised for this drill; {books}"
        if self.back is not None and self.back.exit_code != ExitCode.COMPLETED:
            return f"the way back: exit {self.back.exit_code}, BUT IT MUST BE 0; {books}"
        if self.is_as_named:
            return f"exit {self.exit_code}, as it must be; {books}"
        return f"exit {self.exit_code}, BUT IT MUST BE {self.drill.exit_code.value}; {books}"


def _of_clients(kind: Kind, account: Mapping[str, Any]) -> str:
    reasons = ", ".join(f"{count:,} {name}" for name, count in account["failures"].items())
    failed = f"{account['failed']:,} failed" + (f" ({reasons})" if reasons else "")
    if not kind.is_long:
        return f"{account['sent']:,} requests sent, {failed}" + _by(kind)
    streams = account["streams"]
    cut = ", ".join(f"{count:,} {name}" for name, count in streams["lost"].items())
    lost = f"{lost_streams(account):,} lost" + (f" ({cut})" if cut else "")
    told = f"{streams['opened']:,} streams opened, {streams['moved']:,} moved, {lost}"
    return f"{account['sent']:,} messages sent, {failed}{_by(kind)}; {told}"


def _latency(kind: Kind, account: Mapping[str, Any]) -> str:
    p50, p99 = account["p50_ms"], account["p99_ms"]
    return f"half of the answers within {p50} ms, 99 of 100 within {p99} ms" + _by(kind)


def _by(kind: Kind) -> str:
    return "" if kind is Kind.HTTP1 else f" by {kind}"


def _row(name: str, texts: Sequence[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f"  {'' if number else name:<10}{text}"
