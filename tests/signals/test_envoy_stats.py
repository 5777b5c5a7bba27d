from __future__ import annotations

from dataclasses import replace

import pytest

from tests.signals.fakes import FakeClock, FakeSweep, fleet, pod, ports
from upgrader.model.evidence import Counts
from upgrader.model.fleet import Fleet, Side
from upgrader.model.ports import Answer
from upgrader.model.reading import Reading, Weight
from upgrader.signals.envoy_stats import SAMPLE, build

OLD, NEW = pod("old-1"), pod("new-1", Side.NEW)


def page(uptime: float, requests: int = 0, errors: int = 0, **more: int) -> str:
    names = {"completed": requests, "5xx": errors}
    lines = [f"http.ingress.downstream_rq_{name}: {value}" for name, value in names.items()]
    lines += [f"http.admin.downstream_rq_completed: 777\nserver.uptime: {int(uptime)}"]
    lines += [f"{name}: {value}" for name, value in more.items()]
    return "\n".join(lines)


class Bench:
    """A signal with a clock and a sweep in the test's hands."""

    def __init__(self, reach: str = "direct", **settings: object) -> None:
        self.clock = FakeClock()
        self.sweep = FakeSweep(reach)
        self.signal = build({"port": 19000} | settings, ports(clock=self.clock, sweep=self.sweep))

    def look(self, seen: Fleet, **says: str | Answer) -> Reading:
        """Let a second pass and read."""
        self.clock.sleep(1)
        self.sweep.says = {name.replace("_", "-"): said for name, said in says.items()}
        return self.signal.read(seen)


def test_each_side_is_counted_from_the_same_seconds() -> None:
    bench, both = Bench(), fleet(OLD, NEW)
    bench.look(both, old_1=page(500, 100, 5), new_1=page(500, 10, 1))

    reading = bench.look(both, old_1=page(501, 190, 5), new_1=page(501, 20, 4))

    assert reading.counts == Counts(10, 3, 90, 0, 1.0)
    assert reading.values["new_failures"] == 3
    assert reading.values["new_server_errors"] == 3
    assert (reading.complete, reading.error, reading.unread_ratio) == (True, "", 0)
    assert reading.data_time == reading.read_at == bench.clock.now()


def test_the_first_look_has_no_counts_and_is_no_error() -> None:
    reading = Bench().look(fleet(OLD), old_1=page(500, 100, 5))

    assert reading.counts is None
    assert reading.error == ""


def test_no_answer_is_an_error_and_never_zeros() -> None:
    bench = Bench()
    bench.look(fleet(OLD, NEW), old_1=page(500), new_1=page(500))

    reading = bench.look(fleet(OLD, NEW))

    assert reading.counts is None
    assert reading.data_time is None
    assert reading.error == "none of 2 proxies could be read; 2 of them: refused"
    assert reading.unread_ratio == 1
    assert reading.unread_new


def test_after_a_blind_gap_the_whole_gap_is_counted() -> None:
    bench = Bench()
    bench.look(fleet(OLD), old_1=page(500, 100))
    bench.look(fleet(OLD))

    reading = bench.look(fleet(OLD), old_1=page(502, 120))

    assert reading.counts == Counts(0, 0, 20, 0, 2.0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200, b"<html>"), "no Envoy stats"),
        (Answer(403, b"forbidden"), "HTTP 403"),
        (Answer(0, error="no answer within 0.8 s"), "within 0.8 s"),
    ],
)
def test_an_answer_that_is_no_page_of_stats_is_no_reading(answer: Answer, words: str) -> None:
    assert words in Bench().look(fleet(OLD), old_1=answer).error


def test_a_ready_new_pod_that_does_not_answer_is_told_apart() -> None:
    reading = Bench().look(
        fleet(OLD, pod("old-2"), pod("old-3"), NEW), old_1=page(9), old_2=page(9), old_3=page(9)
    )

    assert reading.unread_new
    assert reading.unread_ratio == 0.25
    assert not reading.complete
    assert reading.values["unread_pods"] == 1


