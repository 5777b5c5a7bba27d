"""Rows for what concerns the cluster around: rights, room, webhooks, signals."""

from __future__ import annotations

from tests.checks.rows import (
    BLOCK,
    INFO,
    WARN,
    Change,
    Row,
    add,
    all_of,
    edit,
    nothing,
    playbook,
    proxies,
    proxy,
    put,
)
from upgrader.model.reading import Fact, Reading, Weight
from upgrader.testing.surveys import an_object, hook, node


def reached(way: str, *missing: str) -> Change:
    """Read the proxies by a way, some rights missing."""
    signals = [{"kind": "envoy_stats", "port": 9901, "reach": way}]
    return all_of(playbook("signals", signals), put(missing_rights=set(missing)))


PROXY, FORWARD, BY_GET = (
    "get Pod/proxy in edge",
    "create Pod/portforward in edge",
    "get Pod/portforward in edge",
)
RIGHTS = (
    Row("rights-observe", "no pods", BLOCK, put(missing_rights={"watch Pod in edge"}), "watch Pod in edge"),
    Row("rights-observe", "no proxies through the API server", BLOCK, reached("apiserver", PROXY), PROXY),
    Row("rights-observe", "no port-forward", BLOCK, reached("portforward", FORWARD), FORWARD),
    Row("rights-observe", "no WebSocket", BLOCK, reached("portforward", BY_GET), BY_GET),
    Row("rights-observe", "straight", None, reached("direct", PROXY, FORWARD, BY_GET)),
    Row("rights-observe", "another way", None, reached("apiserver", FORWARD, BY_GET)),
    Row("rights-observe", "any way", None, reached("auto", PROXY, FORWARD, BY_GET)),
    Row("rights-observe", "all", None, nothing),
    Row("rights-brake", "no patch", BLOCK, put(missing_rights={"get Deployment in edge"})),
    Row("rights-brake", "all", None, nothing),
    Row("rights-helm", "no Secrets", BLOCK, put(missing_rights={"create Secret in edge"})),
    Row("rights-helm", "all", None, nothing),
    Row(
        "rights-wide", "no nodes", WARN, put(missing_rights={"list Node everywhere"}), "list Node everywhere"
    ),
    Row("rights-wide", "all", None, nothing),
    Row("rights-reach", "no port-forward", WARN, reached("auto", FORWARD), f"we may not: {FORWARD}"),
    Row("rights-reach", "no proxies through the API server", WARN, reached("auto", PROXY), PROXY),
    Row("rights-reach", "a named way", None, reached("portforward", FORWARD)),
    Row("rights-reach", "all", None, reached("auto")),
)

ALONE = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "gateway"}}}
        ]
    }
}
TEMPLATE = "spec.template.spec"
SURGE_5 = {"rollingUpdate": {"maxSurge": 5, "maxUnavailable": 0}}
NODES_3 = [node("n1"), node("n2"), node("n3")]
NODES_4 = [*NODES_3, node("n4")]
TAINT = {"key": "edge", "value": "only", "effect": "NoSchedule"}
TAINTED = [node("n1", taints=[TAINT]), node("n2", taints=[TAINT])]
TOLERATED = [{"key": "edge", "operator": "Exists"}]
CORDONED = [node("n1", unschedulable=True), node("n2")]

ROOM = (
    Row(
        "surge-room",
        "full",
        BLOCK,
        put(nodes=[node("n1", cpu="1.5"), node("n2", cpu="1")]),
        "0 pods of surge fit",
    ),
    Row(
        "surge-room",
        "for two of five",
        WARN,
        all_of(put(nodes=[node("n1", cpu="2.5"), node("n2", cpu="1")]), proxies("spec.strategy", SURGE_5)),
        "2 pods",
    ),
    Row(
        "surge-room",
        "alone on every node",
        BLOCK,
        all_of(put(nodes=NODES_3), proxies(f"{TEMPLATE}.affinity", ALONE)),
    ),
    Row(
        "surge-room",
        "alone and a node left",
        None,
        all_of(put(nodes=NODES_4), proxies(f"{TEMPLATE}.affinity", ALONE)),
    ),
    Row(
        "surge-room",
        "host port on every node",
        BLOCK,
        all_of(put(nodes=NODES_3), proxy("ports.0.hostPort", 80)),
    ),
    Row("surge-room", "tainted", BLOCK, put(nodes=TAINTED)),
    Row(
        "surge-room",
        "tolerated",
        None,
        all_of(
            put(nodes=TAINTED),
            proxies(f"{TEMPLATE}.tolerations", TOLERATED),
            edit("Deployment", "control", f"{TEMPLATE}.tolerations", TOLERATED),
        ),
    ),
    Row("surge-room", "no such node", BLOCK, proxies(f"{TEMPLATE}.nodeSelector", {"pool": "edge"})),
    Row("surge-room", "room", None, nothing),
    Row("surge-room-unknown", "no nodes seen", WARN, put(nodes=[])),
    Row("surge-room-unknown", "seen", None, nothing),
    Row("node-unwell", "cordoned", WARN, put(nodes=CORDONED), "node n1: cordoned"),
    Row("node-unwell", "not one of ours", None, add(node("n9", unschedulable=True), to="near")),
)


