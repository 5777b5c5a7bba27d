from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.balancers.elbv2 import BLUE, GREEN, forward, operation
from upgrader.model.aws_forward import HEAVIEST, is_sticky, moved, split_of, weights_for
from upgrader.model.aws_targets import Group

BLUES, GREENS = Group(BLUE, "gw-blue"), Group(GREEN, "gw-green")
THIRD = {"TargetGroupArn": BLUE.replace("blue", "other"), "Weight": 0}
FIXED = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}


@pytest.mark.parametrize(
    ("ratio", "weights"),
    [
        (0.0, (999, 0)),
        (0.0001, (999, 1)),
        (0.001, (999, 1)),
        (0.01, (990, 10)),
        (0.05, (950, 50)),
        (0.25, (750, 250)),
        (0.5, (500, 500)),
        (0.999, (1, 999)),
        (0.99999, (1, 999)),
        (1.0, (0, 999)),
    ],
)
def test_a_share_becomes_two_weights(ratio: float, weights: tuple[int, int]) -> None:
    assert weights_for(ratio) == weights


@given(st.floats(0, 1))
def test_a_share_is_given_to_a_thousandth_and_whole_ones_only_when_asked(ratio: float) -> None:
    blue, green = weights_for(ratio)

    assert 0 <= blue <= HEAVIEST
    assert 0 <= green <= HEAVIEST
    assert (green == 0, blue == 0) == (ratio == 0, ratio == 1)
    assert abs(green / (blue + green) - ratio) <= 0.001


@pytest.mark.parametrize(
    ("actions", "ratio"),
    [
        ([forward(999, 0)], 0.0),
        ([forward(3, 1)], 0.25),
        ([forward(0, 5)], 1.0),
        ([{"Type": "authenticate-cognito", "Order": 1}, forward(1, 1)], 0.5),
    ],
)
def test_the_share_is_read_off_the_weights(actions: list[dict[str, Any]], ratio: float) -> None:
    assert split_of(actions, BLUES, GREENS).green_ratio == ratio


def third() -> dict[str, Any]:
    action = forward(1, 1)
    action["ForwardConfig"]["TargetGroups"].append(THIRD)
    return action


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([forward(0, 0)], "both 0"),
        ([forward(1, None)], "does not forward to gw-green"),
        ([{"Type": "forward", "TargetGroupArn": BLUE}], "does not forward to gw-green"),
        ([forward(None, None)], "forwards to no target group"),
        ([FIXED], "it does fixed-response"),
        ([], "it does nothing"),
        ([third()], "more than gw-blue and gw-green: to arn:.*gw-other"),
    ],
)
def test_anything_but_the_two_groups_has_no_share(actions: list[dict[str, Any]], words: str) -> None:
    split = split_of(actions, BLUES, GREENS)

    assert split.green_ratio is None
    assert re.search(words, split.error)


@pytest.mark.parametrize("actions", [[forward(1, None)], [FIXED], [third()]], ids=str)
def test_what_is_not_between_the_two_groups_is_never_written(actions: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="forward"):
        moved(actions, BLUES, GREENS, green_ratio=0.5)


@pytest.mark.parametrize(("ratio", "weights"), [(0, [(BLUE, 2), (GREEN, 0)]), (1, [(BLUE, 0), (GREEN, 2)])])
def test_the_way_back_is_open_though_somebody_added_a_group(
    ratio: float, weights: list[tuple[str, int]]
) -> None:
    """To leave traffic on a bad version would be worse; the third group keeps what it gets."""
    after = moved([third()], BLUES, GREENS, green_ratio=ratio)[0]["ForwardConfig"]["TargetGroups"]

    assert [(one["TargetGroupArn"], one["Weight"]) for one in after] == [
        *weights,
        (THIRD["TargetGroupArn"], 0),
    ]


def test_both_weights_at_nought_can_be_left_again() -> None:
    assert split_of(moved([forward(0, 0)], BLUES, GREENS, green_ratio=0), BLUES, GREENS).green_ratio == 0


def test_all_but_the_weights_is_sent_as_it_was_read() -> None:
    sticky = {"Enabled": True, "DurationSeconds": 60}
    cognito = {
        "Type": "authenticate-cognito",
        "Order": 1,
        "AuthenticateCognitoConfig": {"UserPoolArn": "a", "UserPoolClientId": "b", "UserPoolDomain": "c"},
    }
    before = [cognito, {**forward(999, 0, TargetGroupStickinessConfig=sticky), "Order": 2}]

    after = moved(before, BLUES, GREENS, green_ratio=0.25)

    assert after == [cognito, {**forward(750, 250, TargetGroupStickinessConfig=sticky), "Order": 2}]
    assert is_sticky(after)
    assert not is_sticky([forward()])


def test_an_oidc_action_keeps_the_secret_that_aws_does_not_tell() -> None:
    """Without that word AWS refuses the whole list: the secret is required."""
    config = {"Issuer": "i", "ClientId": "c"}
    oidc = {"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": config}

    after = moved([oidc, forward()], BLUES, GREENS, green_ratio=1)

    assert after[0]["AuthenticateOidcConfig"] == {**config, "UseExistingClientSecret": True}
    members = operation("modify_rule").input_shape.members["Actions"].member.members
    assert "UseExistingClientSecret" in members["AuthenticateOidcConfig"].members


def test_a_single_target_group_is_not_sent_beside_two() -> None:
    """Source: shape ``Action``: beside two groups in ForwardConfig a TargetGroupArn is refused."""
    action = {**forward(1, 1), "TargetGroupArn": BLUE}

    assert "TargetGroupArn" not in moved([action], BLUES, GREENS, green_ratio=0.5)[0]