def test_a_pod_that_starts_or_goes_away_need_not_answer() -> None:
    starting = pod("new-1", Side.NEW, ready=False)
    leaving = pod("old-2", terminating=True)

    reading = Bench().look(fleet(OLD, starting, leaving), old_1=page(9))

    assert (reading.complete, reading.unread_new, reading.unread_ratio) == (True, False, 0)


def test_first_failures_of_a_new_pod_count() -> None:
    bench = Bench()
    starting = pod("new-1", Side.NEW, ready=False)
    bench.look(fleet(OLD, starting), old_1=page(500))

    reading = bench.look(fleet(OLD, NEW), old_1=page(501), new_1=page(1, 8, 8))

    assert reading.counts == Counts(8, 8, 0, 0, 1.0)


def test_a_terminating_pod_is_read_until_it_is_gone() -> None:
    bench = Bench()
    bench.look(fleet(OLD, NEW), old_1=page(500, 100), new_1=page(500))
    leaving = pod("old-1", terminating=True, ready=False)

    reading = bench.look(fleet(leaving, NEW), old_1=page(501, 103, 2), new_1=page(501))

    assert reading.counts == Counts(0, 0, 3, 2, 1.0)


def test_only_the_groups_named_are_read_and_those_found_by_the_service() -> None:
    bench = Bench(group="proxies")
    control, dependent = pod("gloo", group="control_plane"), pod("made-by-controller", group="")

    bench.look(fleet(OLD, control, dependent), old_1=page(9))

    assert sorted(bench.sweep.asked) == ["made-by-controller", "old-1"]


def test_a_workload_that_never_answered_is_no_proxy_unless_it_was_named() -> None:
    pods = fleet(OLD, pod("gloo", workload="gloo", group="control_plane"), NEW)
    guessing, told = Bench(), Bench(group=("proxies", "control_plane"))

    assert guessing.look(pods, old_1=page(9), new_1=page(9)).complete
    assert not told.look(pods, old_1=page(9), new_1=page(9)).complete
    assert guessing.look(pods, old_1=page(10)).unread_new


def test_requests_due_to_new_pods_add_up_until_one_comes() -> None:
    bench, pods = Bench(), fleet(OLD, pod("old-2"), NEW)
    bench.look(pods, old_1=page(500), old_2=page(500), new_1=page(500))

    first = bench.look(pods, old_1=page(501, 30), old_2=page(501, 30), new_1=page(501))
    second = bench.look(pods, old_1=page(502, 60), old_2=page(502, 60), new_1=page(502))
    third = bench.look(pods, old_1=page(503, 90), old_2=page(503, 90), new_1=page(503, 1))

    assert [first.due_requests, second.due_requests, third.due_requests] == [30, 60, 0]


@pytest.mark.parametrize(("ratio", "due"), [(0.1, 3.33), (0.5, 30.0), (1.0, 30.0)])
def test_requests_due_follow_the_balancers_share_where_it_parts_traffic(ratio: float, due: float) -> None:
    """Not the number of pods; and where the new side is to get all, all that the old side still gets."""
    bench, shared = Bench(), replace(fleet(OLD, NEW), new_ratio=ratio)
    bench.look(shared, old_1=page(100, 10), new_1=page(9))

    reading = bench.look(shared, old_1=page(101, 40), new_1=page(10))

    assert reading.due_requests == pytest.approx(due, abs=0.01)


