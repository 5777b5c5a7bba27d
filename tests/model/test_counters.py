from __future__ import annotations

import pytest

from upgrader.model.counters import Ledger, Sample


def sample(at: float, *, began: float = 0.0, restarts: int = 0, **counters: int) -> Sample:
    return Sample(counters or {"n": 0}, at - began, restarts, at)


def look(ledger: Ledger, now: float, *samples: tuple[str, Sample], ready: dict[str, bool] | None = None):  # type: ignore[no-untyped-def]
    read = dict(samples)
    return ledger.look(read, ready=ready if ready is not None else dict.fromkeys(read, True), now=now)


def test_the_first_look_is_a_baseline_only() -> None:
    ledger, first = look(Ledger(), 100, ("a", sample(100, n=5000)))

    _, second = look(ledger, 101, ("a", sample(101, n=5007)))

    assert (first.growth, first.seconds) == ({}, 0)
    assert (second.growth, second.seconds) == ({"a": {"n": 7}}, 1)


def test_a_restart_counts_what_the_new_process_counted() -> None:
    ledger, _ = look(Ledger(), 100, ("a", sample(100, n=5000)))

    _, found = look(ledger, 103, ("a", sample(103, began=101, n=40, restarts=1)))

    assert found.growth == {"a": {"n": 40}}
    assert found.began == {"a"}


def test_a_restart_is_seen_before_kubernetes_has_counted_it_and_counted_once() -> None:
    ledger, _ = look(Ledger(), 100, ("a", sample(100, n=5000)))
    ledger, early = look(ledger, 106, ("a", sample(106, began=103, n=40)))

    _, later = look(ledger, 107, ("a", sample(107, began=103, n=45, restarts=1)))

    assert early.growth == {"a": {"n": 40}}
    assert later.growth == {"a": {"n": 5}}


def test_a_sidecar_that_restarts_is_no_restart_of_the_proxy() -> None:
    ledger, _ = look(Ledger(), 100, ("a", sample(100, n=5000)))

    _, found = look(ledger, 101, ("a", sample(101, n=5002, restarts=1)))

    assert found.growth == {"a": {"n": 2}}


def test_a_node_clock_set_back_is_no_restart() -> None:
    ledger, _ = look(Ledger(), 1000, ("a", sample(1000, n=5000)))

    _, found = look(ledger, 1001, ("a", sample(1001, began=60, n=5002)))

    assert found.growth == {"a": {"n": 2}}


def test_one_counter_made_anew_inside_a_process_counts_from_zero_and_the_others_go_on() -> None:
    ledger, _ = look(Ledger(), 100, ("a", sample(100, n=5000, m=9)))

    _, found = look(ledger, 101, ("a", sample(101, n=5002, m=3)))

    assert found.growth == {"a": {"n": 2, "m": 3}}


def test_a_counter_that_is_gone_grows_by_nothing() -> None:
    ledger, _ = look(Ledger(), 100, ("a", sample(100, n=5000, m=9)))

    _, found = look(ledger, 101, ("a", sample(101, n=5002)))

    assert found.growth == {"a": {"n": 2}}


def test_a_pod_seen_before_it_was_ready_loses_none_of_its_first_requests() -> None:
    other = ("old", sample(100, n=1))
    ledger, _ = look(Ledger(), 100, other, ready={"old": True, "new": False})
    for now in range(101, 140):
        ledger, _ = look(ledger, now, ("old", sample(now, n=1)), ready={"old": True, "new": False})

    _, found = look(ledger, 140, ("old", sample(140, n=1)), ("new", sample(140, began=104, n=9)))

    assert found.growth["new"] == {"n": 9}


def test_a_pod_that_appears_ready_and_young_counts_from_its_birth() -> None:
    ledger, _ = look(Ledger(), 100, ("old", sample(100, n=1)))

    _, found = look(ledger, 102, ("old", sample(102, n=1)), ("new", sample(102, began=99, n=9)))

    assert found.growth["new"] == {"n": 9}


@pytest.mark.parametrize("was_ready", [True, False])
def test_an_old_process_seen_for_the_first_time_brings_no_history(was_ready: bool) -> None:
    ledger, _ = look(Ledger(), 1000, ("a", sample(1000, n=1)), ready={"a": True, "b": was_ready})

    _, found = look(ledger, 1001, ("a", sample(1001, n=1)), ("b", sample(1001, n=70_000)))

    assert found.growth == {"a": {"n": 0}}
    assert found.began == {"b"}


def test_growth_of_other_seconds_is_dropped_and_said() -> None:
    ledger, _ = look(Ledger(), 100, ("a", sample(100, n=1)), ("b", sample(100, n=1)))
    for now in range(101, 110):
        ledger, _ = look(ledger, now, ("a", sample(now, n=1)), ready={"a": True, "b": True})

    ledger, late = look(ledger, 110, ("a", sample(110, n=2)), ("b", sample(110, n=900)))
    _, again = look(ledger, 111, ("a", sample(111, n=2)), ("b", sample(111, n=901)))

    assert late.growth == {"a": {"n": 1}}
    assert late.skewed == {"b"}
    assert again.growth["b"] == {"n": 1}


def test_a_pod_unread_for_less_than_the_skew_is_counted_whole() -> None:
    ledger, _ = look(Ledger(), 100, ("a", sample(100, n=1)), ("b", sample(100, n=1)))
    ledger, _ = look(ledger, 104, ("a", sample(104, n=1)), ready={"a": True, "b": True})

    _, found = look(ledger, 105, ("a", sample(105, n=1)), ("b", sample(105, n=8)))

    assert found.growth["b"] == {"n": 7}


def test_after_a_blind_gap_the_window_is_the_whole_gap() -> None:
    ledger, _ = look(Ledger(), 100, ("a", sample(100, n=1)))
    for now in range(101, 130):
        ledger, blind = look(ledger, now, ready={"a": True})
        assert blind.seconds == 0

    _, found = look(ledger, 130, ("a", sample(130, n=31)))

    assert (found.growth, found.seconds) == ({"a": {"n": 30}}, 30)


def test_a_terminating_pod_counts_until_it_is_gone() -> None:
    ledger, _ = look(Ledger(), 100, ("a", sample(100, n=1)), ("b", sample(100, n=1)))
    ledger, leaving = look(
        ledger, 101, ("a", sample(101, n=1)), ("b", sample(101, n=4)), ready={"a": True, "b": False}
    )

    _, gone = look(ledger, 102, ("a", sample(102, n=1)), ready={"a": True})

    assert leaving.growth["b"] == {"n": 3}
    assert gone.growth == {"a": {"n": 0}}
