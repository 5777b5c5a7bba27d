from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from tests.balancers.elbv2 import (
    BLUE,
    GREEN,
    LISTENER,
    NETWORK,
    RULE,
    FakeElbv2,
    forward,
    refusal,
    target,
)
from tests.signals.fakes import FakeClock, fleet, pod, ports
from upgrader.balancers.aws_target_group import LOOK_SECONDS, build
from upgrader.errors import BalancerUnwilling
from upgrader.model.backend_health import LOOKS_TO_BELIEVE
from upgrader.model.fleet import Side
from upgrader.model.ports import Ports
from upgrader.model.reading import Reading, Weight

OLD, NEW = pod("old-1", address="10.0.0.1"), pod("new-1", Side.NEW, address="10.0.0.2")
BOTH = fleet(OLD, NEW)
PAIR = {"target_group": BLUE, "green": GREEN, "listener_rule": RULE}


class Bench:
    """A balancer that asks a scripted AWS; two seconds pass before each look."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.aws = FakeClock(), FakeElbv2()
        self.asked: list[tuple[str, str, str]] = []
        given = {"region": "eu-central-1", "target_group": BLUE, "settle": timedelta(0), **settings}
        self.balancer: Any = build(given, _with_aws(self))

    def look(self, times: int = 1, **targets: list[dict[str, Any]]) -> Reading:
        for color, said in targets.items():
            self.aws.targets[{"blue": BLUE, "green": GREEN}[color]] = said
        for _ in range(times):
            self.clock.sleep(2)
            reading: Reading = self.balancer.read(BOTH)
        return reading


def _with_aws(bench: Bench) -> Ports:
    def connect(service: str, region: str, endpoint: str) -> Any:
        bench.asked.append((service, region, endpoint))
        return bench.aws

    return Ports(**{**vars(ports(clock=bench.clock)), "aws": connect})


def facts(reading: Reading) -> dict[str, Weight]:
    return {fact.rule: fact.weight for fact in reading.facts}


def healthy(reading: Reading) -> tuple[float, ...]:
    return tuple(reading.values[name] for name in ("old_healthy", "new_healthy", "new_total"))


def test_targets_are_told_old_from_new_by_their_ip() -> None:
    reading = Bench().look(blue=[target("10.0.0.1"), target("10.0.0.2")])

    assert (healthy(reading), reading.error, reading.facts) == ((1, 1, 1), "", ())
    assert reading.source == "AWS elbv2 eu-central-1 gw-blue"
    assert "green_ratio" not in reading.values


def test_a_target_group_is_found_by_its_name_too() -> None:
    bench = Bench(target_group="gw-blue", endpoint="http://127.0.0.1:5000")

    assert healthy(bench.look(blue=[target("10.0.0.1"), target("10.0.0.2", "initial")])) == (1, 0, 1)
    assert bench.asked == [("elbv2", "eu-central-1", "http://127.0.0.1:5000")]


def test_what_does_not_change_is_asked_once() -> None:
    """A look of one group is one call, of two groups and a rule three: 1.5 a second of AWS's ten."""
    bench = Bench(**PAIR)
    bench.look(blue=[target("10.0.0.1")], green=[target("10.0.0.2")])
    bench.aws.calls.clear()

    bench.look()

    assert bench.aws.calls == ["describe_target_health"] * 2 + ["describe_rules"]
    assert bench.balancer.interval_seconds == 2


def test_without_green_it_moves_nothing() -> None:
    assert not hasattr(Bench().balancer, "move")


def test_both_groups_health_and_the_share_are_told() -> None:
    bench = Bench(**PAIR)
    bench.aws.actions = [forward(3, 1)]

    reading = bench.look(blue=[target("10.0.0.1")], green=[target("10.0.0.2")])

    assert healthy(reading) == (1, 1, 1)
    assert (reading.values["green_ratio"], reading.facts) == (0.25, ())


def test_a_new_pod_that_is_unhealthy_is_a_breach_after_its_time_and_says_why() -> None:
    bench = Bench(settle=timedelta(minutes=5))
    said = [target("10.0.0.1"), target("10.0.0.2", "unhealthy", "Target.Timeout")]

    early = bench.look(150, blue=said)
    late = bench.look(LOOKS_TO_BELIEVE)

    assert facts(early) == {"target-words": Weight.NOTE}
    assert facts(late) == {"no-healthy-new-backend": Weight.BREACH, "target-words": Weight.NOTE}
    assert "new-1 (10.0.0.2) unhealthy (Target.Timeout)" in late.facts[1].text


