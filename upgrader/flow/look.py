"""Look: the reads of the cluster that a survey is made of. Nothing is written; applies are dry runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from upgrader.errors import Refused
from upgrader.model.fleet import Fleet
from upgrader.model.playbook import Release
from upgrader.model.plugins import Signal
from upgrader.model.ports import Clock, Denied, Kube, Manifest, Ref, Rendered
from upgrader.model.reading import Reading
from upgrader.model.rights import LIST_ALL_PODS, LIST_NODES, LIST_WEBHOOKS, Right
from upgrader.model.subjects import by_ref, front_service, webhook_namespaces

HELM_MANAGER = "helm"
"""The field manager of Helm's own server-side apply (Helm 4, ``pkg/kube``)."""
LATE_ANSWER_SECONDS = 60.0
"""How long a trial waits for a balancer whose API answers questions later."""
_NEAR = (
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
)


def ask_rights(kube: Kube, needed: Iterable[Right]) -> dict[str, bool]:
    """Ask for each right, and file the answer under its key."""
    return {one.key: kube.allowed(one.verb, one.ref, subresource=one.subresource) for one in needed}


def live_objects(kube: Kube, sent: Iterable[Manifest]) -> dict[Ref, Manifest]:
    """Return those of the objects that exist, as they are now."""
    found = {ref: kube.get(ref) for ref in by_ref(sent)}
    return {ref: one for ref, one in found.items() if one}


def dry_run(kube: Kube, objects: Iterable[Manifest], *, method: str) -> dict[Ref, Manifest | Denied]:
    """Send each object as Helm will send it, without effect.

    Args:
        kube: The API.
        objects: What to send.
        method: ``ssa``: never forced, so that conflicts show. ``csa``: Helm's client-side apply knows no
            conflicts (the last writer wins), so forced, to get at the answer of admission.
    """
    answers: dict[Ref, Manifest | Denied] = {}
    for ref, one in by_ref(objects).items():
        try:
            answers[ref] = kube.apply(one, manager=HELM_MANAGER, dry_run=True, force=method == "csa")
        except Refused as refusal:
            answers[ref] = Denied(ref, 403, refusal.what)
    return answers


def nearby(kube: Kube, namespace: str, rights: Mapping[str, bool]) -> tuple[Manifest, ...]:
    """Return what else may matter, as far as we may list it: pods, nodes, webhooks, autoscalers …"""
    found = [one for api, kind in _NEAR for one in kube.list(api, kind, namespace=namespace)]
    found += kube.list("v1", "Pod", namespace="" if rights[LIST_ALL_PODS.key] else namespace)
    for right in (LIST_NODES, *LIST_WEBHOOKS):
        if rights[right.key]:
            found += kube.list(right.ref.api_version, right.ref.kind)
    for where in sorted(webhook_namespaces(found)):
        found += kube.list("discovery.k8s.io/v1", "EndpointSlice", namespace=where)
    return tuple(found)


def trial(clock: Clock, signals: Sequence[Signal], fleet: Fleet) -> dict[str, Reading]:
    """Look twice, an interval apart: counters speak only of what came between two looks.

    A balancer whose API answers later than that says so (``is_waiting``), and is looked at until it has.
    """
    for signal in signals:
        signal.read(fleet)
    if signals:
        clock.sleep(max(signal.interval_seconds for signal in signals))
    return {signal.name: _spoken(clock, signal, fleet) for signal in signals}


def _spoken(clock: Clock, signal: Signal, fleet: Fleet) -> Reading:
    reading, until = signal.read(fleet), clock.monotonic() + LATE_ANSWER_SECONDS
    while getattr(signal, "is_waiting", False) and clock.monotonic() < until:
        clock.sleep(signal.interval_seconds)
        reading = signal.read(fleet)
    return reading


def chosen(
    kube: Kube, release: Release, old: Rendered, deployments: Sequence[Manifest]
) -> dict[str, Sequence[Manifest]]:
    """Return each group's live Deployments; where the playbook has none, one group for each."""
    if release.workloads:
        return {
            group: kube.list("apps/v1", "Deployment", namespace=release.namespace, selector=one.selector)
            for group, one in release.workloads.items()
        }
    held = by_ref(old.objects)
    return {one["metadata"]["name"]: (one,) for one in deployments if Ref.of(one) in held}


def services(
    kube: Kube, release: Release, old: Rendered, deployments: Iterable[Manifest]
) -> dict[str, Manifest]:
    """Return the Service of each group; where the playbook has none, the one that lets traffic in."""
    if release.workloads:
        wanted = {group: one.service for group, one in release.workloads.items() if one.service}
    else:
        fronts = {one["metadata"]["name"]: front_service(one, old.objects) for one in deployments}
        wanted = {group: one["metadata"]["name"] for group, one in fronts.items() if one}
    found = {group: kube.get(Ref("v1", "Service", release.namespace, name)) for group, name in wanted.items()}
    return {group: one for group, one in found.items() if one}
