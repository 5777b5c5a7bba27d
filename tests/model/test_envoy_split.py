"""How an Envoy parts traffic, read off its own pages."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from upgrader.model.envoy_split import (
    FINEST_RATIO,
    Places,
    Routed,
    has_admin_layer,
    move_path,
    read_routes,
    read_runtime,
    routed,
    split_of,
)
from upgrader.model.plugins import Split

PLACES = Places("edge", "edge-green", "front.split")


def weighted(*weights: tuple[str, int], prefix: str = "front.split", **match: Any) -> dict[str, Any]:
    clusters = [{"name": name, "weight": weight} for name, weight in weights]
    return {
        "match": {"prefix": "/"} | match,
        "route": {"weighted_clusters": {"clusters": clusters, "runtime_key_prefix": prefix}},
    }


def straight(cluster: str, **match: Any) -> dict[str, Any]:
    return {"name": "straight", "match": {"prefix": "/"} | match, "route": {"cluster": cluster}}


BOTH = weighted(("edge", 100), ("edge-green", 0))


def page(*routes: dict[str, Any], **more: Any) -> bytes:
    config = {"name": "main", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes)}]}
    return json.dumps({"configs": [{"route_config": config, "last_updated": "2026-11-24"} | more]}).encode()


def test_routes_are_found_in_lists_and_in_trees_of_matchers() -> None:
    tree = {"on_no_match": {"action": {"typed_config": straight("edge")}}}
    redirect = {"match": {"prefix": "/"}, "redirect": {"host_redirect": "other"}}

    found = read_routes(page(BOTH, redirect, tree))

    assert found == (BOTH, straight("edge"))


def test_an_update_that_envoy_refused_is_no_route() -> None:
    """The page carries it beside the one in force."""
    refused = {"failed_configuration": {"virtual_hosts": [{"routes": [straight("edge")]}]}, "details": "no"}

    assert read_routes(page(BOTH, error_state=refused)) == (BOTH,)


def test_a_source_without_routes_is_empty_and_a_strange_page_is_none() -> None:
    assert read_routes(b"{}") == ()
    assert read_routes(b"<html>") is None
    assert read_routes(b'["configs"]') is None


def test_every_route_that_obeys_gives_its_own_weights() -> None:
    found = routed([BOTH, weighted(("edge-green", 1), ("edge", 9)), straight("other")], PLACES)

    assert found == Routed(frozenset({(100, 0), (9, 1)}))


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        pytest.param([], "no route of it parts traffic", id="none"),
        pytest.param([straight("edge")], "no route of it parts traffic", id="straight"),
        pytest.param(
            [weighted(("edge", 1), ("edge-green", 1), prefix="other")], "no route of it", id="prefix"
        ),
        pytest.param([weighted(("edge", 1), ("edge-green", 1), prefix="")], "no route of it", id="no-prefix"),
        pytest.param(
            [weighted(("edge", 1), ("third", 1))], "by front.split among edge, third", id="not-both"
        ),
        pytest.param(
            [weighted(("edge", 1), ("edge-green", 1), ("third", 1))],
            "edge, edge-green, third",
            id="three",
        ),
        pytest.param([weighted(("edge", 1), ("edge", 1), ("edge-green", 1))], "edge, edge,", id="twice"),
        pytest.param([BOTH, straight("edge")], "route straight sends to edge or edge-green past", id="past"),
        pytest.param([BOTH, straight("edge"), straight("edge-green")], "and 1 more sends", id="two-past"),
        pytest.param(
            [BOTH, straight("edge", headers=[{"name": ":method", "string_match": {"exact": "POST"}}])],
            "past the split",
            id="method",
        ),
        pytest.param(
            [BOTH, weighted(("edge", 1), ("edge-green", 1), prefix="other", path="/x")],
            '"path": "/x"',
            id="other-split",
        ),
    ],
)
def test_routes_by_which_traffic_cannot_be_parted_are_refused_with_a_remedy(
    routes: list[dict[str, Any]], words: str
) -> None:
    """All traffic must obey, or a place that is thought empty would still serve."""
    found = routed(routes, PLACES)

    assert words in found.error
    assert found.remedy
    assert split_of(PLACES, found, {}) == Split(None, f"{found.error}; {found.remedy}")


@pytest.mark.parametrize(
    "match", [{"headers": [{"name": "x-canary"}]}, {"query_parameters": [{"name": "canary"}]}], ids=str
)
def test_a_route_that_testers_ask_for_may_go_past_the_split(match: dict[str, Any]) -> None:
    assert routed([straight("edge-green", **match), BOTH], PLACES).error == ""


@pytest.mark.parametrize(
    ("runtime", "split"),
    [
        pytest.param({}, Split(0.01), id="configured"),
        pytest.param({"front.split.edge": "9990", "front.split.edge-green": "10"}, Split(0.001), id="set"),
        pytest.param({"front.split.edge-green": "99"}, Split(0.5), id="one-set"),
        pytest.param({"front.split.edge": "0", "front.split.edge-green": "10000"}, Split(1.0), id="all"),
        pytest.param({"front.split": "7", "other.edge": "1"}, Split(0.01), id="others"),
        pytest.param(
            {"front.split.edge": "many"},
            Split(None, "runtime key front.split.edge is 'many', no weight"),
            id="text",
        ),
        pytest.param(
            {"front.split.edge": "0", "front.split.edge-green": "0"},
            Split(None, "the weights add up to 0: it answers every request 404"),
            id="zero",
        ),
        pytest.param(
            {"front.split.edge": "4294967295"},
            Split(None, "the weights add up to 4294967296: it answers every request 404"),
            id="overflow",
        ),
    ],
)
def test_the_runtime_overrides_the_configured_weights_key_by_key(
    runtime: dict[str, str], split: Split
) -> None:
    """Measured with Envoy 1.40.0: the sum may be any from 1 to 2^32 - 1."""
    assert split_of(PLACES, Routed(frozenset({(99, 1)})), runtime) == split


def test_routes_that_part_traffic_differently_have_no_common_split_until_it_is_set() -> None:
    found = Routed(frozenset({(100, 0), (50, 50), (1, 1)}))

    unset = split_of(PLACES, found, {})
    done = split_of(PLACES, found, {"front.split.edge": "3", "front.split.edge-green": "1"})

    assert (unset.green_ratio, done) == (None, Split(0.25))
    assert "(0.00%, 50.00%)" in unset.error


@pytest.mark.parametrize(
    ("share", "blue", "green"),
    [
        (0, 10_000, 0),
        (1, 0, 10_000),
        (0.001, 9_990, 10),
        (FINEST_RATIO, 9_999, 1),
        (0.000_001, 9_999, 1),
        (0.999_999, 1, 9_999),
        (0.333_333, 6_667, 3_333),
    ],
)
def test_a_share_is_rounded_but_never_to_nothing_or_all(share: float, blue: int, green: int) -> None:
    path = move_path(PLACES, share)

    assert path == f"/runtime_modify?front.split.edge={blue}&front.split.edge-green={green}"


def test_names_are_quoted() -> None:
    assert move_path(Places("outbound|80||a", "b c", "x&y"), 0).startswith(
        "/runtime_modify?x%26y.outbound%7C80%7C%7Ca=10000&x%26y.b%20c=0"
    )


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_what_is_no_share_is_a_mistake(share: float) -> None:
    with pytest.raises(ValueError, match="is no share"):
        move_path(PLACES, share)


def test_the_runtime_page_gives_the_values_in_force() -> None:
    entries = {"a": {"layer_values": ["1", "2"], "final_value": "2"}}

    assert read_runtime(json.dumps({"layers": ["s", "admin"], "entries": entries}).encode()) == {"a": "2"}
    assert read_runtime(b"{}") is None
    assert read_runtime(b"<html>") is None


@pytest.mark.parametrize(
    ("bootstrap", "known"),
    [
        ({}, False),
        ({"layered_runtime": {"layers": [{"name": "s", "static_layer": {"a": 1}}]}}, False),
        ({"layered_runtime": {"layers": [{"name": "s"}, {"name": "any", "admin_layer": {}}]}}, True),
    ],
)
def test_keys_can_be_set_only_where_there_is_an_admin_layer(bootstrap: dict[str, Any], known: bool) -> None:
    assert has_admin_layer(json.dumps({"configs": [{"bootstrap": bootstrap}]}).encode()) is known
    assert has_admin_layer(b"{}") is None