def test_a_new_proxy_that_has_answered_no_request_is_waited_for() -> None:
    """From its own counters, whoever else serves; one that cannot be read is told as that."""
    bench, other = Bench(), pod("new-2", Side.NEW)
    pods = fleet(OLD, NEW, other)
    bench.look(pods, old_1=page(500, 10), new_1=page(500, 4), new_2=page(500))

    first = bench.look(pods, old_1=page(501, 20), new_1=page(501, 5), new_2=page(501))
    unread = bench.look(pods, old_1=page(502, 30), new_1=page(502, 5))
    both = bench.look(pods, old_1=page(503, 40), new_1=page(503, 5), new_2=page(503, 1))

    assert [fact.text for fact in first.facts] == ["envoy_stats: no traffic yet on 1 of 2 new pods: new-2"]
    assert (unread.facts, unread.unread_new) == ((), True)
    assert both.facts == ()


def test_a_process_that_takes_a_run_up_asks_for_one_more_request() -> None:
    """What was answered before it looked may have been answered before the pod turned Ready."""
    bench, pods = Bench(), fleet(OLD, NEW)
    bench.look(pods, old_1=page(500, 10), new_1=page(500, 99))

    silent = bench.look(pods, old_1=page(501, 20), new_1=page(501, 99))
    served = bench.look(pods, old_1=page(502, 30), new_1=page(502, 100))

    assert ([fact.weight for fact in silent.facts], served.facts) == ([Weight.WAIT], ())


def test_an_old_proxy_that_refuses_its_configuration_is_a_fact() -> None:
    bench = Bench()
    bench.look(fleet(OLD), old_1=page(500))

    reading = bench.look(fleet(OLD), old_1=page(501, **{"cluster_manager.cds.update_rejected": 1}))

    assert [(fact.rule, fact.weight) for fact in reading.facts] == [("xds-rejected", Weight.BREACH)]


@pytest.mark.parametrize("reach", ["apiserver", "portforward", "auto"])
def test_where_reading_is_a_burden_a_sample_is_read_the_newest_pods_first(reach: str) -> None:
    bench = Bench(reach)
    old = [pod(f"old-{n:03}") for n in range(100)]
    new = [pod(f"new-{n:03}", Side.NEW, created_at=f"2026-11-24T08:00:{n:02}Z") for n in range(30)]

    bench.look(fleet(*old, *new))
    first = list(bench.sweep.asked)
    bench.look(fleet(*reversed(old), *new))

    assert len(first) == 2 * SAMPLE
    assert {"new-029", "new-010"} < set(first)
    assert "new-009" not in first
    assert bench.sweep.asked == first


def test_everybody_is_read_directly() -> None:
    bench = Bench("direct")

    bench.look(fleet(*(pod(f"old-{n}") for n in range(100))))

    assert len(bench.sweep.asked) == 100


def test_the_api_server_is_asked_less_often() -> None:
    assert Bench("apiserver").signal.interval_seconds == 5
    assert Bench("direct").signal.interval_seconds == 1


def test_a_reading_says_how_the_proxies_were_reached() -> None:
    reading = Bench().look(fleet(OLD, NEW), old_1=page(9))

    assert reading.source == "1 of 2 proxies, direct, port 19000"


def test_closing_closes_the_sweep() -> None:
    bench = Bench()

    bench.signal.close()

    assert bench.sweep.closed


def test_another_tier_begins_anew_and_is_not_measured_by_the_one_before() -> None:
    """Its usual share of requests without a route is its own; a jump would be taken for lost routes."""
    bench = Bench()
    inner, outer = pod("in-1"), pod("out-1", tier=1)
    whole = fleet(inner, outer)
    for second in range(4):
        bench.look(whole.of_tier(0), in_1=page(500 + second, 100 * second), out_1=page(500))
    readings = []

    for second in range(4):
        lost = {"http.ingress.no_route": 90 * second}
        said = page(500 + second, 100 * second, **lost)
        readings.append(bench.look(whole.of_tier(1), in_1=page(600, 9_000), out_1=said))

    assert bench.sweep.asked == ["out-1"]
    assert readings[0].counts is None
    assert readings[1].counts == Counts(0, 0, 100, 90, 1.0)
    assert [reading.facts for reading in readings] == [()] * 4