def test_a_green_group_that_is_unhealthy_as_a_whole_is_a_breach_and_fails_open() -> None:
    """It is known to be bad while blue is good; that AWS sends traffic there all the same makes it worse."""
    bench = Bench(**PAIR)
    bench.aws.actions = [forward(950, 50)]

    reading = bench.look(LOOKS_TO_BELIEVE, blue=[target("10.0.0.1")], green=[target("10.0.0.2", "unhealthy")])

    assert facts(reading)["no-healthy-new-backend"] is Weight.BREACH
    assert facts(reading)["balancer-fails-open"] is Weight.HOLD


@pytest.mark.parametrize("weights", [(999, 0), (0, 999)])
def test_a_group_without_traffic_does_not_fail_open(weights: tuple[int, int]) -> None:
    bench, bad = Bench(**PAIR), target("10.0.0.2", "unhealthy")
    bench.aws.actions = [forward(*weights)]
    idle, busy = ("green", "blue") if weights[1] == 0 else ("blue", "green")

    said = {idle: [bad], busy: [target("10.0.0.1")]}
    reading = bench.look(blue=said["blue"], green=said["green"])

    assert "balancer-fails-open" not in facts(reading)


def test_where_all_are_unhealthy_nobody_is_blamed_and_it_holds() -> None:
    said = [target("10.0.0.1", "unhealthy"), target("10.0.0.2", "unhealthy")]

    reading = Bench().look(LOOKS_TO_BELIEVE, blue=said)

    assert healthy(reading) == (0, 0, 1)
    assert facts(reading) == {
        "no-healthy-backend": Weight.HOLD,
        "balancer-fails-open": Weight.HOLD,
        "target-words": Weight.NOTE,
    }


@pytest.mark.parametrize(
    ("state", "reason"),
    [("unavailable", "Target.HealthCheckDisabled"), ("unused", "Target.NotInUse"), ("resting", "")],
)
def test_a_word_that_does_not_tell_holds_and_is_said(state: str, reason: str) -> None:
    bench = Bench()
    bench.aws.targets[BLUE] = [target("10.0.0.1"), target("10.0.0.2", state, reason)]

    reading = bench.look(LOOKS_TO_BELIEVE)

    assert healthy(reading) == (1, 0, 1)
    assert facts(reading) == {"backend-unknown": Weight.HOLD, "target-words": Weight.NOTE}
    assert f"new-1 (10.0.0.2) {state}" in reading.facts[-1].text


@pytest.mark.parametrize("state", ["initial", "draining"])
def test_registering_and_draining_are_waited_for(state: str) -> None:
    reading = Bench().look(LOOKS_TO_BELIEVE, blue=[target("10.0.0.1"), target("10.0.0.2", state)])

    assert not {Weight.BREACH, Weight.HOLD} & set(facts(reading).values())


def test_a_pod_that_was_never_registered_is_a_breach() -> None:
    reading = Bench().look(LOOKS_TO_BELIEVE, blue=[target("10.0.0.1")])

    assert facts(reading) == {"no-healthy-new-backend": Weight.BREACH}


GATE = {"target-health.elbv2.k8s.aws/k8s-gw": ""}


@pytest.mark.parametrize(
    ("old", "new", "noted"), [(GATE, {}, True), (GATE, GATE, False), ({}, {}, False), ({}, GATE, False)]
)
def test_a_new_pod_without_the_gate_that_old_ones_have_is_noted(
    old: dict[str, str], new: dict[str, str], noted: bool
) -> None:
    """The controller's webhook may fail and be passed over: then Ready says nothing of the balancer."""
    bench = Bench()
    bench.aws.targets[BLUE] = [target("10.0.0.1"), target("10.0.0.2")]

    reading = bench.balancer.read(fleet(replace(OLD, gates=old), replace(NEW, gates=new)))

    assert facts(reading) == ({"readiness-gate-missing": Weight.NOTE} if noted else {})


def test_a_group_of_instances_is_refused() -> None:
    bench = Bench()
    bench.aws.kind = "instance"

    assert "targets of type instance" in bench.look(blue=[target("i-1")]).error


def test_a_group_without_our_pods_is_an_error() -> None:
    assert "none of its 1 targets" in Bench().look(blue=[target("10.9.9.9")]).error


