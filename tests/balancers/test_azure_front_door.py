"""Traffic by the weights of Front Door's origins: shares, calls, their order, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.balancers.azure_answers import ENDPOINT, ScriptedAzure, group, origin, refused, said, world
from tests.signals.fakes import FakeClock, fleet
from upgrader.balancers.azure import FrontDoor
from upgrader.errors import BalancerUnwilling
from upgrader.model.azure_origins import FINEST_RATIO, Origin, Pair, aimed, changes, patch
from upgrader.model.backend_health import LOOKS_TO_BELIEVE
from upgrader.model.plugins import Split
from upgrader.model.ports import Answer
from upgrader.model.reading import Weight

SETTINGS = {
    "service": "front_door",
    "subscription": "s",
    "resource_group": "g",
    "name": "fd",
    "origin_group": "gateways",
    "origin": "blue",
    "green": "green",
    "endpoint": ENDPOINT,
}
OFF = {"enabledState": "Disabled"}
DONE = said(200, {})


def door(*script: Answer, clock: FakeClock | None = None) -> tuple[FrontDoor, ScriptedAzure]:
    http = ScriptedAzure(list(script))
    return FrontDoor(SETTINGS, world(http, clock or FakeClock())), http


def pair(blue: int | None, green: int | None, *, on: str = "both") -> Pair:
    def one(name: str, weight: int | None) -> Origin:
        return Origin(name, on in (name, "both"), weight, 1)

    return Pair(one("blue", blue), one("green", green))


def after(start: Pair, order: tuple[Origin, ...]) -> Pair:
    """Return the pair once these changes are made."""
    named = {start.blue.name: start.blue, start.green.name: start.green} | {one.name: one for one in order}
    return Pair(named["blue"], named["green"])


RUNGS = (0.001, 0.01, 0.05, 0.25, 0.5, 1.0)


@pytest.mark.parametrize("start", [pair(1000, 1000, on="blue"), pair(1000, None, on="blue")])
def test_every_usual_rung_upwards_is_one_call(start: Pair) -> None:
    for rung in RUNGS:
        order = changes(start, aimed(start, rung))
        start = after(start, order)

        assert len(order) == 1
        assert start.green_ratio == pytest.approx(rung, abs=FINEST_RATIO / 2)


@pytest.mark.parametrize(
    ("blue", "green", "ratio", "changed"),
    [(900, 100, 0.5, "green"), (900, 900, 0.25, "green"), (300, 900, 0.001, ""), (900, 300, 0.999, "")],
)
def test_of_odd_weights_one_origin_is_changed_where_that_comes_close_enough(
    blue: int, green: int, ratio: float, changed: str
) -> None:
    """What the other cannot give within half of the finest share takes both."""
    order = changes(pair(blue, green), aimed(pair(blue, green), ratio))

    assert len(order) == (1 if changed else 2)
    assert not changed or order[0].name == changed


@pytest.mark.parametrize("rung", RUNGS[:-1])
def test_from_every_rung_below_all_the_way_back_is_one_call(rung: float) -> None:
    start = pair(1000, 1000, on="blue")
    there = after(start, changes(start, aimed(start, rung)))

    back = changes(there, aimed(there, 0.0))

    assert [patch(there.green, one) for one in back] == [{"properties": OFF}]
    assert after(there, back).green_ratio == 0.0


def test_from_all_to_none_the_other_place_is_opened_before_the_one_is_shut() -> None:
    there = pair(7, 1000, on="green")

    back = changes(there, aimed(there, 0.0))

    assert [(one.name, one.is_enabled, one.weight) for one in back] == [
        ("blue", True, 1000),
        ("green", False, 1000),
    ]


@pytest.mark.parametrize("ratio", [1e-9, 0.0004, 0.333, 0.9995, 1 - 1e-9])
@pytest.mark.parametrize("blue", [1, 3, 250, 1000])
@pytest.mark.parametrize("green", [1, 40, 1000])
@pytest.mark.parametrize("on", ["both", "blue", "green"])
def test_any_share_is_met_as_near_as_weights_can_and_never_becomes_none_or_all(
    ratio: float, blue: int, green: int, on: str
) -> None:
    start = pair(blue, green, on=on)

    end = after(start, changes(start, aimed(start, ratio)))

    found = end.green_ratio
    assert found is not None
    assert 0 < found < 1
    assert abs(found - ratio) <= FINEST_RATIO
    assert min(end.blue.weight or 0, end.green.weight or 0) >= 1
    assert max(end.blue.weight or 0, end.green.weight or 0) <= 1000


@pytest.mark.parametrize("ratio", [0.0, 0.0004, 0.2, 0.777, 1.0])
@pytest.mark.parametrize("on", ["both", "blue", "green"])
@pytest.mark.parametrize(("blue", "green"), [(1, 1), (3, 1000), (999, 2)])
def test_between_two_calls_no_place_is_shut_before_the_other_is_open(
    ratio: float, on: str, blue: int, green: int
) -> None:
    start = pair(blue, green, on=on)
    order = changes(start, aimed(start, ratio))

    for done in range(len(order) + 1):
        between = after(start, order[:done])
        assert between.blue.is_enabled or between.green.is_enabled
        assert between.green_ratio is not None


def test_an_origin_without_a_weight_gets_one() -> None:
    start = pair(None, None)

    end = after(start, changes(start, aimed(start, 0.25)))

    assert end.green_ratio == pytest.approx(0.25, abs=FINEST_RATIO)


def test_the_split_is_what_the_origins_say() -> None:
    balancer, _ = door(group(origin("Blue", 900), origin("Green", 100), origin("spare", 5, **OFF)))

    assert balancer.split() == Split(0.1)


@pytest.mark.parametrize(
    ("origins", "why"),
    [
        ((origin("blue", 1), origin("green", 1, provisioningState="Updating")), "a change is being made"),
        ((origin("blue", 1, deploymentStatus="InProgress"), origin("green", 1)), "a change is being made"),
        ((origin("blue", 1), origin("green", 1, provisioningState="Failed")), "Azure failed to change green"),
        ((origin("blue", 1, **OFF), origin("green", 1, **OFF)), "the weights say nothing"),
        ((origin("blue", None), origin("green", 1)), "the weights say nothing"),
        ((origin("blue", 1), origin("green", 1, priority=2)), "priorities differ (1 and 2)"),
        ((origin("blue", 1), origin("green", 1), origin("third", 1)), "another enabled origin: third"),
        ((origin("blue", 1), origin("other", 1)), "no origin green among blue, other"),
    ],
)
def test_where_weights_do_not_tell_the_share_it_is_not_known(
    origins: tuple[dict[str, Any], ...], why: str
) -> None:
    balancer, _ = door(group(*origins))

    split = balancer.split()

    assert split.green_ratio is None
    assert why in split.error


def test_origins_of_the_next_page_count() -> None:
    first = said(200, {"value": [origin("blue", 1), origin("green", 1)], "nextLink": f"{ENDPOINT}/more?x=1"})
    balancer, http = door(first, group(origin("third", 1)))

    assert "another enabled origin: third" in balancer.split().error
    assert http.sent[1].url == f"{ENDPOINT}/more?x=1"


def test_an_answer_that_is_no_list_of_origins_is_not_understood() -> None:
    balancer, _ = door(said(200, {"value": None}), said(200, {"value": [{"name": "blue"}]}))

    assert balancer.split() == Split(None, "Azure's answer is not understood: no list of origins")
    assert balancer.split() == Split(None, "Azure's answer is not understood: an origin without properties")


def test_a_move_reads_and_patches_nothing_but_what_differs() -> None:
    balancer, http = door(group(origin("blue", 1000), origin("green", 1000, **OFF)), said(202))

    balancer.move(0.01)

    assert http.calls()[1] == "PATCH Microsoft.Cdn/profiles/fd/originGroups/gateways/origins/green"
    assert http.bodies() == [{"weight": 10, "enabledState": "Enabled"}]
    assert all("api-version=" in one.url for one in http.sent)


def test_a_move_to_where_it_is_calls_nothing() -> None:
    balancer, http = door(group(origin("blue", 1000), origin("green", 10)))

    balancer.move(0.01)

    assert http.bodies() == []


def test_the_second_of_two_calls_that_is_refused_is_said_and_done_by_the_next_move() -> None:
    busy = refused(409, "Conflict", "another operation is in progress")
    now = (origin("blue", 5, **OFF), origin("green", 1000))
    then = (origin("blue", 1000), origin("green", 1000))
    balancer, http = door(group(*now), said(202), busy, group(*then), said(202))

    with pytest.raises(BalancerUnwilling) as refusal:
        balancer.move(0.0)
    balancer.move(0.0)

    assert "changed so far: blue (weight 1000, enabled)" in refusal.value.what
    assert refusal.value.remedy == "the same move again does the rest"
    assert http.bodies() == [{"weight": 1000, "enabledState": "Enabled"}, OFF, OFF]


@pytest.mark.parametrize(
    ("answer", "what", "remedy"),
    [
        (refused(403, "AuthorizationFailed"), "does not allow it", "profiles/originGroups/origins/write"),
        (refused(429, "TooManyRequests", retry_after="9"), "throttles us", ""),
        (refused(412, "PreconditionFailed"), "somebody else changed it", ""),
        (Answer(0, error="no answer within 5 s"), "did not answer", ""),
    ],
)
def test_a_move_that_is_not_taken_says_whose_fault_it_is(answer: Answer, what: str, remedy: str) -> None:
    balancer, http = door(group(origin("blue", 1000), origin("green", 1)), answer)

    with pytest.raises(BalancerUnwilling) as refusal:
        balancer.move(0.5)

    assert what in refusal.value.what
    assert remedy in refusal.value.remedy
    assert len(http.bodies()) == 1


def test_a_throttled_write_does_not_keep_reads_back_nor_is_it_repeated_before_its_time() -> None:
    clock, list_ = FakeClock(), group(origin("blue", 1000), origin("green", 1))
    throttled = refused(429, "TooManyRequests", retry_after="30")
    balancer, http = door(list_, throttled, list_, list_, list_, DONE, clock=clock)

    for _ in range(2):
        with pytest.raises(BalancerUnwilling, match="throttles us"):
            balancer.move(0.5)
    assert balancer.split().error == ""
    assert len(http.bodies()) == 1
    clock.sleep(31)
    balancer.move(0.5)

    assert http.bodies() == [{"weight": 1000}] * 2


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (0.0, ["--origin-name blue --enabled-state Enabled --weight 1000", "green --enabled-state Disabled"]),
        (1.0, ["--origin-name green --enabled-state Enabled --weight 1000", "blue --enabled-state Disabled"]),
        (0.01, ["blue --enabled-state Enabled --weight 1000", "green --enabled-state Enabled --weight 10"]),
    ],
)
def test_by_hand_the_open_place_is_opened_before_the_other_is_shut(ratio: float, said: list[str]) -> None:
    commands = door()[0].by_hand(ratio).split(" && ")

    place = "--subscription s --resource-group g --profile-name fd --origin-group-name gateways"
    assert all(one.startswith(f"az afd origin update {place} --origin-name ") for one in commands)
    assert [one.endswith(end) for one, end in zip(commands, said, strict=True)] == [True, True]


def test_readings_carry_the_share_and_no_health() -> None:
    settings = said(200, {"properties": {"sessionAffinityState": "Disabled"}})
    moving = group(origin("blue", 1000), origin("green", 1000, provisioningState="Updating"))
    balancer, _ = door(settings, group(origin("blue", 1000), origin("green", 1000)), moving)

    looks = [balancer.read(fleet()) for _ in range(3)]

    assert [dict(one.values) for one in looks] == [{}, {"green_ratio": 0.5}, {}]
    assert [(one.error, one.facts) for one in looks] == [("", ())] * 3
    assert not balancer.speaks_of_backends


def test_sessions_that_stay_at_their_origin_are_told() -> None:
    settings = said(200, {"properties": {"sessionAffinityState": "Enabled"}})
    balancer, _ = door(settings, group(origin("blue", 1), origin("green", 1)))

    looks = [balancer.read(fleet()), balancer.read(fleet())]

    for one in looks:
        assert [(fact.rule, fact.weight) for fact in one.facts] == [("session-affinity", Weight.NOTE)]


@pytest.mark.parametrize(
    ("latency", "told"), [(0, [("weights-not-heeded", Weight.HOLD)]), (50, []), (None, [])]
)
def test_weights_that_a_latency_sensitivity_of_0_overrules_hold(latency: int | None, told: list[Any]) -> None:
    settings = said(
        200, {"properties": {"loadBalancingSettings": {"additionalLatencyInMilliseconds": latency}}}
    )
    balancer, _ = door(settings, group(origin("blue", 1), origin("green", 1)))

    looks = [balancer.read(fleet()), balancer.read(fleet())]

    assert [[(fact.rule, fact.weight) for fact in one.facts] for one in looks] == [told] * 2


def test_a_share_that_cannot_be_told_holds_after_three_looks_unless_it_is_being_changed() -> None:
    settings = said(200, {"properties": {}})
    third = group(origin("blue", 1), origin("green", 1), origin("third", 1))
    moving = group(origin("blue", 1), origin("green", 1, provisioningState="Updating"))

    facts = []
    for list_ in (third, moving):
        balancer, _ = door(settings, *[list_] * LOOKS_TO_BELIEVE)
        looks = [balancer.read(fleet()) for _ in range(1 + LOOKS_TO_BELIEVE)]
        facts.append([[(fact.rule, fact.weight) for fact in one.facts] for one in looks])

    assert facts == [[[], [], [], [("split-unknown", Weight.HOLD)]], [[]] * 4]


def test_a_look_that_failed_is_an_error_and_no_share() -> None:
    balancer, _ = door(refused(503, "ServerTimeout", retry_after="7"))

    first, second = balancer.read(fleet()), balancer.read(fleet())

    assert first.error == "Azure failed: HTTP 503 (ServerTimeout: no)"
    assert second.error.endswith("asked again in 7 s")
    assert dict(second.values) == {}
