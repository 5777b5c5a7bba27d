"""Can each data-plane workload be rolled in batches?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref
from upgrader.model.subjects import nearby, on_data_path, serves, subjects

RULES: Mapping[str, str] = {
    "strategy-recreate": "A Deployment uses Recreate: all its pods go before a new one comes.",
    "kind-unsupported": "What serves the gateway's Service is no Deployment: it cannot be batched.",
    "strategy-dips": "The chart's own strategy lets pods be missing: so it would be in a rollback by hand.",
    "host-port": "A data-plane pod takes a port of its node: no second one fits beside it.",
}
ONLY_FOR = dict.fromkeys(("strategy-recreate", "strategy-dips", "host-port"), ("rolling",))

_SOURCE = "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what stands against batches."""
    for one in subjects(survey):
        if one.rollout is None:
            yield Finding(
                "strategy-recreate",
                Severity.BLOCK,
                f"{one.ref} has strategy Recreate",
                "use RollingUpdate",
                _SOURCE,
            )
    for one in on_data_path(survey):
        if one.rollout and one.rollout.unavailable:
            yield Finding(
                "strategy-dips",
                Severity.INFO,
                f"{one.ref} may miss {one.rollout.unavailable} of {one.replicas} pods by its own strategy",
                "nothing for this run (batches keep all available); by hand maxUnavailable 0 is safer",
                _SOURCE,
            )
        if ports := _host_ports(one.planned):
            yield Finding(
                "host-port",
                Severity.WARN,
                f"{one.ref} takes {ports} of its node",
                "there must be a node without such a pod for every pod of surge",
                _SOURCE,
            )
    yield from _unsupported(survey)


def _host_ports(workload: Manifest) -> str:
    if manifests.pod_spec(workload).get("hostNetwork"):
        return "the network (hostNetwork)"
    ports = (port for one in manifests.containers(workload) for port in one.get("ports") or ())
    return ", ".join(f"port {port['hostPort']}" for port in ports if port.get("hostPort"))


def _unsupported(survey: Survey) -> Iterator[Finding]:
    seen: dict[Ref, str] = {}
    for group, service in survey.services.items():
        for rendered in survey.new.objects:
            if rendered.get("kind") in ("DaemonSet", "StatefulSet") and serves(service, rendered):
                seen.setdefault(Ref.of(rendered), group)
        for pod in nearby(survey, "Pod"):
            owner = _foreign_owner(survey, pod, service)
            if owner:
                seen.setdefault(owner, group)
    for ref, group in seen.items():
        yield Finding(
            "kind-unsupported",
            Severity.BLOCK,
            f"{ref} serves the Service of {group}",
            "this version rolls Deployments only; run it as a Deployment, or wait for support",
        )


def _foreign_owner(survey: Survey, pod: Manifest, service: Manifest) -> Ref | None:
    """Return who owns a pod behind the Service, if no Deployment does; the pod if nobody."""
    is_behind = pod["metadata"].get("namespace") == service["metadata"].get(
        "namespace"
    ) and manifests.selects((service.get("spec") or {}).get("selector") or {}, manifests.labels_of(pod))
    if not is_behind:
        return None
    owner = manifests.owner(pod)
    if owner is None:
        return Ref.of(pod)
    if owner.kind != "ReplicaSet":
        return owner
    sets = {one["metadata"]["name"]: one for one in nearby(survey, "ReplicaSet")}
    above = manifests.owner(sets[owner.name]) if owner.name in sets else None
    return above if above and above.kind != "Deployment" else None
