"""What a playbook means where it says nothing, and that it reads back what it writes."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from upgrader.model.balancing import EnvoyBalancer, GcpNegBalancer, HaproxyBalancer, HealthCheck
from upgrader.model.playbook import Playbook
from upgrader.model.strategy import Rolling
from upgrader.model.units import Share, batch_targets
from upgrader.model.watching import EnvoyStats, FromEnvironment, PluginSignal, Synthetic, probe_names

SMALLEST: dict[str, Any] = {
    "apiVersion": "upgrader/v1",
    "name": "demo",
    "releases": [
        {
            "name": "gateway",
            "namespace": "gateway-system",
            "chart": {"ref": "oci://registry.example/gateway", "from": "1.11.28", "to": "1.11.30"},
        }
    ],
    "signals": [{"kind": "envoy_stats", "port": 19000}],
}


def playbook(**changes: Any) -> Playbook:
    return Playbook.read(SMALLEST | changes)


def test_what_is_left_out_has_the_documented_default() -> None:
    """The whole of a smallest playbook."""
    said_nothing = playbook()

    assert said_nothing.context is None
    assert said_nothing.release.workloads == {}
    assert isinstance(said_nothing.strategy, Rolling)
    assert batch_targets(said_nothing.strategy.batches, 20) == (1, 2, 10, 20)
    assert said_nothing.strategy.ready_within == timedelta(minutes=5)
    assert said_nothing.signals == (EnvoyStats(kind="envoy_stats", port=19000, reach="auto", group=None),)
    assert said_nothing.limits.error_ratio.tolerate == 0.001
    assert said_nothing.limits.error_ratio.exclude == 0.05
    assert said_nothing.limits.error_ratio.ceiling == 0.05
    assert said_nothing.limits.false_alarm == 0.001
    assert said_nothing.gate.stand == timedelta(minutes=2)
    assert said_nothing.bake == timedelta(minutes=10)
    assert (said_nothing.blind.hold, said_nothing.blind.then) == (timedelta(minutes=2), "pause")
    assert not said_nothing.checks.waive
    assert not said_nothing.checks.declare.config_compatible


def test_the_kinds_that_ship_with_us_have_their_own_models() -> None:
    """Times, rates and headers arrive typed."""
    full = playbook(
        signals=[
            {"kind": "rollout"},
            {"kind": "synthetic", "url": "https://a/b", "rate": "30/m", "headers": {"x-key": {"env": "KEY"}}},
        ],
        balancers=[
            {
                "kind": "envoy",
                "admin": "http://10.0.0.5:9901",
                "cluster": "gateways",
                "health_check": {"interval": "1s", "unhealthy": 2},
            }
        ],
    )
    probe, balancer = full.signals[1], full.balancers[0]

    assert isinstance(probe, Synthetic)
    assert (probe.rate, probe.expect, probe.timeout) == (0.5, 200, timedelta(seconds=2))
    assert probe.headers == {"x-key": FromEnvironment(env="KEY")}
    assert isinstance(balancer, EnvoyBalancer)
    assert balancer.settle == timedelta(seconds=30)
    assert full.signals[0].settings == {}
    assert balancer.settings == {
        "admin": "http://10.0.0.5:9901",
        "cluster": "gateways",
        "green": None,
        "split": None,
        "settle": timedelta(seconds=30),
        "health_check": HealthCheck(interval=timedelta(seconds=1), unhealthy=2),
    }


HAPROXY = {"kind": "haproxy", "socket": "unix:/run/haproxy/admin.sock", "backend": "gw-blue"}
MOVES = {"green": "gw-green", "map": "/etc/haproxy/green.map"}


@pytest.mark.parametrize(
    "keys", [{}, MOVES, {"socket": "10.0.0.5:9999"}, {"socket": "[fd00::5]:9999"}, {"map": "virt@g"} | MOVES]
)
def test_a_haproxy_is_asked_by_its_socket(keys: dict[str, str]) -> None:
    balancer = playbook(balancers=[HAPROXY | keys]).balancers[0]

    assert isinstance(balancer, HaproxyBalancer)
    assert balancer.settings["delay"] == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"socket": "http://10.0.0.5:9999"}, "unix:/PATH or HOST:PORT"),
        ({"socket": "unix:run/haproxy.sock"}, "unix:/PATH or HOST:PORT"),
        ({"backend": "gw blue;disable"}, "letters, digits"),
        (MOVES | {"map": "/etc/my maps"}, "without blanks"),
        ({"green": "gw-green"}, "needs map too"),
        ({"map": "/etc/haproxy/green.map"}, "green is missing"),
        (MOVES | {"green": "gw-blue"}, "another than backend"),
    ],
)
def test_a_haproxy_that_could_not_be_asked_or_moved_is_refused(keys: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        playbook(balancers=[HAPROXY | keys])


def test_a_plugin_of_others_keeps_its_keys_and_is_refused_where_it_is_not_installed() -> None:
    """It validates its own settings."""
    theirs = SMALLEST | {"signals": [{"kind": "acme", "tenant": "blue", "every": 5}]}

    loaded = Playbook.read(theirs, plugins={"signals": ["acme"]})

    assert isinstance(loaded.signals[0], PluginSignal)
    assert loaded.signals[0].settings == {"tenant": "blue", "every": 5}
    for plugins in (None, {"balancers": ["acme"]}):
        with pytest.raises(ValidationError, match="unknown kind"):
            Playbook.read(theirs, plugins=plugins)


def test_a_playbook_reads_back_what_it_writes() -> None:
    """For the journal: units and aliases included."""
    before = playbook(
        strategy={"kind": "rolling", "batches": [1, "7.5%", "100%"], "ready_within": "90s"},
        limits={"error_ratio": {"tolerate": "0.05%", "exclude": "20%"}, "false_alarm": "1%"},
        signals=[{"kind": "synthetic", "url": "https://a/", "rate": "7/h", "headers": {"a": "b"}}],
        gate={"stand": "1500ms"},
        checks={"waive": [{"rule": "pdb", "reason": "CHG-1"}], "declare": {"hooks_safe": ["migrate"]}},
        lab={"images": {"envoyproxy/envoy": {"run": "envoy"}}},
    )

    written = before.model_dump(mode="json", by_alias=True)

    assert written["strategy"]["batches"] == [1, "7.5%", "100%"]
    assert written["limits"]["error_ratio"]["tolerate"] == "0.05%"
    assert written["gate"]["stand"] == "1s500ms"
    assert Playbook.read(written) == before


def test_a_playbook_cannot_be_changed() -> None:
    """Nothing edits what the operator wrote."""
    with pytest.raises(ValidationError, match="frozen"):
        playbook().bake = timedelta(seconds=1)  # type: ignore[misc]


def test_batches_are_numbers_or_shares() -> None:
    """Two types, so that 1 is never taken for 100 %."""
    strategy = playbook().strategy
    assert isinstance(strategy, Rolling)

    kinds = [type(batch) for batch in strategy.batches]

    assert kinds == [int, Share, Share, Share]


def test_a_chart_kept_one_file_a_version_is_named_by_a_place_holder() -> None:
    """So that the lab can install the old one first."""
    release = copy.deepcopy(SMALLEST["releases"][0])
    release["chart"]["ref"] = "charts/gateway-{version}"

    chart = playbook(releases=[release]).release.chart

    assert chart.is_local
    assert (chart.at("1.11.28"), chart.at("1.11.30")) == ("charts/gateway-1.11.28", "charts/gateway-1.11.30")


@pytest.mark.parametrize(
    "selector",
    ["app=gloo,gloo=gloo", "tier in (a, b),!old", "a!=b", "a==b", "app.kubernetes.io/name=x", "canary"],
)
def test_a_label_selector_is_taken_as_kubectl_takes_it(selector: str) -> None:
    """Equality and sets."""
    release = SMALLEST["releases"][0] | {"workloads": {"proxies": {"selector": selector}}}

    assert playbook(releases=[release]).release.workloads["proxies"].selector == selector


def parts_of(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """Collect a model and all models in its fields."""
    if model in seen:
        return seen
    seen.add(model)
    pending = [field.annotation for field in model.model_fields.values()]
    while pending:
        annotation = pending.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            parts_of(annotation, seen)
        pending.extend(getattr(annotation, "__args__", ()))
    return seen


def test_every_field_that_may_be_left_out_says_its_default() -> None:
    """An operator never reads code to learn what happens; parts of their own say it one level down."""
    silent = [
        f"{model.__name__}.{name}"
        for model in parts_of(Playbook, set())
        for name, field in model.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
        and name not in ("kind", "then")
        and not any(
            word in (field.description or "") for word in ("Default", "Required", "Pause", "one in this")
        )
    ]

    assert silent == []


NAMES: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "alone": ([{"url": "https://a/orders?key=secret"}], ["synthetic 200 /orders"]),
    "no path": ([{"url": "https://a"}], ["synthetic 200 /"]),
    "another answer": (
        [{"url": "https://a/x"}, {"url": "https://b/x", "expect": 401}],
        ["synthetic 200 /x", "synthetic 401 /x"],
    ),
    "another host": (
        [{"url": "https://a/x"}, {"url": "https://b:8443/x"}, {"url": "https://a/y"}],
        ["synthetic 200 a/x", "synthetic 200 b:8443/x", "synthetic 200 /y"],
    ),
    "another scheme": (
        [{"url": "http://a/x"}, {"url": "https://a/x"}],
        ["synthetic 200 http://a/x", "synthetic 200 https://a/x"],
    ),
    "another query or header": (
        [
            {"url": "https://a/x"},
            {"url": "https://a/x?key=secret"},
            {"url": "https://a/x", "headers": {"h": "secret"}},
        ],
        ["synthetic 200 https://a/x (1)", "synthetic 200 https://a/x (2)", "synthetic 200 https://a/x (3)"],
    ),
}


@pytest.mark.parametrize(("probes", "names"), NAMES.values(), ids=NAMES)
def test_no_two_probes_have_the_same_name(probes: list[dict[str, Any]], names: list[str]) -> None:
    """Names are keys in the journal; they say no more than tells them apart, and no secret."""
    assert list(probe_names([Synthetic(kind="synthetic", **one) for one in probes])) == names


def gcp(**changes: Any) -> Playbook:
    entry = {"kind": "gcp_neg", "project": "acme", "backend_service": "edge", **changes}
    return playbook(balancers=[entry])


def test_googles_balancer_has_the_documented_defaults() -> None:
    (balancer,) = gcp(green="edge-green", url_map="front").balancers

    assert isinstance(balancer, GcpNegBalancer)
    assert (balancer.settle, balancer.delay) == (timedelta(minutes=5), timedelta(seconds=60))
    assert (balancer.endpoint, balancer.region) == ("https://compute.googleapis.com", None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"green": "edge-green"}, "needs url_map beside it"),
        ({"url_map": "front"}, "needs green beside it"),
        ({"green": "edge", "url_map": "front"}, "must be another backend service"),
        ({"endpoint": "http://compute.example.com"}, "a token is not sent in the clear"),
    ],
)
def test_googles_balancer_refuses_what_cannot_be(changes: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        gcp(**changes)
