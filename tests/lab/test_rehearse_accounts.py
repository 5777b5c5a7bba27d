"""The accounts of a rehearsal: nothing logged is lost, and a single request too many shows."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from upgrader.lab.rehearse.access_logs import Keeper, Line, read_line, read_rows
from upgrader.lab.rehearse.accounts import TAKEN, Books, checks
from upgrader.lab.traffic.kinds import Kind
from upgrader.model.phase import Phase
from upgrader.model.policy import Policy, SignalPolicy
from upgrader.model.run import Run, Totals

OLD, NEW = "1.11.28", "1.11.30"
TRAFFIC, PROBES = "upgrader-traffic", "upgrader"


def told(code: int | None, *, flags: str | None = None, **more: str) -> str:
    """Write a line as the demo's proxies do."""
    line = {"version": NEW, "code": code, "flags": flags, "agent": TRAFFIC, "details": "via_upstream"}
    return json.dumps(line | more)


@pytest.mark.parametrize(
    ("line", "outcome", "failed"),
    [
        (told(200), "ok", False),
        (told(401), "http_401", False),
        (told(404, flags="NR"), "http_404", True),
        (told(404), "http_404", False),
        (told(503, flags="FI"), "http_503", True),
        (told(0, flags="DC"), "broken", True),
        (told(200, flags="UPE"), "broken", True),
        (told(None), "broken", True),
        (told(101, flags="DC"), "http_101", False),
    ],
)
def test_a_line_is_judged_as_the_counters_of_the_proxies_do(line: str, outcome: str, failed: bool) -> None:
    read = read_line(line)

    assert read
    assert (read.outcome, read.failed) == (outcome, failed)


@pytest.mark.parametrize("line", ["", "[2026-11-24] envoy starts", '{"level": "info"}', "{broken", "[1]"])
def test_what_is_no_access_log_is_left_out(line: str) -> None:
    assert read_line(line) is None


class Node:
    """A node's folder of logs, the front balancer's file, and who counts both."""

    def __init__(self, folder: Path) -> None:
        self.front = folder / "access.log"
        self.front.touch()
        self.pod = folder / "kubelet-0" / "logs" / "edge_proxy-a_uid" / "envoy"
        self.pod.mkdir(parents=True)
        self.log = self.pod / "0.log"
        self.keeper = Keeper(folder, namespaces=["edge"], front_log=self.front)

    def write(self, *texts: str, tag: str = "F") -> None:
        """Append lines to the pod's log, in CRI form."""
        with self.log.open("a") as file:
            file.writelines(f"2026-11-24T07:00:00Z stdout {tag} {text}\n" for text in texts)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *error: object) -> None:
        self.keeper.close()

    def counted(self) -> int:
        """Look, and return how many lines of gateways were counted so far."""
        self.keeper.look()
        return read_rows(self.keeper.told()["gateways"]).total()


def test_lines_are_counted_after_their_pod_and_its_log_are_gone(tmp_path: Path) -> None:
    """The kubelet deletes a pod's folder while the last lines are still unread."""
    with Node(tmp_path) as node:
        node.write(told(200))
        assert node.counted() == 1

        node.write(told(200), told(503))
        node.log.unlink()

        assert node.counted() == 3