@pytest.mark.parametrize(
    ("method", "error", "words"),
    [
        ("describe_target_health", refusal("Throttling", "Rate exceeded"), "AWS throttled elasticload.*Rate"),
        ("describe_target_health", refusal("AccessDenied"), "allow the IAM action elasticloadbalancing:Desc"),
        ("describe_target_groups", refusal("TargetGroupNotFound"), "compare target_group, green"),
        ("describe_rules", refusal("RuleNotFound"), "no such thing in elasticloadbalancing:DescribeRules"),
        (
            "describe_rules",
            ReadTimeoutError(endpoint_url="http://x"),
            "did not answer .*DescribeRules in time",
        ),
    ],
)
def test_a_call_that_failed_is_an_error_and_never_a_value(method: str, error: Exception, words: str) -> None:
    bench = Bench(**PAIR)
    bench.aws.fails[method] = error

    reading = bench.look(LOOKS_TO_BELIEVE + 1, blue=[target("10.0.0.1")], green=[target("10.0.0.2")])

    assert (reading.facts, dict(reading.values)) == ((), {})
    assert re.search(words, reading.error)
    assert (reading.data_time, reading.complete) == (None, False)


def test_an_error_of_our_own_is_not_taken_for_aws() -> None:
    bench = Bench()
    bench.aws.fails["describe_target_health"] = TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        bench.look()


def test_a_slow_aws_is_asked_nothing_more_within_a_look_but_gets_on() -> None:
    """A look must end; what it learned of the groups is kept, so that the next begins behind that."""
    bench = Bench(**PAIR)
    bench.look()
    bench.balancer = build({"region": "r", "settle": 0, **PAIR}, _with_aws(bench))
    slow = bench.aws.attributes
    bench.aws.attributes = _Slow(bench.clock, slow)

    errors = [bench.look(blue=[target("10.0.0.1")], green=[target("10.0.0.2")]).error for _ in range(3)]

    assert ["too slowly" in one for one in errors] == [True, True, False]


class _Slow(dict[str, str]):
    """Attributes that take longer to be read than a look may."""

    def __init__(self, clock: FakeClock, said: dict[str, str]) -> None:
        super().__init__(said)
        self._clock = clock

    def items(self) -> Any:
        self._clock.sleep(LOOK_SECONDS + 0.1)
        return super().items()


@pytest.mark.parametrize("arn", [RULE, LISTENER, NETWORK])
def test_traffic_is_moved_in_one_call_and_read_back(arn: str) -> None:
    bench = Bench(**{**PAIR, "listener_rule": arn})

    bench.balancer.move(0.001)

    key = "Actions" if arn is RULE else "DefaultActions"
    assert [list(one) for one in bench.aws.sent] == [["RuleArn" if arn is RULE else "ListenerArn", key]]
    assert bench.aws.sent[0][key] == [forward(999, 1)]
    assert bench.balancer.split().green_ratio == bench.balancer.finest_ratio == 0.001


def test_what_another_hand_changed_since_is_kept() -> None:
    """The rule is read right before the write: an action that came in between is sent along."""
    bench = Bench(**PAIR)
    bench.look(blue=[target("10.0.0.1")])
    sticky = {"Enabled": True, "DurationSeconds": 60}
    bench.aws.actions = [forward(999, 0, TargetGroupStickinessConfig=sticky)]

    bench.balancer.move(1)

    assert bench.aws.actions == [forward(0, 999, TargetGroupStickinessConfig=sticky)]
    assert facts(bench.look())["group-stickiness"] is Weight.NOTE


def test_a_rule_with_a_third_group_is_not_touched_and_holds() -> None:
    bench = Bench(**PAIR)
    third = forward(1, 1)
    third["ForwardConfig"]["TargetGroups"].append({"TargetGroupArn": f"{BLUE}x", "Weight": 1})
    bench.aws.actions = [third]

    reading = bench.look(blue=[target("10.0.0.1")], green=[target("10.0.0.2")])
    with pytest.raises(BalancerUnwilling, match="more than gw-blue and gw-green"):
        bench.balancer.move(0.5)

    assert (facts(reading), bench.aws.sent) == ({"split-unknown": Weight.HOLD}, [])
    assert "green_ratio" not in reading.values


def test_the_rule_of_a_default_action_is_refused_with_the_way_to_name_it() -> None:
    bench = Bench(**PAIR)
    bench.aws.is_default = True

    assert "name the listener's own ARN" in bench.balancer.split().error


@pytest.mark.parametrize("method", ["modify_rule", "describe_rules", "describe_target_groups"])
def test_a_move_that_was_refused_says_so_and_is_not_repeated(method: str) -> None:
    bench = Bench(**PAIR)
    bench.aws.fails[method] = refusal("AccessDenied", "not authorized", status=403, method=method)

    with pytest.raises(BalancerUnwilling, match="not authorized") as caught:
        bench.balancer.move(0.5)

    assert "allow the IAM action elasticloadbalancing:" in caught.value.remedy
    assert (bench.aws.calls.count(method), bench.aws.sent) == (1, [])


