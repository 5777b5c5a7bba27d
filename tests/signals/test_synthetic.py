from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import SecretStr

from tests.signals.fakes import FakeClock, FakeProber, fleet, ports
from upgrader.model.evidence import Counts
from upgrader.model.ports import ProbeCounts, ProbeSpec
from upgrader.model.reading import Reading, Weight
from upgrader.signals.synthetic import build

URL, BYPASS = "http://front.example/orders?key=secret", "http://upstream.example/orders"
FINE = ProbeCounts(10, 0)


class Bench:
    """A signal whose probers return what the test says, look by look."""

    def __init__(self, **settings: object) -> None:
        self.clock = FakeClock()
        self.probers: list[FakeProber] = []
        world = ports(clock=self.clock, prober=self._prober)
        self.signal = build({"name": "orders", "url": URL, "rate": 10.0} | settings, world)

    def _prober(self, spec: ProbeSpec) -> FakeProber:
        self.probers.append(FakeProber(spec))
        return self.probers[-1]

    def look(self, front: ProbeCounts, upstream: ProbeCounts | None = None) -> Reading:
        self.clock.sleep(1)
        self.probers[0].queue.append(front)
        if upstream is not None:
            self.probers[1].queue.append(upstream)
        return self.signal.read(fleet())


def failing(times: int, reason: str, sent: int = 10) -> ProbeCounts:
    return ProbeCounts(sent, times, {reason: times})


def test_the_way_through_the_gateway_is_compared_with_the_way_past_it() -> None:
    bench = Bench(bypass=BYPASS)
    bench.look(FINE, FINE)

    reading = bench.look(failing(3, "http_503"), ProbeCounts(9, 1, {"refused": 1}))

    assert reading.counts == Counts(10, 3, 9, 1, 1.0)
    assert reading.values["failed_http_503"] == 3
    assert reading.values["bypass_failed"] == 1
    assert [prober.spec.url for prober in bench.probers] == [URL, BYPASS]


def test_without_a_bypass_nothing_is_compared() -> None:
    reading = Bench().look(failing(1, "timeout"))

    assert reading.counts is None
    assert reading.facts == ()
    assert reading.values == {"sent": 10, "failed": 1, "failed_timeout": 1}


def test_nothing_is_sent_before_the_first_look() -> None:
    bench = Bench(bypass=BYPASS)
    assert not any(prober.started for prober in bench.probers)

    bench.look(FINE, FINE)

    assert all(prober.started for prober in bench.probers)


def test_a_door_that_lets_two_in_a_row_is_a_breach() -> None:
    bench = Bench(expect=401, rate=1.0)

    first = bench.look(failing(1, "http_200", sent=1))
    second = bench.look(failing(1, "http_200", sent=1))

    assert [(fact.rule, fact.weight) for fact in first.facts] == [("door-open", Weight.HOLD)]
    assert [(fact.rule, fact.weight) for fact in second.facts] == [("door-open", Weight.BREACH)]
    assert "2 probes in a row were let in where 401 is right" in second.facts[0].text


def test_a_shut_door_between_two_open_ones_begins_the_row_anew() -> None:
    bench = Bench(expect=401, rate=1.0)
    looks = [failing(1, "http_200", sent=1), ProbeCounts(1, 0), failing(1, "http_204", sent=1)]

    weights = [[fact.weight for fact in bench.look(one).facts] for one in looks]

    assert weights == [[Weight.HOLD], [], [Weight.HOLD]]


def test_a_look_in_which_no_probe_ended_keeps_the_row() -> None:
    bench = Bench(expect=401, rate=1.0)
    bench.look(failing(1, "http_200", sent=1))

    assert bench.look(ProbeCounts()).facts[0].weight is Weight.HOLD
    assert bench.look(failing(1, "http_200", sent=1)).facts[0].weight is Weight.BREACH


@pytest.mark.parametrize("reason", ["http_503", "http_302", "refused"])
def test_a_door_that_fails_otherwise_is_not_open(reason: str) -> None:
    facts = Bench(expect=401, bypass=BYPASS).look(failing(10, reason), FINE).facts

    assert facts == ()


def test_another_success_than_the_expected_one_is_no_open_door() -> None:
    assert Bench(expect=200, bypass=BYPASS).look(failing(10, "http_204"), FINE).facts == ()


def test_probes_that_all_fail_hold_where_nothing_can_be_compared() -> None:
    (fact,) = Bench().look(failing(10, "refused")).facts

    assert (fact.rule, fact.weight) == ("probes-fail", Weight.HOLD)
    assert "refused 10" in fact.text


def test_a_prober_that_says_nothing_for_long_is_an_error_and_its_data_is_old() -> None:
    bench = Bench(rate=1.0)
    bench.look(ProbeCounts(1, 0))
    readings = [bench.look(ProbeCounts()) for _ in range(6)]

    assert [bool(reading.error) for reading in readings] == [False] * 5 + [True]
    assert readings[-1].read_at - (readings[-1].data_time or 0) == 6


def test_a_reading_has_the_given_name_and_holds_no_secret() -> None:
    bench = Bench(expect=401, headers={"x-key": "secret"}, bypass=BYPASS)

    reading = bench.look(FINE, FINE)

    assert bench.signal.name == reading.signal == "orders"
    assert "secret" not in str(reading.to_body())
    assert bench.probers[0].spec.headers == {"x-key": "secret"}


def test_a_header_from_the_environment_reaches_the_probe() -> None:
    assert Bench(headers={"x-key": SecretStr("k")}).probers[0].spec.headers == {"x-key": "k"}


def test_settings_reach_the_probe() -> None:
    spec = Bench(expect=204, timeout=timedelta(seconds=3)).probers[0].spec

    assert (spec.rate_per_second, spec.expect, spec.timeout_seconds) == (10, 204, 3)


def test_closing_stops_both_probers() -> None:
    bench = Bench(bypass=BYPASS)

    bench.signal.close()

    assert all(prober.closed for prober in bench.probers)
