"""A round over all groups of endpoints: it takes several looks where calls are slow, and comes to its end."""

from __future__ import annotations

from tests.balancers.test_gcp_neg import Bench, facts
from upgrader.model.backend_health import LOOKS_TO_BELIEVE
from upgrader.model.ports import Answer


def test_slow_calls_are_spread_over_looks_and_judged_once_a_round() -> None:
    bench = Bench(settle=0)
    bench.api.groups["blue"] = ["a", "b", "c"]
    bench.api.endpoints |= {"blue-b": [], "blue-c": [("10.0.0.2", "UNHEALTHY")]}
    bench.api.seconds = 0.4

    began = bench.clock.time
    readings = [bench.looks() for _ in range(2 + 2 * LOOKS_TO_BELIEVE)]

    assert bench.clock.time - began < len(readings) * 6
    assert "groups are not read yet" in readings[0].error
    assert readings[1].error == ""
    rounds = [facts(reading) != {} for reading in readings]
    assert rounds.index(True) >= 2 * LOOKS_TO_BELIEVE - 1
    assert readings[-1].data_time is not None
    assert readings[-1].data_time < readings[-1].read_at


def test_what_is_cut_off_by_the_end_of_a_look_is_read_in_the_next() -> None:
    bench = Bench()
    bench.api.groups["blue"] = ["a", "b", "c"]
    bench.api.endpoints |= {"blue-b": [], "blue-c": [("10.0.0.2", "HEALTHY")]}
    bench.looks(3)
    bench.api.seconds = 0.6

    readings = [bench.looks() for _ in range(8)]

    assert [reading.error for reading in readings] == [""] * len(readings)
    assert readings[-1].data_time is not None
    assert readings[-1].read_at - readings[-1].data_time < 30


def test_a_group_that_is_gone_is_not_asked_for_ever() -> None:
    bench = Bench()
    bench.api.groups["blue"] = ["a", "b"]
    bench.api.endpoints["blue-b"] = [("10.0.0.2", "HEALTHY")]
    bench.looks()
    bench.api.groups["blue"] = ["b"]
    bench.api.endpoints["blue-b"] = [("10.0.0.1", "HEALTHY"), ("10.0.0.2", "HEALTHY")]
    bench.api.answers["blue-a"] = Answer(404, b'{"error": {"errors": [{"reason": "notFound"}]}}')

    readings = [bench.looks() for _ in range(2)]

    assert "finds nothing of that name" in readings[0].error
    assert (readings[1].error, readings[1].values.get("new_healthy")) == ("", 1)


def test_a_page_that_is_refused_begins_the_group_anew() -> None:
    bench = Bench()
    bench.api.page = 1
    bench.api.endpoints["blue-a"] = [("10.0.0.1", "HEALTHY"), ("10.0.0.2", "HEALTHY")]
    bench.api.answers["pageToken"] = Answer(400, b'{"error": {"errors": [{"reason": "invalid"}]}}')
    bench.looks()
    bench.api.answers.clear()

    bench.looks()

    assert "pageToken" not in bench.api.sent[-2].url