def test_behind_a_network_balancer_only_new_connections_move() -> None:
    bench = Bench(**{**PAIR, "listener_rule": NETWORK})

    reading = bench.look(blue=[target("10.0.0.1")], green=[target("10.0.0.2")])

    assert facts(reading) == {"only-new-connections": Weight.NOTE}


def _other(number: int, **weights: int | None) -> dict[str, Any]:
    return {"RuleArn": f"{RULE}{number}", "Priority": str(number), "Actions": [forward(**weights)]}


def test_other_rules_that_send_to_a_group_are_told() -> None:
    """All pages of them: what they send stays with the old group, and ends with it."""
    bench = Bench(**PAIR)
    bench.aws.page = 1
    bench.aws.others = [_other(2, blue=None, green=None), _other(3, blue=1, green=None)]

    reading = bench.look(blue=[target("10.0.0.1")], green=[target("10.0.0.2")])

    assert facts(reading) == {"traffic-not-moved": Weight.NOTE}
    assert f"{RULE}3 is not moved" in reading.facts[0].text
    assert f"{RULE}2" not in reading.facts[0].text
    assert facts(bench.look()) == facts(reading)


def test_another_listener_of_a_network_balancer_is_told() -> None:
    bench = Bench(**{**PAIR, "listener_rule": NETWORK})
    bench.aws.listeners = [
        {"ListenerArn": NETWORK, "DefaultActions": [forward()]},
        {"ListenerArn": f"{NETWORK}x", "DefaultActions": [{"Type": "forward", "TargetGroupArn": BLUE}]},
    ]

    reading = bench.look(blue=[target("10.0.0.1")], green=[target("10.0.0.2")])

    assert facts(reading) == {"only-new-connections": Weight.NOTE, "traffic-not-moved": Weight.NOTE}
    assert f"traffic of {NETWORK}x is not moved" in reading.facts[1].text


def test_rules_that_may_not_be_read_are_told_and_hinder_nothing() -> None:
    bench = Bench(**PAIR)
    bench.aws.fails["describe_listeners"] = refusal("AccessDenied", method="describe_listeners")

    reading = bench.look(blue=[target("10.0.0.1")], green=[target("10.0.0.2")])

    assert (facts(reading), reading.error) == ({"rules-not-read": Weight.NOTE}, "")
    assert "allow the IAM action elasticloadbalancing:DescribeListeners" in reading.facts[0].text


def test_the_same_group_for_both_places_is_refused() -> None:
    assert "the same target group" in Bench(**{**PAIR, "green": "gw-blue"}).look().error


def test_a_client_that_cannot_be_made_is_an_error_and_tried_again() -> None:
    """A pod's role may turn up later; the default port refuses."""
    balancer = build({"region": "r", "target_group": BLUE}, ports())

    assert "pip install 'upgrader[aws]'" in balancer.read(BOTH).error


@pytest.mark.parametrize(("arn", "what"), [(RULE, "rule"), (LISTENER, "listener")])
def test_the_way_back_by_hand_is_a_command_with_the_whole_action(arn: str, what: str) -> None:
    bench = Bench(**{**PAIR, "listener_rule": arn})
    bench.aws.actions = [{"Type": "authenticate-cognito", "Order": 1}, {**forward(1, 1), "Order": 2}]
    bench.balancer.split()

    words = shlex.split(bench.balancer.by_hand(0))

    key = "--actions" if arn is RULE else "--default-actions"
    assert words[:-1] == [
        *("aws", "elbv2", f"modify-{what}", "--region", "eu-central-1", f"--{what}-arn", arn, key)
    ]
    assert json.loads(words[-1]) == [bench.aws.actions[0], {**forward(999, 0), "Order": 2}]


def test_credentials_that_were_renewed_are_found_without_a_restart() -> None:
    """boto3 keeps what it once read off a profile's file, however often that is written anew."""
    bench = Bench(**PAIR)
    bench.look()
    bench.aws.fails["describe_target_health"] = refusal("ExpiredToken", "the security token is expired")

    error = bench.look().error
    bench.aws = FakeElbv2()
    reading = bench.look(blue=[target("10.0.0.1")], green=[target("10.0.0.2")])

    assert "sign in anew" in error
    assert healthy(reading) == (1, 1, 1)


def test_the_way_back_by_hand_is_a_sentence_before_the_rule_was_read() -> None:
    said = Bench(**PAIR).balancer.by_hand(0)

    assert said == f"in {RULE} give gw-blue the weight 999, and gw-green the weight 0"
