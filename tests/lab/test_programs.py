"""The demo's programs: what the control plane serves, what the controller makes, what stops a migration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from upgrader.lab.programs._xds import Node, Settings, resources, version_of
from upgrader.lab.programs.control_plane import ControlPlane, read_keys
from upgrader.lab.programs.migrate import faults_of
from upgrader.lab.programs.proxy_operator import Operator, deployment
from upgrader.lab.programs.proxy_operator import Settings as OperatorSettings

OLD, NEW = Node("1.11.28"), Node("1.11.30")


def settings(*, bad: str = "", keys: dict[str, str] | None = None) -> Settings:
    return Settings("1.11.30", "upstream", 8081, bad, keys or {})


def request(node: Node = OLD) -> dict[str, Any]:
    return {"node": {"metadata": {"version": node.version, "bind": node.bind}}, "type_url": "any"}


def routes(node: Node, bad: str) -> list[Any]:
    (table,) = resources("routes", node, settings(bad=bad))
    found: list[Any] = table["virtual_hosts"][0]["routes"]
    return found


def test_a_listener_has_the_filters_in_the_order_that_matters() -> None:
    """Health before keys, so that a balancer needs none; the header is stripped after health was checked."""
    (listener,) = resources("listeners", OLD, settings(keys={"a": "k"}))

    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert [one["name"].rpartition(".")[2] for one in manager["http_filters"]] == [
        "header_mutation",
        "health_check",
        "rbac",
        "api_key_auth",
        "local_ratelimit",
        "fault",
        "router",
    ]


def test_a_proxy_that_wants_no_listener_gets_none() -> None:
    """The drill no-listener."""
    assert resources("listeners", Node("1.11.30", bind=""), settings()) == []


@pytest.mark.parametrize(
    ("node", "bad", "count"),
    [
        (OLD, "", 2),
        (NEW, "", 2),
        (OLD, "lost", 0),
        (NEW, "lost", 2),
        (OLD, "rejected", 2),
        (NEW, "rejected", 2),
    ],
)
def test_a_bad_control_plane_loses_the_route_of_other_versions_only(node: Node, bad: str, count: int) -> None:
    """Its own proxies look well."""
    assert len(routes(node, bad)) == count


def test_a_refused_table_is_for_other_versions_only() -> None:
    """A regular expression that cannot be compiled, which Envoy refuses."""
    assert "safe_regex" in routes(OLD, "rejected")[-1]["match"]
    assert "prefix" in routes(NEW, "rejected")[-1]["match"]


def test_the_version_follows_the_content() -> None:
    """The same content is the same version; one more key is another."""
    one, two = (resources("listeners", OLD, settings(keys={"a": key})) for key in ("k", "l"))

    assert version_of(one, settings()) == version_of(one, settings()) != version_of(two, settings())


def test_a_new_key_is_served_without_a_restart(tmp_path: Path) -> None:
    """The Secret's files are read for each answer; what the volume hides is no key."""
    (tmp_path / "client-0").write_text("first\n")
    (tmp_path / "..data").mkdir()
    plane = ControlPlane(settings(), keys_folder=tmp_path)
    _, before = plane.discover("/v3/discovery:listeners", request())
    (tmp_path / "client-1").write_text("second")

    status, after = plane.discover("/v3/discovery:listeners", request())

    assert status == 200
    assert read_keys(tmp_path) == {"client-0": "first", "client-1": "second"}
    assert before["version_info"] != after["version_info"]
    assert "second" in json.dumps(after)


@pytest.mark.parametrize(
    ("path", "status"), [("/readyz", 200), ("/version", 200), ("/v3/discovery:listeners", 404), ("/", 404)]
)
def test_what_can_be_got(path: str, status: int) -> None:
    """Readiness and version; discovery is asked by POST."""
    assert ControlPlane(settings(), keys_folder=None).get(path)[0] == status


def test_an_unknown_kind_is_not_found() -> None:
    """Envoy would otherwise take an empty answer for the truth."""
    assert ControlPlane(settings(), keys_folder=None).discover("/v3/discovery:secrets", request())[0] == 404


@pytest.mark.parametrize(
    ("keys", "faults"),
    [
        ({"a": "k", "b": "l"}, 0),
        ({}, 0),
        ({"a": ""}, 1),
        ({"a": "k", "b": "k"}, 1),
        ({"a": "k", "b": "k", "c": "k"}, 2),
    ],
)
def test_a_migration_stops_at_keys_that_do_not_tell_clients_apart(keys: dict[str, str], faults: int) -> None:
    """Empty and shared keys; the key itself is never told."""
    found = faults_of(keys)

    assert len(found) == faults
    assert not any("'k'" in fault for fault in found)


class Cluster:
    """One EdgeProxy, and the Deployment that was last applied."""

    def __init__(self) -> None:
        self.current: dict[str, Any] | None = None
        self.status: dict[str, Any] = {}

    def get(self, path: str) -> dict[str, Any] | None:
        if path.endswith("/edgeproxies"):
            return {"items": [edge()]}
        assert path == "/apis/apps/v1/namespaces/n/deployments/edge-proxy-east"
        return self.current

    def apply(self, path: str, manifest: dict[str, Any], *, manager: str) -> None:
        if path.endswith("/status"):
            self.status = manifest["status"]
        else:
            self.current = manifest


def edge() -> dict[str, Any]:
    return {"metadata": {"name": "east", "uid": "u"}, "spec": {"replicas": 2}}


def operator(cluster: Cluster, version: str, now: list[float]) -> Operator:
    template = {"metadata": {"labels": {"component": "proxy", "version": version}}, "spec": {}}
    made = OperatorSettings("n", version, template, late_seconds=8.0)
    return Operator(cluster, made, clock=lambda: now[0])


def test_the_first_proxies_are_made_at_once() -> None:
    """Nobody holds the lease yet."""
    cluster = Cluster()

    operator(cluster, "1", [0.0]).reconcile()

    assert cluster.current is not None
    assert cluster.current["spec"]["replicas"] == 2
    assert cluster.status == {"programmed": True, "version": "1"}


def test_a_new_controller_touches_proxies_of_the_old_one_late() -> None:
    """As one that waits for its lease; before that the old template stands."""
    cluster, now = Cluster(), [0.0]
    operator(cluster, "1", now).reconcile()
    late = operator(cluster, "2", now)
    versions = []
    for now[0] in (0.0, 7.9, 8.0):
        late.reconcile()
        assert cluster.current is not None
        versions.append(cluster.current["metadata"]["labels"]["version"])

    assert versions == ["1", "1", "2"]


def test_a_controller_owns_no_more_than_it_must() -> None:
    """What others set beside it (paused, strategy) survives its force."""
    made = deployment(edge(), OperatorSettings("n", "1", {"spec": {}}, late_seconds=0.0))

    assert set(made["spec"]) == {"replicas", "selector", "template"}
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert made["spec"]["selector"]["matchLabels"].items() <= {"component": "proxy", "pool": "east"}.items()
