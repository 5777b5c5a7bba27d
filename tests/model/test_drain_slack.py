"""What becomes of pods that end: one look a second, of a balancer and of Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.signals.fakes import fleet, pod
from upgrader.model.backend_health import Health, Intake
from upgrader.model.drain_slack import Departures, Drained
from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.reading import Fact, Weight

H, U, L, F, A, N = (
    Health.HEALTHY,
    Health.UNPROVEN,
    Health.LEAVING,
    Health.FAILING,
    Health.ABSENT,
    Health.UNKNOWN,
)
SERVES, ENDS, GONE = "serves", "ends", "gone"
Look = tuple[str, Health]


def seen(course: str, *, side: Side = Side.OLD, beside: tuple[Pod, ...] = (), **more: Any) -> Fleet:
    """Return the gateway with the one pod that all is about, in that state, and others."""
    one = pod("one", side, address="10.0.0.1", terminating=course == ENDS)
    return fleet(*(() if course == GONE else (one,)), *beside, **more)


def followed(*looks: Look, **more: Any) -> tuple[dict[str, float], list[dict[str, Weight]]]:
    """Look once a second; return the values of the pods that ended, and the facts of each look."""
    departures = Departures("front")
    told = []
    for second, (course, said) in enumerate(looks):
        facts = departures.look(seen(course, **more), {"10.0.0.1": said}, now=100.0 + second)
        told.append({fact.rule: fact.weight for fact in facts})
    return departures.take(), told


WAITS = {"not-let-go": Weight.WAIT}
EARLY = {"ended-before-let-go": Weight.HOLD}

SLACKS: dict[str, tuple[list[Look], dict[str, float]]] = {
    "let go at once, gone 3 s later": (
        [(SERVES, H), (ENDS, L), (ENDS, A), (ENDS, A), (GONE, A)],
        {"drained_pods": 1, "drain_seconds": 3, "drain_slack_seconds": 2},
    ),
    "healthy until its second look": (
        [(SERVES, H), (ENDS, H), (ENDS, F), (ENDS, A), (GONE, A)],
        {"drained_pods": 1, "drain_seconds": 3, "drain_slack_seconds": 1},
    ),
    "healthy again, then let go": (
        [(SERVES, H), (ENDS, F), (ENDS, H), (ENDS, F), (ENDS, A), (GONE, A)],
        {"drained_pods": 1, "drain_seconds": 4, "drain_slack_seconds": 1},
    ),
    "unproven is sent to": (
        [(SERVES, H), (ENDS, U), (ENDS, L), (GONE, L)],
        {"drained_pods": 1, "drain_seconds": 2, "drain_slack_seconds": 0},
    ),
    "unknown moves nothing": (
        [(SERVES, H), (ENDS, L), (ENDS, N), (ENDS, N), (GONE, N)],
        {"drained_pods": 1, "drain_seconds": 3, "drain_slack_seconds": 2},
    ),
    "bad before its end: let go when it ends": (
        [(SERVES, H), (SERVES, F), (SERVES, F), (ENDS, F), (ENDS, F), (GONE, A)],
        {"drained_pods": 1, "drain_seconds": 2, "drain_slack_seconds": 1},
    ),
    "let go and gone between two looks: not proven": (
        [(SERVES, H), (ENDS, H), (GONE, A)],
        {"drained_pods": 1, "drain_seconds": 1, "drain_slack_seconds": -1},
    ),
    "never seen terminating": (
        [(SERVES, H), (SERVES, H), (GONE, A)],
        {"drained_pods": 1, "drain_seconds": 0, "drain_slack_seconds": -1},
    ),
    "still there": ([(SERVES, H), (ENDS, L), (ENDS, A)], {}),
    "never healthy there": ([(SERVES, F), (ENDS, F), (GONE, A)], {}),
    "only ever unproven": ([(SERVES, U), (ENDS, U), (GONE, U), (GONE, U), (GONE, A)], {}),
}


@pytest.mark.parametrize(("looks", "values"), SLACKS.values(), ids=SLACKS)
def test_slack_is_from_let_go_to_gone_at_its_lower_bound(looks: list[Look], values: dict[str, float]) -> None:
    assert followed(*looks)[0] == values


GATES: dict[str, tuple[list[Look], list[dict[str, Weight]]]] = {
    "a gate waits while an ending pod is sent to": (
        [(SERVES, H), (ENDS, H), (ENDS, U), (ENDS, L), (GONE, A)],
        [{}, WAITS, WAITS, {}, {}],
    ),
    "gone and healthy in one answer: it may have been asked too soon": (
        [(SERVES, H), (ENDS, H), (GONE, H), (GONE, A)],
        [{}, WAITS, WAITS, {}],
    ),
    "gone and healthy in two: certain, and for good": (
        [(SERVES, H), (ENDS, H), (GONE, H), (GONE, H), (GONE, A), (GONE, A)],
        [{}, WAITS, WAITS, EARLY | WAITS, EARLY, EARLY],
    ),
    "gone and only unproven": (
        [(SERVES, H), (GONE, U), (GONE, U), (GONE, A)],
        [{}, WAITS, WAITS, {}],
    ),
    "not known whether healthy": (
        [(SERVES, H), (ENDS, N), (GONE, N), (GONE, N)],
        [{}, {}, {}, {}],
    ),
    "never healthy there": ([(SERVES, F), (ENDS, F), (GONE, F), (GONE, H), (GONE, H)], [{}] * 5),
    "it was not gone after all": (
        [(SERVES, H), (GONE, H), (GONE, H), (SERVES, H)],
        [{}, WAITS, EARLY | WAITS, {}],
    ),
}


@pytest.mark.parametrize(("looks", "facts"), GATES.values(), ids=GATES)
def test_what_is_not_let_go_of_is_waited_for_and_held_once_it_is_certain(
    looks: list[Look], facts: list[dict[str, Weight]]
) -> None:
    """Doubt in the least case, never proof: the new version is not to blame for an old one's preStop."""
    assert followed(*looks)[1] == facts


