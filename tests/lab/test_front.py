"""What the front balancer knows, and how it is set up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from upgrader.lab.front.__main__ import parse, with_certificate
from upgrader.lab.front.bootstrap import CLUSTER, GREEN_CLUSTER, SPLIT, Address, Front, bootstrap
from upgrader.lab.front.endpoints import ready_endpoints, write_endpoints
from upgrader.lab.front.places import Place
from upgrader.lab.front.slices import Slice, Slices, events
from upgrader.model.envoy_split import Places, Routed, has_admin_layer, read_routes, routed


def piece(*endpoints: dict[str, Any], name: str = "a", port: int = 8080) -> Slice:
    return {
        "metadata": {"name": name},
        "ports": [{"name": "http", "port": port}, {"name": "admin", "port": 19000}],
        "endpoints": list(endpoints),
    }


def endpoint(host: str, **conditions: bool | None) -> dict[str, Any]:
    return {"addresses": [host], "conditions": conditions}


@pytest.mark.parametrize(
    ("conditions", "known"),
    [
        ({"ready": True}, True),
        ({}, True),
        ({"ready": None}, True),
        ({"ready": False}, False),
        ({"ready": False, "serving": True, "terminating": True}, False),
        ({"ready": True, "terminating": True}, False),
    ],
)
def test_only_ready_endpoints_that_stay_are_known(conditions: dict[str, bool | None], known: bool) -> None:
    """As a cloud's controller does: a terminating pod leaves at once, even while it serves."""
    found = ready_endpoints([piece(endpoint("10.244.0.5", **conditions))], port="http")

    assert found == ((Address("10.244.0.5", 8080),) if known else ())


@pytest.mark.parametrize(("port", "number"), [("http", 8080), ("8080", 8080), ("admin", 19000)])
def test_the_port_is_found_by_name_or_number(port: str, number: int) -> None:
    """Both ways of naming a port in Kubernetes."""
    assert ready_endpoints([piece(endpoint("10.244.0.5"))], port=port) == (Address("10.244.0.5", number),)


def test_a_port_that_is_not_there_gives_no_endpoint() -> None:
    """Never another port instead."""
    assert ready_endpoints([piece(endpoint("10.244.0.5"))], port="https") == ()


def test_an_endpoint_in_two_slices_is_one() -> None:
    """Slices are rebuilt now and then, with the same endpoint in the old and the new one."""
    slices = [piece(endpoint("10.244.0.5")), piece(endpoint("10.244.0.5"), endpoint("10.244.0.4"), name="b")]

    assert ready_endpoints(slices, port="http") == (Address("10.244.0.4", 8080), Address("10.244.0.5", 8080))


def test_a_slice_without_endpoints_is_empty() -> None:
    """The API serves null for an empty list."""
    assert ready_endpoints([{"metadata": {"name": "a"}, "ports": None, "endpoints": None}], port="http") == ()


def test_the_file_is_replaced_whole(tmp_path: Path) -> None:
    """Nothing but the finished file is left, and its version follows its content."""
    file = tmp_path / "endpoints.json"
    write_endpoints(file, [Address("10.244.0.4", 8080)])
    one = json.loads(file.read_text())
    write_endpoints(file, [])
    none = json.loads(file.read_text())

    hosts = one["resources"][0]["endpoints"][0]["lb_endpoints"]
    assert hosts[0]["endpoint"]["address"] == Address("10.244.0.4", 8080).as_envoy()
    assert none["resources"][0]["endpoints"][0]["lb_endpoints"] == []
    assert one["version_info"] != none["version_info"]
    assert [path.name for path in tmp_path.iterdir()] == ["endpoints.json"]


@pytest.mark.parametrize("text", ["8080", "127.0.0.1", ":8080", "127.0.0.1:http"])
def test_a_bad_address_is_refused(text: str) -> None:
    """The command line says so at once."""
    with pytest.raises(ValueError, match=r"."):
        Address.parse(text)


def test_the_balancer_never_retries(tmp_path: Path) -> None:
    """Retries would hide a drain that loses requests."""
    front = Front(Address("127.0.0.1", 1), Address("127.0.0.1", 2), tmp_path / "e", tmp_path / "a")

    assert "retry" not in json.dumps(bootstrap(front)).replace("retriable_statuses", "")


