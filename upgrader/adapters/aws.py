"""Make boto3's clients: short timeouts, no retries of their own, credentials where AWS's tools find them."""

from __future__ import annotations

from typing import Any, Final

from upgrader.errors import BalancerUnwilling

CONNECT_SECONDS: Final = 0.5
READ_SECONDS: Final = 0.8
"""A look must be over within a second; what is slower is asked again by the next look."""


def aws_client(service: str, *, region: str, endpoint: str = "") -> Any:
    """Return boto3's client of a service.

    Args:
        service: Its name in boto3, such as ``elbv2``.
        region: Such as ``eu-central-1``.
        endpoint: URL to ask instead of AWS's own; empty for AWS's own.

    Raises:
        BalancerUnwilling: boto3 is not installed, or does not know the region, profile or endpoint.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise BalancerUnwilling(
            "boto3 is not installed, and AWS is asked through it", remedy="pip install 'upgrader[aws]'"
        ) from error
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        # Not max_attempts: that counts retries, so that 1 would send a write twice.
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    try:
        session = boto3.session.Session()
        return session.client(service, region_name=region, endpoint_url=endpoint or None, config=config)
    except (BotoCoreError, ValueError) as error:
        words = " ".join(str(error).split())
        raise BalancerUnwilling(f"there is no AWS client for {service} in {region}: {words}") from error