CERTAIN: list[Look] = [(SERVES, H), (ENDS, H), (GONE, H), (GONE, H), (GONE, H), (GONE, A)]


def test_the_remedy_says_by_how_much_prestop_is_too_short() -> None:
    departures = Departures("front")
    for second, (course, said) in enumerate(CERTAIN):
        facts = departures.look(seen(course), {"10.0.0.1": said}, now=float(second))

    text = facts[0].text
    assert "front still called one healthy after it had ended" in text
    assert "preStop must be longer by 4 s" in text, "there at 1, let go of at 5"
    assert departures.take()["drain_slack_seconds"] == -4


def test_new_pods_that_a_way_back_ends_are_measured_and_hold_nothing() -> None:
    values, facts = followed(*CERTAIN, side=Side.NEW)

    assert values["drain_slack_seconds"] == -4
    assert facts[-1] == {"ended-before-let-go": Weight.NOTE}
    assert not any("not-let-go" in each for each in facts)


@pytest.mark.parametrize(
    ("side", "ratio", "is_followed"),
    [
        pytest.param(Side.OLD, 1.0, False, id="old pods that get nothing"),
        pytest.param(Side.NEW, 0.0, False, id="new pods that get nothing"),
        pytest.param(Side.OLD, 0.0, True, id="old pods that get all"),
        pytest.param(Side.OLD, 0.5, True, id="old pods that get half"),
        pytest.param(Side.OLD, None, True, id="nobody sets shares"),
    ],
)
def test_a_side_without_traffic_has_nothing_to_let_go_of(
    side: Side, ratio: float | None, is_followed: bool
) -> None:
    values, facts = followed(*CERTAIN, side=side, new_ratio=ratio)

    assert (bool(values), any(facts)) == (is_followed, is_followed)