def test_a_second_place_gets_nothing_until_its_runtime_keys_say_so(tmp_path: Path) -> None:
    """The same checks for both, the weights blue's alone, and a layer for the keys."""
    blue, green = tmp_path / "blue.json", tmp_path / "green.json"
    front = Front(Address("127.0.0.1", 1), Address("127.0.0.1", 2), blue, tmp_path / "a", green_file=green)

    made = bootstrap(front)

    one, other = made["static_resources"]["clusters"]
    assert (one["name"], other["name"]) == (CLUSTER, GREEN_CLUSTER)
    assert other["eds_cluster_config"]["eds_config"]["path_config_source"]["path"] == str(green)
    assert {**one, "name": "", "eds_cluster_config": ""} == {**other, "name": "", "eds_cluster_config": ""}
    places = Places(CLUSTER, GREEN_CLUSTER, SPLIT)
    routes = read_routes(json.dumps({"configs": [{"route_config": made["static_resources"]}]}).encode())
    assert routed(routes or (), places) == Routed(frozenset({(100, 0)}))
    assert has_admin_layer(json.dumps({"configs": [{"bootstrap": made}]}).encode())


def test_the_door_over_tls_leads_where_the_plain_one_does(tmp_path: Path) -> None:
    """The same routes and counters; a key that nobody else reads."""
    tls = with_certificate(Address("127.0.0.1", 3), tmp_path)
    front = Front(Address("127.0.0.1", 1), Address("127.0.0.1", 2), tmp_path / "e", tmp_path / "a", tls=tls)

    plain, other = bootstrap(front)["static_resources"]["listeners"]

    one, two = (door["filter_chains"][0]["filters"][0]["typed_config"] for door in (plain, other))
    assert {**one, "common_http_protocol_options": two["common_http_protocol_options"]} == two
    assert "transport_socket" not in plain["filter_chains"][0]
    assert tls.key.stat().st_mode & 0o077 == 0


def test_the_endpoints_of_each_place_go_to_its_own_cluster(tmp_path: Path) -> None:
    """Envoy takes no list that is of another cluster."""
    write_endpoints(tmp_path / "green.json", [Address("10.244.0.4", 8080)], cluster=GREEN_CLUSTER)

    resource = json.loads((tmp_path / "green.json").read_text())["resources"][0]
    assert resource["cluster_name"] == GREEN_CLUSTER


SERVICE = ["--namespace", "edge-system", "--service", "edge-proxy"]


def test_the_second_place_is_named_by_namespace_and_service() -> None:
    """Without it there is one place."""
    assert parse([*SERVICE, "--green", "edge-green/edge-proxy"]).green == Place("edge-green", "edge-proxy")
    assert parse(SERVICE).green is None


@pytest.mark.parametrize("text", ["edge-proxy", "/edge-proxy", "edge-green/", "a/b/c"])
def test_a_bad_name_of_the_second_place_is_refused(text: str) -> None:
    """The command line says so at once."""
    with pytest.raises(SystemExit):
        parse([*SERVICE, "--green", text])


class Recorded:
    """Requests answered from a list; a list and its watch are one answer each."""

    def __init__(self, listed: list[Slice], watched: list[bytes]) -> None:
        self.listed, self.watched = listed, watched
        self.asked: list[Mapping[str, str]] = []

    def read(self, query: Mapping[str, str]) -> bytes:
        return json.dumps({"metadata": {"resourceVersion": "7"}, "items": self.listed}).encode()

    def stream(self, query: Mapping[str, str]) -> Iterator[bytes]:
        self.asked.append(query)
        yield from self.watched


def event(kind: str, item: Mapping[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def test_changes_are_followed_from_where_the_list_ended() -> None:
    """Added, changed and deleted slices each lead to a new whole list."""
    a, b = piece(endpoint("10.244.0.4")), piece(endpoint("10.244.0.5"), name="b")
    seen: list[list[Slice]] = []
    requests = Recorded([a], [event("ADDED", b) + event("MODIFIED", piece(name="a")), event("DELETED", b)])

    Slices(requests, on_change=seen.append).follow()

    assert seen == [[a], [a, b], [piece(name="a"), b], [piece(name="a")]]
    assert requests.asked[0]["resourceVersion"] == "7"


def test_an_expired_watch_ends_without_a_change() -> None:
    """Status 410 comes as an event; the caller lists again."""
    seen: list[list[Slice]] = []
    requests = Recorded([], [event("ERROR", {"code": 410}), event("ADDED", piece())])

    Slices(requests, on_change=seen.append).follow()

    assert seen == [[]]


def test_events_may_be_cut_anywhere() -> None:
    """The network knows nothing of lines; half a last line is no event."""
    whole = event("ADDED", piece()) + event("DELETED", piece()) + b'{"type": "MOD'

    found = list(events(whole[i : i + 7] for i in range(0, len(whole), 7)))

    assert [one["type"] for one in found] == ["ADDED", "DELETED"]
