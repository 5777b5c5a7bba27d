"""A survey of a good gateway, to be made worse in one respect: for the tests of checks and strategies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upgrader.model.definitions import is_definition, name_of
from upgrader.model.manifests import labels_of, pod_spec, pod_template
from upgrader.model.playbook import Playbook
from upgrader.model.plugins import Beside, Survey
from upgrader.model.ports import Chart, Denied, Manifest, Ref, ReleaseStatus, Rendered, Revision
from upgrader.model.reading import Reading
from upgrader.model.rights import WRITE_DEFINITIONS, needed_rights
from upgrader.model.subjects import by_ref, grouped
from upgrader.model.watching import KeysOf

NAMESPACE = "edge"
OLD_VERSION, NEW_VERSION = "1.11.28", "1.11.30"

DRAIN = (
    "curl -sX POST localhost:9901/healthcheck/fail; sleep 2.5; "
    "curl -sX POST 'localhost:9901/drain_listeners?graceful'; sleep 3"
)
"""The drain recipe: two checks a second apart, and half a second (lab research, section 2)."""


def playbook_data() -> dict[str, Any]:
    """Return the good playbook as plain data; its balancer is of a made-up kind, ``front``."""
    return {
        "apiVersion": "upgrader/v1",
        "name": "good",
        "releases": [
            {
                "name": "gateway",
                "namespace": NAMESPACE,
                "chart": {"ref": "./chart", "from": OLD_VERSION, "to": NEW_VERSION},
                "workloads": {
                    "control_plane": {"selector": "app=control"},
                    "proxies": {"selector": "app=gateway", "service": "gateway"},
                },
            }
        ],
        "signals": [{"kind": "rollout"}],
        "balancers": [{"kind": "front", "health_check": {"interval": "1s", "unhealthy": 2}}],
    }


def deployment(name: str, *, replicas: int, container: dict[str, Any], **pod: Any) -> Manifest:
    """Return a Deployment whose pods have the label ``app: NAME``; more goes into the pod's spec."""
    spec = {"containers": [container], **pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "generation": 1, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


def an_object(api_version: str, kind: str, *, name: str, **content: Any) -> Manifest:
    """Return any other object of the release's namespace."""
    metadata = {"name": name, "namespace": NAMESPACE, **content.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def hook(kind: str, name: str, *, events: str, **content: Any) -> Manifest:
    """Return a Helm hook; a Job unless its content says otherwise."""
    template = {"template": {"spec": {"containers": [{"name": "run", "image": f"{name}:1"}]}}}
    metadata = {"annotations": {"helm.sh/hook": events}}
    return an_object("batch/v1", kind, name=name, **{"metadata": metadata, "spec": template, **content})


def good_objects(version: str) -> list[Manifest]:
    """Return what the good chart renders in one version; only the images differ."""
    requests = {"requests": {"cpu": "500m", "memory": "256Mi"}}
    proxy = {
        "name": "envoy",
        "image": f"gateway:{version}",
        "resources": requests,
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 9901}],
        "readinessProbe": {"httpGet": {"port": "http", "path": "/envoy-hc"}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", DRAIN]}}},
    }
    volumes = [{"name": "bootstrap", "configMap": {"name": "bootstrap"}}]
    bootstrap = {"envoy.yaml": "http_filters: [{name: envoy.filters.http.health_check}]"}
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    control = {"name": "control", "image": f"control:{version}", "resources": requests}
    return [
        an_object("v1", "ConfigMap", name="bootstrap", data=bootstrap),
        an_object(
            "v1",
            "Service",
            name="gateway",
            spec={"type": "LoadBalancer", "selector": {"app": "gateway"}, "ports": ports},
        ),
        deployment("control", replicas=2, container=control),
        deployment("gateway", replicas=3, container=proxy, volumes=volumes, terminationGracePeriodSeconds=30),
        an_object(
            "policy/v1",
            "PodDisruptionBudget",
            name="gateway",
            spec={"maxUnavailable": 1, "selector": {"matchLabels": {"app": "gateway"}}},
        ),
    ]


def node(name: str, *, cpu: str = "8", **spec: Any) -> Manifest:
    """Return a ready node with room for many pods."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": "16Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


@dataclass
class SurveyBuilder:
    """The parts of a survey, open for a change; `build` puts them together.

    Args:
        playbook: Plain data.
        history: The release's revisions.
        old: What known-good holds.
        new: What the target renders.
        old_hooks: Hooks of known-good.
        new_hooks: Hooks of the target.
        is_stable: Two renderings of the target are the same.
        chart_version: Of the pulled chart; empty for a run to a revision of the history.
        live_changes: What was done to live objects since, by kind and name.
        answer_changes: What the API server's answer to the target has beyond what was sent.
        others: Live objects of the namespace that are in no manifest.
        nodes: The nodes.
        near: Further objects near the release.
        answers: What the API server answers instead of taking an object of the target, by kind and name.
        answers_back: The same for known-good.
        missing_rights: Keys of rights we do not have.
        trial: What the signals read.
        beside: The other place, of a strategy that installs beside.
        crds: The definitions in the chart's ``crds/``.
        live_crds: The live definitions that no manifest holds.
        custom: The live objects of each definition's kind, by its name; ``None`` where we may not list.
        unknown_values: Keys that the chart does not know, by where they come from.
        plugins: Kinds that others installed, as `Playbook.read` takes them.
        keys_of: Finds the models of their keys.
    """

    playbook: dict[str, Any] = field(default_factory=playbook_data)
    history: list[Revision] = field(
        default_factory=lambda: [Revision(1, ReleaseStatus.DEPLOYED, f"gateway-{OLD_VERSION}", OLD_VERSION)]
    )
    old: list[Manifest] = field(default_factory=lambda: good_objects(OLD_VERSION))
    new: list[Manifest] = field(default_factory=lambda: good_objects(NEW_VERSION))
    old_hooks: list[Manifest] = field(default_factory=list)
    new_hooks: list[Manifest] = field(default_factory=list)
    is_stable: bool = True
    chart_version: str = NEW_VERSION
    live_changes: list[tuple[str, str, Callable[[Manifest], None]]] = field(default_factory=list)
    answer_changes: list[tuple[str, str, Callable[[Manifest], None]]] = field(default_factory=list)
    others: list[Manifest] = field(default_factory=list)
    nodes: list[Manifest] = field(default_factory=lambda: [node("n1"), node("n2")])
    near: list[Manifest] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    answers_back: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    missing_rights: set[str] = field(default_factory=set)
    trial: dict[str, Reading] = field(
        default_factory=lambda: {
            "rollout": Reading("rollout", read_at=100.0, data_time=100.0, source="watch")
        }
    )

    beside: Beside | None = None
    crds: list[Manifest] = field(default_factory=list)
    live_crds: list[Manifest] = field(default_factory=list)
    custom: dict[str, tuple[Manifest, ...] | None] = field(default_factory=dict)
    unknown_values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    plugins: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"balancers": ["front"]})
    keys_of: KeysOf | None = None

    def change(
        self, kind: str, name: str, how: Callable[[Manifest], None], *, where: str = "old new"
    ) -> None:
        """Change one object in ``old`` or ``new``, or only what is ``live`` or is the ``answer``."""
        for place in where.split():
            later = {"live": self.live_changes, "answer": self.answer_changes}.get(place)
            if later is not None:
                later.append((kind, name, how))
                continue
            objects = {"old": self.old, "new": self.new}[place]
            how(next(one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)))

    def drop(self, kind: str, name: str, *, where: str = "old new") -> None:
        """Take an object out of the old or new manifest."""
        for place in where.split():
            objects = {"old": self.old, "new": self.new}[place]
            objects[:] = [one for one in objects if (one["kind"], one["metadata"]["name"]) != (kind, name)]

    def build(self) -> Survey:
        """Put the survey together, as `upgrader.flow.survey` would have read it."""
        playbook = Playbook.read(self.playbook, plugins=self.plugins, keys_of=self.keys_of)
        live, taken = self._live(), by_ref(deepcopy(self.new))
        _make(self.answer_changes, taken)
        deployments = [one for one in live.values() if one["kind"] == "Deployment"]
        services = _services(playbook, live)
        chosen = {
            group: _matching(one.selector, deployments) for group, one in playbook.release.workloads.items()
        }
        sent = (*self.old, *self.new)
        known_good = max(
            (one.number for one in self.history if one.status is ReleaseStatus.DEPLOYED), default=0
        )
        needed = needed_rights(sent, playbook=playbook, beside=self.beside)
        rights = {one.key: one.key not in self.missing_rights for one in (*needed, *WRITE_DEFINITIONS)}
        chart = Chart(Path("chart.tgz"), "gateway", self.chart_version, "sha256:0")
        return Survey(
            playbook=playbook,
            server_version="v1.37.2",
            cluster_uid="uid",
            helm_version="v4.3.1",
            history=tuple(self.history),
            known_good=known_good,
            apply_method="ssa",
            chart=chart if self.chart_version else None,
            old=Rendered(tuple(self.old), tuple(self.old_hooks)),
            new=Rendered(tuple(self.new), tuple(self.new_hooks), self.is_stable),
            live=live,
            dry_run=_answered(taken, self.answers),
            dry_run_back=_answered(by_ref(deepcopy(self.old)), self.answers_back),
            groups=grouped(chosen, services, deployments, frozenset(by_ref(sent))),
            services=services,
            nearby=self._nearby(live, deployments),
            rights=rights,
            trial=self.trial,
            beside=self.beside,
            **self._definitions(live),
        )

    def _definitions(self, live: dict[Ref, Manifest]) -> dict[str, Any]:
        brought = (*self.crds, *(one for one in self.new if is_definition(one)))
        held = [*self.live_crds, *(one for one in live.values() if is_definition(one))]
        names = {name_of(one) for one in brought}
        found = {name_of(one): one for one in held if name_of(one) in names}
        custom = {**dict.fromkeys(found, ()), **self.custom}
        objects = {name: one for name, one in custom.items() if one is not None}
        return {"crds": brought, "live_crds": found, "custom": objects, "unknown_values": self.unknown_values}

    def _live(self) -> dict[Ref, Manifest]:
        live = by_ref(deepcopy([*self.old, *self.old_hooks, *self.others]))
        for one in live.values():
            if one["kind"] == "Deployment":
                one["status"] = _whole(one["spec"].get("replicas", 1))
            if one["kind"] == "PodDisruptionBudget":
                one["status"] = {"disruptionsAllowed": 1}
        _make(self.live_changes, live)
        return live

    def _nearby(self, live: dict[Ref, Manifest], deployments: list[Manifest]) -> tuple[Manifest, ...]:
        budgets = [one for one in live.values() if one["kind"] == "PodDisruptionBudget"]
        names = [one["metadata"]["name"] for one in self.nodes] or ["n1"]
        pods = [pod for one in deployments for pod in _pods(one, names)]
        return (*budgets, *pods, *self.nodes, *self.near)


def _whole(replicas: int) -> dict[str, int]:
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
    return {"observedGeneration": 1, **counts}


def _pods(workload: Manifest, nodes: list[str]) -> Iterable[Manifest]:
    """Yield the ReplicaSet of a Deployment and its pods, spread over the nodes."""
    name = workload["metadata"]["name"]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "controller": True}
    yield an_object("apps/v1", "ReplicaSet", name=f"{name}-1", metadata={"ownerReferences": [owner]}, spec={})
    above = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-1", "controller": True}
    for number in range(workload["spec"].get("replicas", 1)):
        metadata = {"labels": dict(labels_of(pod_template(workload))), "ownerReferences": [above]}
        spec = {**pod_spec(workload), "nodeName": nodes[number % len(nodes)]}
        yield an_object(
            "v1", "Pod", name=f"{name}-1-{number}", metadata=metadata, spec=spec, status={"phase": "Running"}
        )


def _services(playbook: Playbook, live: dict[Ref, Manifest]) -> dict[str, Manifest]:
    wanted = {group: one.service for group, one in playbook.release.workloads.items() if one.service}
    found = {group: live.get(Ref("v1", "Service", NAMESPACE, name)) for group, name in wanted.items()}
    return {group: one for group, one in found.items() if one}


def _matching(selector: str, deployments: list[Manifest]) -> list[Manifest]:
    key, _, value = selector.partition("=")
    return [one for one in deployments if labels_of(one).get(key) == value]


def _make(changes: list[tuple[str, str, Callable[[Manifest], None]]], objects: dict[Ref, Manifest]) -> None:
    for kind, name, how in changes:
        how(next(one for ref, one in objects.items() if (ref.kind, ref.name) == (kind, name)))


def _answered(
    objects: dict[Ref, Manifest], answers: dict[tuple[str, str], tuple[int, str]]
) -> dict[Ref, Manifest | Denied]:
    found: dict[Ref, Manifest | Denied] = {}
    for ref, one in objects.items():
        answer = answers.get((ref.kind, ref.name))
        found[ref] = Denied(ref, *answer) if answer else one
    return found
