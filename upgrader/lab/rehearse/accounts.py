"""Do all who counted say the same? The clients, the front balancer, the gateways, the run. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.lab.rehearse.access_logs import BROKEN, OK, SWITCHED, Line
from upgrader.lab.traffic import outcome as outcomes
from upgrader.lab.traffic.kinds import Kind
from upgrader.model.phase import Phase
from upgrader.model.run import Run

PROBES = "upgrader"
"""The ``User-Agent`` of the run's own probes, which go through the same door as clients (`Kind.agent`)."""
_OURS = frozenset({PROBES, *(kind.agent for kind in Kind)})

_HALF_SEEN = (
    outcomes.TIMEOUT,
    outcomes.RESET,
    outcomes.EOF,
    outcomes.GARBLED,
    outcomes.UNFINISHED,
    outcomes.GOAWAY_CUT,
    outcomes.STREAM_RESET,
)
"""Outcomes of the traffic where the client did not see the end of what it asked for."""

_LATENCIES = ("p50_ms", "p99_ms")

TAKEN, RETRIES = "http.front.downstream_rq_total", "upstream_rq_retry"
"""The front balancer's own counters: requests it took, and those it sent on again, to whichever place."""


@dataclass(frozen=True, slots=True)
class Books:
    """What each of them wrote down.

    Args:
        clients: The final account of each kind of traffic (`upgrader.lab.traffic.tally.Summary.as_record`).
        front: The front balancer's access log.
        gateways: The gateways' access logs; empty where they write none that we understand.
        counters: The front balancer's own: `TAKEN`, and `RETRIES` where it counts them.
    """

    clients: Mapping[Kind, Mapping[str, Any]]
    front: Counter[Line]
    gateways: Counter[Line]
    counters: Mapping[str, int]

    @property
    def are_complete(self) -> bool:
        """Tell whether every line is there: the logs are written a moment later than the counters."""
        answered = _count(self.front, lambda line: line.answered)
        # What the kubelet asked a pod did not come through the front, and stands for no line that is late.
        through = _count(self.gateways, lambda line: line.agent in _OURS)
        logged = not self.gateways or through >= answered
        return self.front.total() == self.counters.get(TAKEN, 0) and logged

    @property
    def lost(self) -> int:
        """How many requests and messages did not end well, and how many streams were cut."""
        return sum(each["failed"] + lost_streams(each) for each in self.clients.values())

    @property
    def client(self) -> Mapping[str, Any]:
        """The accounts of all kinds as one; its latencies are those of the slowest kind."""
        accounts = list(self.clients.values())
        if len(accounts) == 1:
            return accounts[0]
        failures: Counter[str] = Counter()
        for each in accounts:
            failures.update(each["failures"])
        sums = {key: sum(each[key] for each in accounts) for key in ("sent", "in_flight", "ok", "failed")}
        slowest = {key: max((each[key] or 0.0 for each in accounts), default=None) for key in _LATENCIES}
        return {**sums, "failures": dict(failures), **slowest}


