"""The playbook's keys of the balancer ``azure``: each service has its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from upgrader.model.azure_settings import AzureBalancer

PLACE = {"kind": "azure", "subscription": "s", "resource_group": "g", "name": "n"}
DOOR = {"service": "front_door", "origin_group": "o", "origin": "blue", "green": "green"}


@pytest.mark.parametrize(
    "keys",
    [
        {"service": "application_gateway"},
        {"service": "application_gateway", "pools": ["one", "two"], "settle": "3m"},
        {"service": "load_balancer", "rule": "https"},
        DOOR | {"delay": "45m", "endpoint": "http://127.0.0.1:9912"},
    ],
)
def test_each_service_is_taken_with_its_own_keys(keys: dict[str, Any]) -> None:
    assert AzureBalancer.model_validate(PLACE | keys).service == keys["service"]


def test_the_defaults_are_what_azure_needs() -> None:
    balancer = AzureBalancer.model_validate(PLACE | DOOR)

    assert (balancer.settle, balancer.delay) == (timedelta(minutes=5), timedelta(minutes=20))
    assert balancer.endpoint is None


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"service": "load_balancer"}, "load_balancer needs rule"),
        ({"service": "front_door", "origin_group": "o", "origin": "b"}, "front_door needs green"),
        ({"service": "application_gateway", "green": "g"}, "only front_door has green"),
        ({"service": "load_balancer", "rule": "r", "pools": ["p"]}, "only application_gateway has pools"),
        ({"service": "traffic_manager"}, "Input should be"),
        (DOOR | {"green": "Blue"}, "another origin than"),
        (DOOR | {"endpoint": "https://management.azure.com.evil.example"}, "must be a loopback IP"),
        (DOOR | {"endpoint": "http://127.0.0.1.evil.example"}, "must be a loopback IP"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        AzureBalancer.model_validate(PLACE | keys)