def webhook(ca: str = "Q0E=", policy: str = "Fail") -> dict[str, object]:
    client = {"service": {"namespace": "edge", "name": "control"}, **({"caBundle": ca} if ca else {})}
    hooks = [{"name": "check.edge", "failurePolicy": policy, "clientConfig": client}]
    return an_object(
        "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", name="checker", webhooks=hooks
    )


def endpoints(*, ready: bool) -> dict[str, object]:
    labels = {"kubernetes.io/service-name": "control"}
    return an_object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        name="control-1",
        metadata={"labels": labels},
        endpoints=[{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
    )


SERVED = add(endpoints(ready=True), to="near")
WEBHOOKS = (
    Row("webhook-unanswered", "no endpoint", BLOCK, add(webhook(), to="old new"), "Service edge/control"),
    Row(
        "webhook-unanswered",
        "not ready",
        BLOCK,
        all_of(add(webhook(), to="old new"), add(endpoints(ready=False), to="near")),
    ),
    Row("webhook-unanswered", "ignored", WARN, add(webhook(policy="Ignore"), to="old new")),
    Row("webhook-unanswered", "ready", None, all_of(add(webhook(), to="old new"), SERVED)),
    Row(
        "webhook-without-ca",
        "of a hook",
        BLOCK,
        all_of(
            add(
                hook(
                    "ValidatingWebhookConfiguration",
                    "checker",
                    events="pre-upgrade",
                    **{
                        "apiVersion": "admissionregistration.k8s.io/v1",
                        "webhooks": webhook(ca="")["webhooks"],
                    },
                ),
                to="old_hooks new_hooks",
            ),
            SERVED,
        ),
    ),
    Row("webhook-without-ca", "filled", None, all_of(add(webhook(), to="old new"), SERVED)),
    Row(
        "webhook-ca-lost",
        "rendered empty",
        BLOCK,
        all_of(add(webhook(), to="old"), add(webhook(ca=""), to="new"), SERVED),
    ),
    Row("webhook-ca-lost", "kept", None, all_of(add(webhook(), to="old new"), SERVED)),
)


def reading(**parts: object) -> dict[str, Reading]:
    values: dict[str, object] = {"read_at": 1.0, "data_time": 1.0, "source": "admin pages", **parts}
    return {"stats": Reading("stats", **values)}  # type: ignore[arg-type]


SIGNALS = (
    Row("signal-none", "none", BLOCK, put(trial={})),
    Row("signal-none", "one", None, nothing),
    Row(
        "signal-blind",
        "no answer",
        BLOCK,
        put(trial=reading(data_time=None, error="refused")),
        "admin pages): refused",
    ),
    Row("signal-blind", "reads", None, put(trial=reading())),
    Row("signal-partial", "a third", WARN, put(trial=reading(complete=False, unread_ratio=1 / 3)), "33%"),
    Row("signal-partial", "all", None, put(trial=reading())),
    Row(
        "baseline-red",
        "a breach",
        BLOCK,
        put(trial=reading(facts=(Fact(Weight.BREACH, "crash-loop", "pod x"),))),
    ),
    Row("baseline-red", "a note", None, put(trial=reading(facts=(Fact(Weight.NOTE, "slow", "a little"),)))),
    Row(
        "signal-note",
        "sticky clients",
        INFO,
        put(trial=reading(facts=(Fact(Weight.NOTE, "group-stickiness", "clients stay"),))),
        "stats: group-stickiness: clients stay",
    ),
    Row("signal-note", "a breach", None, put(trial=reading(facts=(Fact(Weight.BREACH, "crash-loop", "x"),)))),
)

ROWS = (*RIGHTS, *ROOM, *WEBHOOKS, *SIGNALS)
