from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from tests.balancers.elbv2 import BLUE, target
from tests.signals.fakes import pod
from upgrader.model.aws_targets import (
    STATES,
    UNUSED,
    Group,
    by_address,
    fail_open,
    health_of,
    read_group,
    read_targets,
    reasons,
    shifted,
)
from upgrader.model.backend_health import Health
from upgrader.model.reading import Weight

GROUP = Group(BLUE, "gw-blue")


def seen(*descriptions: dict[str, Any]) -> Any:
    return read_targets({"TargetHealthDescriptions": list(descriptions)})


@pytest.mark.parametrize(
    ("state", "reason", "health"),
    [
        ("initial", "Elb.RegistrationInProgress", Health.UNPROVEN),
        ("initial", "Elb.InitialHealthChecking", Health.UNPROVEN),
        ("healthy", "", Health.HEALTHY),
        ("unhealthy", "Target.ResponseCodeMismatch", Health.FAILING),
        ("unhealthy", "Target.Timeout", Health.FAILING),
        ("unhealthy", "Target.FailedHealthChecks", Health.FAILING),
        ("unhealthy", "Elb.InternalError", Health.FAILING),
        ("unhealthy.draining", "", Health.FAILING),
        ("draining", "Target.DeregistrationInProgress", Health.LEAVING),
        ("unused", "Target.NotRegistered", Health.ABSENT),
        ("unused", "Target.NotInUse", Health.UNKNOWN),
        ("unused", "Target.InvalidState", Health.FAILING),
        ("unused", "Target.IpUnusable", Health.FAILING),
        ("unused", "", Health.UNKNOWN),
        ("unused", "Target.AWordOfALaterYear", Health.UNKNOWN),
        ("unavailable", "Target.HealthCheckDisabled", Health.UNKNOWN),
        ("unavailable", "Elb.InternalError", Health.UNKNOWN),
        ("a state of a later year", "", Health.UNKNOWN),
        ("", "", Health.UNKNOWN),
    ],
)
def test_each_word_of_aws_has_its_meaning(state: str, reason: str, health: Health) -> None:
    assert health_of(state, reason) is health


def test_no_state_of_the_service_model_is_missing() -> None:
    model = botocore.session.get_session().get_service_model("elbv2").shape_for("TargetHealth")
    states, words = (set(model.members[name].enum) for name in ("State", "Reason"))

    assert states == {*STATES, "unused"}
    assert set(UNUSED) <= words


def test_one_bad_port_of_an_ip_is_enough() -> None:
    targets = seen(target("10.0.0.1"), target("10.0.0.1", "unhealthy", port=8443), target("10.0.0.2"))

    assert by_address(targets) == {"10.0.0.1": Health.FAILING, "10.0.0.2": Health.HEALTHY}


def test_a_group_of_instances_is_refused_with_a_word() -> None:
    said = {"TargetGroupArn": BLUE, "TargetGroupName": "gw-blue", "TargetType": "instance"}

    with pytest.raises(ValueError, match="targets of type instance: what it says is not of pods"):
        read_group(said, ())


@pytest.mark.parametrize(
    ("attributes", "states", "opens"),
    [
        ({}, "uu", True),
        ({}, "hu", False),
        ({}, "hh", False),
        ({}, "ii", False),
        ({}, "iu", True),
        ({}, "ud", True),
        ({}, "", False),
        ({"count": "2"}, "hu", True),
        ({"count": "2"}, "hhu", False),
        ({"percentage": "50"}, "huu", True),
        ({"percentage": "50"}, "hhu", False),
        ({"percentage": "off"}, "hu", False),
    ],
)
def test_a_group_fails_open_below_its_minimum(attributes: dict[str, str], states: str, opens: bool) -> None:
    """AWS's own minimum is one healthy target; a group may ask for more."""
    words = {"h": "healthy", "u": "unhealthy", "i": "initial", "d": "draining"}
    prefix = "target_group_health.unhealthy_state_routing.minimum_healthy_targets."
    said = {"TargetGroupArn": BLUE, "TargetGroupName": "gw-blue", "TargetType": "ip"}
    group = read_group(said, [{"Key": prefix + key, "Value": value} for key, value in attributes.items()])

    facts = fail_open(group, seen(*(target(f"10.0.0.{n}", words[c]) for n, c in enumerate(states))))

    assert [(one.weight, one.rule) for one in facts] == [(Weight.HOLD, "balancer-fails-open")] * opens


@pytest.mark.parametrize(
    ("state", "holds"),
    [
        ("no_override", False),
        ("unknown", False),
        ("zonal_shift_active", True),
        ("zonal_shift_delegated_to_dns", True),
    ],
)
def test_a_zone_that_is_shifted_away_holds(state: str, holds: bool) -> None:
    targets = seen(target("10.0.0.1", AdministrativeOverride={"State": state}), target("10.0.0.2"))

    facts = shifted(GROUP, targets)

    assert [(one.weight, one.text) for one in facts] == [
        (Weight.HOLD, "eu-central-1a is shifted away from 1 of 2 targets of gw-blue")
    ] * holds


def test_why_a_pod_gets_nothing_is_told_in_the_words_of_aws() -> None:
    targets = seen(
        target("10.0.0.1"),
        target(
            "10.0.0.2", "unused", "Target.NotInUse", description="Target is in a zone that is not enabled"
        ),
        target("10.0.0.9", "unhealthy", "Target.Timeout"),
    )

    facts = reasons(GROUP, targets, [pod("a", address="10.0.0.1"), pod("b", address="10.0.0.2")])

    assert [(one.weight, one.text) for one in facts] == [
        (
            Weight.NOTE,
            "gw-blue says: b (10.0.0.2) unused (Target.NotInUse): Target is in a zone that is not enabled",
        )
    ]
