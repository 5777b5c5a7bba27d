from __future__ import annotations

import inspect
import re

import botocore.exceptions
import botocore.session
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from tests.balancers.elbv2 import refusal
from upgrader.model import aws_trouble
from upgrader.model.aws_trouble import iam_action, trouble_of

URL = "https://elb"
TABLES = ("_SILENT", "_UNREACHED", "_ANONYMOUS")


@pytest.mark.parametrize(
    ("error", "what", "remedy"),
    [
        (refusal("Throttling", "Rate exceeded"), "throttled", "40 at once and 10 a second"),
        (refusal("ThrottlingException", "Rate exceeded"), "throttled", "40 at once"),
        (refusal("Whatever", status=429), "throttled", "40 at once"),
        (
            refusal("AccessDenied", "User: x is not authorized to perform", status=403),
            "denied elasticloadbalancing:DescribeRules .AccessDenied: User: x is not authorized",
            "allow the IAM action elasticloadbalancing:DescribeRules",
        ),
        (refusal("ExpiredToken", status=403), "credentials", "sign in"),
        (refusal("TargetGroupNotFound", "One or more not found"), "no such thing", "compare target_group"),
        (
            refusal("TooManyUniqueTargetGroupsPerLoadBalancer", "You've reached the limit"),
            "refused elasticloadbalancing:DescribeRules for a quota .TooManyUnique.*: You've reached",
            "ask for more of this quota",
        ),
        (refusal("TargetGroupAssociationLimit"), "for a quota", "Service Quotas"),
        (refusal("RequestLimitExceeded"), "throttled", "40 at once"),
        (refusal("RuleNotFound"), "no such thing", "listener_rule"),
        (refusal("ServiceUnavailable", status=503), "trouble of its own", ""),
        (refusal("SomethingNew", status=500), "HTTP 500, SomethingNew", ""),
        (refusal("ValidationError", "no weight on load balancers of type 'network'"), "refused.*network", ""),
        (ReadTimeoutError(endpoint_url=URL), "did not answer elastic.*DescribeRules in time", ""),
        (ConnectTimeoutError(endpoint_url=URL), "did not answer", ""),
        (EndpointConnectionError(endpoint_url=URL), "not reached", "region, endpoint"),
        (NoCredentialsError(), "no AWS credentials", "profile"),
        (BotoCoreError(), "nothing usable", ""),
    ],
)
def test_an_error_of_aws_is_said_plainly(error: Exception, what: str, remedy: str) -> None:
    trouble = trouble_of(error, "describe_rules")

    assert trouble is not None
    assert re.search(what, trouble.what)
    assert remedy in trouble.remedy


def test_an_error_that_is_not_of_aws_is_a_bug_and_no_trouble() -> None:
    assert trouble_of(KeyError("x"), "describe_rules") is None


def test_every_class_that_is_named_exists() -> None:
    """A name that botocore has no longer would never be met."""
    ours = {name for table in TABLES for name in getattr(aws_trouble, table)}
    theirs = {name for name, one in vars(botocore.exceptions).items() if inspect.isclass(one)}

    assert ours <= theirs


@pytest.mark.parametrize("words", ["Timeout", "Connection", "Credential", "Token", "SSO"])
def test_no_class_of_silence_network_or_credentials_is_missing(words: str) -> None:
    ours = {name for table in TABLES for name in getattr(aws_trouble, table)}

    missing = [
        name
        for name, one in vars(botocore.exceptions).items()
        if inspect.isclass(one) and issubclass(one, BotoCoreError) and words in name
        and not ours & {each.__name__ for each in one.__mro__}
    ]  # fmt: skip

    assert not missing


def test_every_error_that_a_call_of_ours_can_have_is_known_or_said_in_its_own_words() -> None:
    model = botocore.session.get_session().get_service_model("elbv2")
    calls = ("DescribeTargetHealth", "DescribeTargetGroups", "DescribeRules", "DescribeListeners")
    codes = {
        shape.metadata.get("error", {}).get("code") or shape.name
        for call in (*calls, "ModifyRule", "ModifyListener")
        for shape in model.operation_model(call).error_shapes
    }

    said = {code: trouble_of(refusal(code, "words"), "describe_rules") for code in codes}

    assert len(codes) > 20
    assert all(one and code in one.what for code, one in said.items())


def test_a_call_needs_the_right_of_its_name() -> None:
    assert iam_action("describe_target_health") == "elasticloadbalancing:DescribeTargetHealth"
