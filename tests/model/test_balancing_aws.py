from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.balancers.elbv2 import BLUE, LISTENER, RULE
from upgrader.model.balancing import AwsTargetGroupBalancer, BalancerSettings

SMALL = {"kind": "aws_target_group", "region": "eu-central-1", "target_group": "gw-blue"}


def read(**more: Any) -> AwsTargetGroupBalancer:
    found: Any = TypeAdapter(BalancerSettings).validate_python(SMALL | more)
    assert isinstance(found, AwsTargetGroupBalancer)
    return found


def test_a_group_alone_is_enough_for_health() -> None:
    said = read()

    assert (said.green, said.listener_rule, said.endpoint) == (None, None, None)
    assert (said.settle, said.delay) == (timedelta(minutes=5), timedelta(seconds=30))


@pytest.mark.parametrize("arn", [RULE, LISTENER])
def test_two_groups_are_parted_by_a_rule_or_a_listener(arn: str) -> None:
    assert read(green="gw-green", listener_rule=arn).listener_rule == arn


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"green": "gw-green"}, "needs listener_rule beside it"),
        ({"listener_rule": RULE}, "needs green beside it"),
        ({"green": "gw-blue", "listener_rule": RULE}, "must be another target group"),
        ({"green": "gw-green", "listener_rule": BLUE}, "must be the ARN of a rule"),
        ({"green": "gw-green", "listener_rule": "edge"}, "must be the ARN of a rule"),
        ({"endpoint": "localhost:5000"}, "must be a whole URL"),
        ({"endpoint": "http://10.0.0.1"}, "not sent in the clear"),
        ({"region": " "}, "must not be empty"),
        ({"zone": "a"}, "unknown key"),
    ],
)
def test_what_cannot_be_meant_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        read(**more)