def test_a_long_log_that_was_renamed_and_begun_anew_is_counted_once(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.write(told(200))
        assert node.counted() == 1

        node.write(told(200))
        node.log.rename(node.pod / "0.log.20261124-070000")
        (node.pod / "0.log.20261124-065900.gz").write_bytes(b"packed")
        node.write(told(200))

        assert node.counted() == 3


def test_a_line_in_parts_counts_once_and_another_namespace_never(tmp_path: Path) -> None:
    line = told(200)
    other = tmp_path / "kubelet-0" / "logs" / "edge-two_proxy_uid" / "envoy"
    other.mkdir(parents=True)
    (other / "0.log").write_text(f"2026-11-24T07:00:00Z stdout F {line}\n")

    with Node(tmp_path) as node:
        node.write(line[:20], tag="P")
        assert node.counted() == 0
        node.write(line[20:])

        assert node.counted() == 1


def test_the_front_balancers_log_is_told_apart(tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        node.front.write_text(told(200) + "\n" + told(503, details="no_healthy_upstream"))

        node.keeper.look()

    front = read_rows(node.keeper.told()["front"])
    assert front.total() == 1, "half a line is not counted"
    assert next(iter(front)).answered


def _line(outcome: str, *, agent: str = TRAFFIC, version: str = OLD, answered: bool = True) -> Line:
    return Line(version, agent, outcome, outcome == "http_503", answered)


def _client(**counts: int) -> dict[str, Any]:
    failures = {name: count for name, count in counts.items() if name != "ok"}
    failed = sum(failures.values())
    sent = counts["ok"] + failed
    return {"sent": sent, "ok": counts["ok"], "failed": failed, "failures": failures, "in_flight": 0}


def _clients(**counts: int) -> dict[Kind, dict[str, Any]]:
    return {Kind.HTTP1: _client(**counts)}


def books() -> Books:
    """90 good and 7 bad answers by gateways, 3 refusals by the balancer itself, 10 probes."""
    gateways = Counter(
        {
            _line("ok"): 60,
            _line("ok", version=NEW): 30,
            _line("http_503", version=NEW): 7,
            _line("ok", agent=PROBES): 10,
        }
    )
    front = Counter(
        {
            _line("ok", version=""): 90,
            _line("http_503", version=""): 7,
            _line("http_503", version="", answered=False): 3,
            _line("ok", version="", agent=PROBES): 10,
        }
    )
    return Books(_clients(ok=90, http_503=10), front, gateways, {TAKEN: 110})


def run_that_counted(requests: int, failures: int) -> Run:
    """Return a run that was rolled back, with its count of new pods."""
    policy = Policy(
        false_alarm=0.001,
        tolerate=0.001,
        exclude=0.2,
        ceiling=0.05,
        old_ref=0.001,
        stand_seconds=4.0,
        bake_seconds=5.0,
        hold_seconds=60.0,
        plan_seconds=300.0,
        signals={
            "envoy_stats": SignalPolicy(1.0, weight=1.0, compares_pods=True),
            "synthetic": SignalPolicy(1.0, weight=1.0),
        },
    )
    totals = {"envoy_stats": Totals(requests, failures, 60, 0), "synthetic": Totals(10, 0, 10, 0)}
    return Run(header={}, policy=policy, steps=(), phase=Phase.ROLLED_BACK, totals=totals)


def test_accounts_that_agree_say_so() -> None:
    made = checks(books(), run_that_counted(37, 7), NEW)

    assert [check.sentence() for check in made if not check.agrees] == []
    assert len(made) == 7


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (replace(books(), clients=_clients(ok=91, http_503=9)), "ended as ok"),
        (
            replace(books(), clients={Kind.HTTP1: _client(ok=90, http_503=10) | {"sent": 101}}),
            "requests sent",
        ),
        (replace(books(), counters={TAKEN: 111}), "at the front door"),
        (replace(books(), gateways=books().gateways + Counter({_line("ok"): 1})), "ended as ok"),
        (replace(books(), front=books().front + Counter({_line("http_504"): 1})), "ended as http_504"),
        (replace(books(), gateways=books().gateways + Counter({_line("ok", agent=PROBES): 1})), "probes"),
    ],
)
def test_one_request_more_or_less_shows(wrong: Books, what: str) -> None:
    differing = [check for check in checks(wrong, None, NEW) if not check.agrees]

    assert differing
    assert any(what in check.what for check in differing)
    assert all("DIFFER" in check.sentence() for check in differing)


@pytest.mark.parametrize(("requests", "failures"), [(36, 7), (37, 6)])
def test_the_runs_own_count_of_new_pods_must_agree_too(requests: int, failures: int) -> None:
    made = checks(books(), run_that_counted(requests, failures), NEW)

    assert [check.agrees for check in made].count(False) == 1


def test_a_run_that_left_new_pods_serving_is_not_compared() -> None:
    """They go on after its last look, so its count cannot be the logs'."""
    run = replace(run_that_counted(1, 1), phase=Phase.COMPLETED)

    assert all(check.agrees for check in checks(books(), run, NEW))


def test_gateways_without_a_log_of_ours_are_left_out() -> None:
    made = checks(replace(books(), gateways=Counter()), run_that_counted(37, 7), NEW)

    assert all(check.agrees for check in made)
    assert not any("gateways" in who for check in made for who in check.numbers)


def test_books_are_complete_when_the_logs_caught_up_with_the_counters() -> None:
    late = replace(books(), front=books().front - Counter({_line("ok", version=""): 1}))

    assert books().are_complete
    assert not late.are_complete


