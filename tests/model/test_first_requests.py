"""Whether each new pod has answered a request: look by look."""

from __future__ import annotations

import pytest

from tests.signals.fakes import pod
from upgrader.model.first_requests import FirstRequests
from upgrader.model.fleet import Pod, Side
from upgrader.model.reading import Weight

OLD, ONE, TWO = pod("old"), pod("one", Side.NEW), pod("two", Side.NEW)


def looks(*each: dict[str, int], pods: tuple[Pod, ...] = (OLD, ONE, TWO), ratio: float | None = None) -> str:
    """Look at what grew, by pod name; return what is told last."""
    first = FirstRequests("stats")
    for one in each:
        facts = first.look(pods, {f"uid-{name}": grown for name, grown in one.items()}, new_ratio=ratio)
    assert all((fact.rule, fact.weight) == ("no-traffic-yet", Weight.WAIT) for fact in facts)
    return "; ".join(fact.text for fact in facts)


UNREADY, ENDING = pod("two", Side.NEW, ready=False), pod("two", Side.NEW, terminating=True)
IDLE = pod("two", Side.NEW, workload="internal")
HERE, THERE = pod("old", workload="blue"), pod("one", Side.NEW, workload="green")


@pytest.mark.parametrize(
    ("told", "silent"),
    [
        pytest.param(looks({"old": 9}), "2 of 2 new pods: one, two", id="none"),
        pytest.param(looks({"old": 9, "one": 1}), "1 of 2 new pods: two", id="one of two"),
        pytest.param(looks({"old": 9, "one": 1}, {"two": 1}), "", id="one after the other"),
        pytest.param(looks({"one": 1, "two": 0}, {}), "1 of 2 new pods: two", id="no growth is no request"),
        pytest.param(looks({}), "", id="nobody has any: none is due"),
        pytest.param(looks({"old": 9, "one": 1}, pods=(OLD, ONE, UNREADY)), "", id="not Ready yet"),
        pytest.param(looks({"old": 9, "one": 1}, pods=(OLD, ONE, ENDING)), "", id="on its way out"),
        pytest.param(looks({"old": 9, "one": 1}, pods=(OLD, ONE, IDLE)), "", id="its workload is idle"),
        pytest.param(looks({"old": 9}, ratio=0.0), "", id="given no share"),
        pytest.param(
            looks({"old": 9}, pods=(HERE, THERE), ratio=0.1), "1 of 1 new pods: one", id="the other place"
        ),
    ],
)
def test_a_new_pod_that_serves_and_has_had_no_request_is_named(told: str, silent: str) -> None:
    assert told == (f"stats: no traffic yet on {silent}" if silent else "")


def test_many_silent_pods_are_counted_and_three_named() -> None:
    pods = tuple(pod(f"n{number}", Side.NEW) for number in range(5))

    assert looks({"old": 1}, pods=(OLD, *pods)).endswith("5 of 5 new pods: n0, n1, n2 and 2 more")


def test_a_pod_that_turned_ready_again_must_answer_again() -> None:
    first = FirstRequests("stats")
    first.look((OLD, ONE), {"uid-old": 1, "uid-one": 1}, new_ratio=None)
    first.look((OLD, pod("one", Side.NEW, ready=False)), {}, new_ratio=None)

    assert first.look((OLD, ONE), {}, new_ratio=None)


def test_what_our_own_probes_asked_before_the_first_rung_is_no_traffic() -> None:
    first = FirstRequests("stats")
    first.look((OLD, ONE), {"uid-old": 9, "uid-one": 3}, new_ratio=0.0)

    assert first.look((OLD, ONE), {"uid-old": 9}, new_ratio=0.01)
