"""The forward action of an AWS listener or rule: how it parts traffic between two target groups. Pure.

Source: botocore 1.44.5, service ``elbv2``, shapes ``Action``, ``ForwardActionConfig`` and
``TargetGroupTuple`` ("The weight. The range is 0 to 999."), operations ``ModifyRule`` and ``ModifyListener``
("you must provide the entire list"), read on 2026-11-24.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from upgrader.model.aws_targets import Group
from upgrader.model.plugins import Split

HEAVIEST: Final = 999
TOTAL: Final = 1000
"""Both weights together, except for a whole share: that is 999 to 0."""
FINEST_RATIO: Final = 1 / TOTAL

Actions = Sequence[Mapping[str, Any]]


def weights_for(green_ratio: float) -> tuple[int, int]:
    """Return blue's and green's weight, 0-999; a share that is not 0 or 1 never becomes that.

    Args:
        green_ratio: 0-1.
    """
    if green_ratio <= 0:
        return HEAVIEST, 0
    if green_ratio >= 1:
        return 0, HEAVIEST
    green = min(max(round(green_ratio * TOTAL), 1), HEAVIEST)
    return TOTAL - green, green


def split_of(actions: Actions, blue: Group, green: Group) -> Split:
    """Read how the actions part traffic; anything but these two groups is a `Split` with an error.

    Args:
        actions: A rule's ``Actions`` or a listener's ``DefaultActions``.
        blue: One place's group.
        green: The other's.
    """
    if error := _why_not(actions, blue, green):
        return Split(None, error)
    weights = weights_of(actions)
    total = weights[blue.arn] + weights[green.arn]
    if not total:
        return Split(None, f"the weights of {blue.name} and {green.name} are both 0: nobody gets traffic")
    return Split(weights[green.arn] / total)


def moved(actions: Actions, blue: Group, green: Group, *, green_ratio: float) -> list[dict[str, Any]]:
    """Return the whole list of actions with other weights and all else as it was.

    A third group is refused, but on the way to a whole share: then it keeps its weight and its requests, and
    one place gives all of its own to the other.

    Args:
        actions: As they are read.
        blue: One place's group.
        green: The other's.
        green_ratio: 0-1.

    Raises:
        ValueError: They are not a forward to these two groups; the message is for the operator.
    """
    if error := _missing(actions, blue, green):
        raise ValueError(error)
    others = _others(actions, blue, green)
    if others and 0 < green_ratio < 1:
        raise ValueError(_why_not(actions, blue, green))
    wanted = dict(zip((blue.arn, green.arn), weights_for(green_ratio), strict=True))
    if others:
        found = weights_of(actions)
        both = min(found[blue.arn] + found[green.arn], HEAVIEST) or HEAVIEST
        wanted = {arn: both if weight else 0 for arn, weight in wanted.items()} | others
    return [_sendable(one, wanted) for one in actions]


def is_sticky(actions: Actions) -> bool:
    """Tell whether clients stay with the target group that they were sent to first."""
    return any(
        ((one.get("ForwardConfig") or {}).get("TargetGroupStickinessConfig") or {}).get("Enabled")
        for one in actions
    )


def _sendable(action: Mapping[str, Any], weights: Mapping[str, int]) -> dict[str, Any]:
    if action.get("Type") == "authenticate-oidc":
        # AWS does not tell the client's secret, and takes the action back only with the secret or this.
        config = {**action.get("AuthenticateOidcConfig", {}), "UseExistingClientSecret": True}
        return {**action, "AuthenticateOidcConfig": config}
    if action.get("Type") != "forward":
        return dict(action)
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()]
    # Beside two groups in ForwardConfig a TargetGroupArn is refused.
    kept = {key: value for key, value in action.items() if key != "TargetGroupArn"}
    return {**kept, "ForwardConfig": {**action.get("ForwardConfig", {}), "TargetGroups": groups}}


def weights_of(actions: Actions) -> dict[str, int]:
    """Return the weight of each group that the actions forward to."""
    found: dict[str, int] = {}
    for one in actions:
        if one.get("Type") == "forward":
            named = (one.get("ForwardConfig") or {}).get("TargetGroups") or ()
            found |= {str(each["TargetGroupArn"]): int(each.get("Weight", 1)) for each in named}
            if not named and one.get("TargetGroupArn"):
                found[str(one["TargetGroupArn"])] = 1
    return found


def _others(actions: Actions, blue: Group, green: Group) -> dict[str, int]:
    return {arn: weight for arn, weight in weights_of(actions).items() if arn not in (blue.arn, green.arn)}


def _missing(actions: Actions, blue: Group, green: Group) -> str:
    weights = weights_of(actions)
    if not weights:
        kinds = ", ".join(str(one.get("Type")) for one in actions) or "nothing"
        return f"it forwards to no target group: it does {kinds}"
    missing = [one.name for one in (blue, green) if one.arn not in weights]
    return (
        f"it does not forward to {' and '.join(missing)}: name both groups in it, one with weight 0, "
        "so that AWS checks the health of both"
        if missing
        else ""
    )


def _why_not(actions: Actions, blue: Group, green: Group) -> str:
    others = ", ".join(sorted(_others(actions, blue, green)))
    more = f"it forwards to more than {blue.name} and {green.name}: to {others} too" if others else ""
    return _missing(actions, blue, green) or more
