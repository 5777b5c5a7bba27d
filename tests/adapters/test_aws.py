from __future__ import annotations

import pytest

from upgrader.adapters.aws import CONNECT_SECONDS, READ_SECONDS, aws_client
from upgrader.errors import BalancerUnwilling


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
        "AWS_ENDPOINT_URL",
    ):
        monkeypatch.delenv(name, raising=False)


def test_a_client_sends_once_and_waits_less_than_a_second() -> None:
    """Of ``max_attempts`` botocore makes retries: 1 would send a write twice."""
    config = aws_client("elbv2", region="eu-central-1").meta.config

    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (CONNECT_SECONDS, READ_SECONDS)
    assert config.read_timeout < 1


def test_the_environment_does_not_bring_retries_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")

    assert aws_client("elbv2", region="eu-central-1").meta.config.retries["total_max_attempts"] == 1


def test_the_endpoint_is_aws_own_unless_one_is_named() -> None:
    own = aws_client("elbv2", region="eu-central-1").meta.endpoint_url

    assert own == "https://elasticloadbalancing.eu-central-1.amazonaws.com"
    assert (
        aws_client("elbv2", region="eu-central-1", endpoint="http://127.0.0.1:9").meta.endpoint_url
        == "http://127.0.0.1:9"
    )


@pytest.mark.parametrize(("region", "endpoint"), [("no region", ""), ("eu-central-1", "no url")])
def test_a_region_or_endpoint_that_is_none_is_said(region: str, endpoint: str) -> None:
    with pytest.raises(BalancerUnwilling, match="no AWS client for elbv2"):
        aws_client("elbv2", region=region, endpoint=endpoint)


def test_a_profile_that_does_not_exist_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-this-profile")

    with pytest.raises(BalancerUnwilling, match="nobody-has-this-profile"):
        aws_client("elbv2", region="eu-central-1")
