from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from upgrader.model.balancing import BalancerSettings

PLACES: dict[str, Any] = {"backend": {"name": "a"}, "green": {"name": "b"}}
WHERE: dict[str, Any] = {"namespace": "edge", "name": "api.example.com"}


def read(**keys: Any) -> Any:
    return TypeAdapter(BalancerSettings).validate_python(WHERE | PLACES | keys)


@pytest.mark.parametrize("kind", ["gateway_api", "istio", "gloo"])
def test_an_entry_needs_the_object_and_both_places(kind: str) -> None:
    made = read(kind=kind)

    assert (made.total, made.green.name) == (1000, "b")
    for key in ("namespace", "name", "backend", "green"):
        with pytest.raises(ValidationError, match="Field required"):
            TypeAdapter(BalancerSettings).validate_python(
                {"kind": kind} | {name: value for name, value in (WHERE | PLACES).items() if name != key}
            )


@pytest.mark.parametrize("kind", ["gateway_api", "istio", "gloo"])
def test_the_same_place_twice_is_refused(kind: str) -> None:
    with pytest.raises(ValidationError, match="is the same as backend"):
        read(kind=kind, green={"name": "a"})


@pytest.mark.parametrize("total", [99, 1_000_001, 0])
def test_a_total_that_gives_no_fine_share_or_no_valid_weight_is_refused(total: int) -> None:
    with pytest.raises(ValidationError, match="total"):
        read(kind="gateway_api", total=total)


def test_an_upstream_has_no_port() -> None:
    with pytest.raises(ValidationError, match="has its own port"):
        read(kind="gloo", green={"name": "b", "type": "Upstream", "port": 80})


def test_a_place_left_without_a_namespace_is_in_the_object_s_own() -> None:
    made = read(kind="istio", green={"name": "b", "namespace": "other", "subset": "v2"})

    assert made.backend.destination("edge").namespace == "edge"
    assert made.green.destination("edge").namespace == "other"
    assert made.green.destination("edge").detail == "v2"