def test_what_the_kubelet_asked_stands_for_no_line_that_is_late() -> None:
    """Seen: a client's line was missing, and the probes of a pod that never turned ready filled in."""
    answered = next(line for line in books().front if line.answered)
    one = Counter({next(line for line in books().gateways if line.agent == answered.agent): 1})
    probes = Counter({_line("http_404", agent="kube-probe/1.37", version=NEW): 46})

    late = replace(books(), gateways=books().gateways - one + probes)

    assert not late.are_complete


def test_a_request_that_the_client_gave_up_may_have_ended_well_for_the_others() -> None:
    """A timeout of the client: the balancer's answer was on its way, and its log says 200."""
    one = checks(replace(books(), clients=_clients(ok=89, http_503=10, timeout=1)), None, NEW)
    two = checks(replace(books(), clients=_clients(ok=88, http_503=10, timeout=1)), None, NEW)

    assert all(check.agrees for check in one)
    assert any("1 were broken off" in check.sentence() for check in one)
    assert not all(check.agrees for check in two)


def test_what_the_kubelet_asks_of_a_pod_may_come_after_the_runs_last_look() -> None:
    """A new pod that is never ready answers its readiness probe until it is gone."""
    probes = Counter({_line("http_404", agent="kube-probe/1.37", version=NEW): 3})
    asked = replace(books(), gateways=books().gateways + probes)

    assert all(check.agrees for check in checks(asked, run_that_counted(38, 7), NEW))
    assert not all(check.agrees for check in checks(asked, run_that_counted(36, 7), NEW))


def _streams(**lost: int) -> dict[str, Any]:
    whole = {"opened": 20 + sum(lost.values()), "open": 0, "moved": 0, "moving": 0, "closed": 20}
    return _client(ok=500) | {"streams": {**whole, "lost": lost}}


def _four_kinds() -> Books:
    """Beside HTTP/1.1, 50 requests by HTTP/2 and 20 streams each of gRPC and WebSocket."""
    lines = {("upgrader-traffic-h2", "ok"): 50, ("upgrader-traffic-grpc", "ok"): 20}
    lines |= {("upgrader-traffic-websocket", "http_101"): 20}
    more = Counter({_line(outcome, agent=agent): count for (agent, outcome), count in lines.items()})
    return Books(
        {**books().clients, Kind.H2: _client(ok=50), Kind.GRPC: _streams(), Kind.WEBSOCKET: _streams()},
        books().front + more,
        books().gateways + more,
        {TAKEN: 200},
    )


def test_each_kind_of_traffic_has_accounts_of_its_own() -> None:
    made = checks(_four_kinds(), None, NEW)

    assert [check.sentence() for check in made if not check.agrees] == []
    assert _four_kinds().are_complete
    said = {check.what for check in made}
    assert {"clients' h2 requests that ended as ok", "grpc messages sent", "websocket messages sent"} <= said


def test_websockets_on_new_pods_are_no_requests_of_the_run() -> None:
    """Envoy counts them apart, and their end like that of a broken request."""
    sockets = Counter({_line("http_101", agent="upgrader-traffic-websocket", version=NEW): 40})
    told = replace(books(), gateways=books().gateways + sockets)

    assert all(check.agrees for check in checks(told, run_that_counted(37, 7), NEW))


def test_one_h2_request_less_in_a_log_shows() -> None:
    """And is not filled in by one of HTTP/1.1."""
    swap = Counter({_line("ok", agent="upgrader-traffic-h2"): 1})
    wrong = replace(_four_kinds(), front=_four_kinds().front - swap + Counter({_line("ok", version=""): 1}))

    differing = {check.what for check in checks(wrong, None, NEW) if not check.agrees}

    assert differing == {"clients' requests that ended as ok", "clients' h2 requests that ended as ok"}


def test_a_stream_that_was_cut_is_lost_though_each_message_came_back() -> None:
    kinds = {Kind.HTTP1: _client(ok=5, http_503=2), Kind.GRPC: _streams(stream_reset=3)}
    told = replace(books(), clients=kinds)

    assert told.lost == 5


def test_the_accounts_of_all_kinds_add_up_to_one() -> None:
    slow = {"p50_ms": 2.0, "p99_ms": 9.0}
    kinds = {
        Kind.HTTP1: _client(ok=5, http_503=2) | {"p50_ms": 1.0, "p99_ms": None},
        Kind.H2: _client(ok=7, http_503=1, goaway=1) | slow,
    }

    whole = replace(books(), clients=kinds).client

    assert (whole["sent"], whole["ok"], whole["failed"]) == (16, 12, 4)
    assert whole["failures"] == {"http_503": 3, "goaway": 1}
    assert (whole["p50_ms"], whole["p99_ms"]) == (2.0, 9.0)