def test_a_share_that_cannot_be_read_for_a_moment_is_what_it_was() -> None:
    """Else the end of a canary's old place would be held by one failed look."""
    departures = Departures("front")
    departures.look(seen(SERVES, new_ratio=1.0), {"10.0.0.1": H}, now=0.0)
    departures.look(seen(SERVES), {"10.0.0.1": H}, now=1.0)

    facts = [departures.look(seen(GONE), {"10.0.0.1": H}, now=float(now)) for now in (2, 3, 4)]

    assert facts == [(), (), ()]


@pytest.mark.parametrize("let_go", [False, True])
def test_what_is_said_of_an_ip_in_use_again_is_said_of_another_pod(let_go: bool) -> None:
    departures = Departures("front")
    heir = pod("heir", Side.NEW, address="10.0.0.1")
    looks = [seen(SERVES), seen(ENDS), *[seen(GONE, beside=(heir,))] * 3]
    words = [H, L if let_go else H, H, H, H]

    told = [
        departures.look(each, {"10.0.0.1": said}, now=float(second))
        for second, (each, said) in enumerate(zip(looks, words, strict=True))
    ]

    assert told[2:] == [(), (), ()]
    assert departures.take().get("drain_slack_seconds") == (0 if let_go else None)


def test_bounds_that_a_gap_in_the_looks_tears_apart_tell_nothing() -> None:
    """A blind minute in which a pod was let go of and ended: it is counted, and its slack is not known."""
    departures = Departures("front")
    for now in (0.0, 1.0):
        departures.look(seen(SERVES), {"10.0.0.1": H}, now=now)

    departures.look(seen(GONE), {}, now=60.0)

    assert departures.take() == {"drained_pods": 1, "drain_seconds": 0}


def test_a_picture_that_is_out_of_date_proves_a_pods_presence_only_for_its_own_time() -> None:
    departures = Departures("front")
    departures.look(seen(SERVES), {"10.0.0.1": H}, now=0.0)
    departures.look(seen(ENDS), {"10.0.0.1": L}, now=1.0)
    departures.look(seen(ENDS, age_seconds=3.0), {"10.0.0.1": L}, now=4.0)

    departures.look(seen(GONE), {}, now=5.0)

    assert departures.take()["drain_slack_seconds"] == 0


def test_pods_of_other_tiers_are_followed_too() -> None:
    departures = Departures("front")
    outer, inner = pod("outer", address="10.0.0.9", tier=1), pod("inner")
    departures.look(fleet(inner, outer).of_tier(0), {"10.0.0.9": H}, now=0.0)

    facts = [departures.look(fleet(inner).of_tier(0), {"10.0.0.9": H}, now=float(now)) for now in (1, 2)]

    assert [fact.rule for fact in facts[-1]] == ["ended-before-let-go", "not-let-go"]


def test_each_pod_is_told_once_and_the_least_slack_of_several() -> None:
    first, second = Drained(1, 3.0, 5.0), Drained(2, None, 9.0)

    both = first + second

    assert both == Drained(3, 3.0, 9.0)
    assert Drained.of_values(both.to_values()) == both
    assert Drained.of_values(second.to_values()) == second
    assert Drained.of_values({"new_healthy": 1}) is None


def test_every_balancer_has_it_by_its_intake() -> None:
    """Health is judged as before, and what ended is in the values once."""
    intake, facts = Intake("front", settle_seconds=0.0), tuple[Fact, ...]()
    values = []
    for second, (course, said) in enumerate([(SERVES, H), (ENDS, L), (ENDS, A), (GONE, A), (GONE, A)]):
        health = {"10.0.0.1": said}
        pods = intake.serving(seen(course), health)
        facts += intake.facts(pods, health, now=float(second))
        values.append(intake.values(pods, health))

    assert facts == ()
    assert [one.get("drain_slack_seconds") for one in values] == [None, None, None, 1, None]
    assert values[0]["old_healthy"] == 1