def lost_streams(account: Mapping[str, Any]) -> int:
    """Return how many long-lived streams of an account were cut; 0 for a kind that has none."""
    return sum(account["streams"]["lost"].values()) if "streams" in account else 0


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison.

    Args:
        what: What is compared.
        numbers: Who says what.
        unsure: Of so many, each end may have seen another outcome.
        why: What became of these.
    """

    what: str
    numbers: Mapping[str, int]
    unsure: int = 0
    why: str = "were broken off"

    @property
    def agrees(self) -> bool:
        """Tell whether all say the same, but for what nobody can be sure of."""
        return max(self.numbers.values()) - min(self.numbers.values()) <= self.unsure

    def sentence(self) -> str:
        """Say it in a line."""
        if len(set(self.numbers.values())) == 1:
            return f"{self.what}: {next(iter(self.numbers.values())):,} by {', '.join(self.numbers)}"
        said = ", ".join(f"{n:,} by {who}" for who, n in self.numbers.items())
        if self.agrees:
            return f"{self.what}: {said}; {self.unsure:,} {self.why}"
        return f"{self.what} DIFFER: {said}"


def checks(books: Books, run: Run | None, new_version: str) -> tuple[Check, ...]:
    """Return all comparisons that can be made.

    Args:
        books: What was written down.
        run: The run as it ended, for its own count; ``None`` leaves that out.
        new_version: The version the run went to.
    """
    return tuple(_checks(books, run, new_version))


def _checks(books: Books, run: Run | None, new_version: str) -> Iterator[Check]:
    front, gateways = books.front, books.gateways
    yield Check(
        "requests at the front door, probes included",
        {"its access log": front.total(), "its counters": books.counters.get(TAKEN, 0)},
    )
    for kind in books.clients:
        yield from _of_kind(books, kind)
    if gateways:
        told = {"the front balancer": _by(front, PROBES), "the gateways' access logs": _by(gateways, PROBES)}
        yield Check("probes of the run", told, _broken_off(books, PROBES))
    if run is not None and run.phase is Phase.ROLLED_BACK:
        yield from _of_new_pods(gateways, run, new_version)


def _of_kind(books: Books, kind: Kind) -> Iterator[Check]:
    """Compare the account of one kind; a log tells of streams, not of the messages on them."""
    client, front, gateways = books.clients[kind], books.front, books.gateways
    name = "" if kind is Kind.HTTP1 else f"{kind} "
    sent = client["ok"] + client["failed"] + client["in_flight"]
    thing = "messages" if kind.is_long else "requests"
    yield Check(f"{name}{thing} sent", {"clients": client["sent"], "the sum of their outcomes": sent})
    if kind.is_long:
        return
    unsure = _broken_off(books, kind.agent) + sum(client["failures"].get(each, 0) for each in _HALF_SEEN)
    for outcome in _outcomes(books, kind):
        told = _by(front, kind.agent, outcome)
        numbers = {"clients": _of_client(client, outcome), "the front balancer": told}
        if gateways:
            at_the_door = sum(n for x, n in front.items() if _is(x, kind.agent, outcome) and not x.answered)
            numbers["the gateways' access logs"] = _by(gateways, kind.agent, outcome) + at_the_door
        yield Check(f"clients' {name}requests that ended as {outcome}", numbers, unsure)


def _of_new_pods(gateways: Counter[Line], run: Run, new_version: str) -> Iterator[Check]:
    """Compare what new pods served, all their life, with what the run read off their counters."""
    counted = [total for name, total in run.totals.items() if run.policy.signals[name].compares_pods]
    if not gateways or len(counted) != 1:
        return
    told, new = counted[0], Counter({k: n for k, n in gateways.items() if k.version == new_version})
    # Neither proxies nor the run count a WebSocket as a request, and a gRPC stream that broke off may hide.
    new = Counter({line: count for line, count in new.items() if line.outcome != SWITCHED})
    streams = _by(new, Kind.GRPC.agent, BROKEN)
    failed = _count(new, lambda line: line.failed)
    # The kubelet asks a pod that is never ready until it is gone: a moment longer than the run looks.
    late, why = _count(new, lambda line: line.agent not in _OURS), "came from the kubelet"
    yield Check(
        "requests to new pods, probes included",
        {"the run": int(told.new_requests), "the gateways' access logs": new.total()},
        late,
        why,
    )
    yield Check(
        "failed requests on new pods, probes included",
        {"the run": int(told.new_failures), "the gateways' access logs": failed},
        streams,
        "were gRPC streams that broke off",
    )


def _broken_off(books: Books, agent: str) -> int:
    return _by(books.front, agent, BROKEN) + _by(books.gateways, agent, BROKEN)


def _outcomes(books: Books, kind: Kind) -> list[str]:
    """Return the outcomes that are an HTTP answer; how a broken one looks differs from end to end."""
    seen = {line.outcome for line in (books.front + books.gateways) if line.agent == kind.agent}
    seen |= {OK} | {name for name in books.clients[kind]["failures"] if name.startswith("http_")}
    return sorted(seen - {BROKEN})


def _of_client(client: Mapping[str, Any], outcome: str) -> int:
    return int(client["ok"] if outcome == OK else client["failures"].get(outcome, 0))


def _is(line: Line, agent: str, outcome: str) -> bool:
    return line.agent == agent and outcome in ("", line.outcome)


def _by(counts: Counter[Line], agent: str, outcome: str = "") -> int:
    return _count(counts, lambda line: _is(line, agent, outcome))


def _count(counts: Counter[Line], wanted: Callable[[Line], bool]) -> int:
    return sum(count for line, count in counts.items() if wanted(line))
