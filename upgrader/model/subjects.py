"""What the checks look at: each workload under upgrade, live and planned, and who sends it traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from upgrader.model import manifests
from upgrader.model.manifests import Rolling
from upgrader.model.plugins import Survey
from upgrader.model.ports import Denied, Manifest, Ref, ReleaseStatus

LOCKED = frozenset(
    {
        ReleaseStatus.PENDING_INSTALL,
        ReleaseStatus.PENDING_UPGRADE,
        ReleaseStatus.PENDING_ROLLBACK,
        ReleaseStatus.UNINSTALLED,
        ReleaseStatus.UNINSTALLING,
    }
)
"""States in which Helm refuses an upgrade, a dry run too."""


@dataclass(frozen=True)
class Subject:
    """One Deployment under upgrade.

    Args:
        ref: Its name.
        group: The playbook's group.
        live: As it is now.
        new: As the target will leave it (the dry run's answer, else as rendered); ``None`` where the
            target does not hold it.
        in_old: The known-good revision holds it.
        service: The Service that sends its pods traffic, if one does.
    """

    ref: Ref
    group: str
    live: Manifest
    new: Manifest | None
    in_old: bool
    service: Manifest | None

    @property
    def replicas(self) -> int:
        """Pods wanted now."""
        found = manifests.replicas(self.live)
        return 1 if found is None else found

    @property
    def is_dependent(self) -> bool:
        """Tell whether it is in no manifest: a controller makes it."""
        return self.new is None and not self.in_old

    @property
    def planned(self) -> Manifest:
        """The new manifest, or the live one where the target holds none."""
        return self.live if self.new is None else self.new

    @property
    def versions(self) -> tuple[tuple[str, Manifest], ...]:
        """The pods that will be stopped in a run, old ones on the way there and new ones on the way back."""
        found = (("old pods", self.live), ("new pods", self.new))
        return tuple((words, manifest) for words, manifest in found if manifest is not None)

    @property
    def rollout(self) -> Rolling | None:
        """Surge and unavailable as planned, in pods; ``None`` for a strategy that recreates."""
        return manifests.rolling(self.planned, replicas=self.replicas)

    @property
    def ports(self) -> frozenset[int]:
        """The container ports that get traffic; empty off the data path."""
        return manifests.target_ports(self.service, self.planned) if self.service else frozenset()


def subjects(survey: Survey) -> tuple[Subject, ...]:
    """Return every Deployment under upgrade that is live, in the playbook's order."""
    namespace = survey.playbook.release.namespace
    new = by_ref(survey.new.objects)
    old = by_ref(survey.old.objects)
    found = []
    for name, group in survey.groups.items():
        ref = Ref("apps/v1", "Deployment", namespace, name)
        live = survey.live.get(ref)
        if live is None:
            continue
        answer = survey.dry_run.get(ref)
        planned = answer if isinstance(answer, dict) else new.get(ref)
        service = next((one for one in survey.services.values() if serves(one, live)), None)
        found.append(Subject(ref, group, live=live, new=planned, in_old=ref in old, service=service))
    return tuple(found)


def is_locked(survey: Survey) -> bool:
    """Tell whether the release is pending or gone: then Helm renders nothing, and `new` is empty."""
    return survey.history[-1].status in LOCKED


def on_data_path(survey: Survey) -> tuple[Subject, ...]:
    """Return the subjects that a group's Service sends traffic to."""
    return tuple(one for one in subjects(survey) if one.service)


def by_ref(objects: Iterable[Manifest]) -> dict[Ref, Manifest]:
    """File objects under their names."""
    return {Ref.of(one): one for one in objects}


def nearby(survey: Survey, kind: str) -> tuple[Manifest, ...]:
    """Return the surveyed objects of one kind that lie near the release."""
    return tuple(one for one in survey.nearby if one.get("kind") == kind)


def has_endpoints(survey: Survey, service: Ref) -> bool:
    """Tell whether a Service near the release has an endpoint that is ready."""
    for one in nearby(survey, "EndpointSlice"):
        is_its = manifests.labels_of(one).get("kubernetes.io/service-name") == service.name
        if is_its and one["metadata"].get("namespace") == service.namespace:
            endpoints = one.get("endpoints") or ()
            if any((each.get("conditions") or {}).get("ready", True) for each in endpoints):
                return True
    return False


def serves(service: Manifest, workload: Manifest) -> bool:
    """Tell whether a Service selects the pods of a workload."""
    selector = (service.get("spec") or {}).get("selector") or {}
    return manifests.selects(selector, manifests.labels_of(manifests.pod_template(workload)))


def grouped(
    chosen: Mapping[str, Iterable[Manifest]],
    services: Mapping[str, Manifest],
    deployments: Iterable[Manifest],
    held: frozenset[Ref],
) -> dict[str, str]:
    """Return Deployment → group: the chosen ones, then those in no manifest that a group's Service selects.

    Args:
        chosen: The live Deployments of each group of the playbook, in its order; the first group wins.
        services: The Services of groups that have one.
        deployments: All live Deployments of the namespace.
        held: What the manifests hold.
    """
    found: dict[str, str] = {}
    for group, members in chosen.items():
        for one in members:
            found.setdefault(one["metadata"]["name"], group)
    for group, service in services.items():
        for one in deployments:
            if Ref.of(one) not in held and serves(service, one):
                found.setdefault(one["metadata"]["name"], group)
    return found


def front_service(deployment: Manifest, objects: Iterable[Manifest]) -> Manifest | None:
    """Return the Service by which traffic from outside reaches a Deployment: a LoadBalancer, else a NodePort.

    It is what stands for the gateway's Service where the playbook names no workloads.
    """
    services = [one for one in objects if one.get("kind") == "Service" and serves(one, deployment)]
    for wanted in ("LoadBalancer", "NodePort"):
        for service in services:
            if (service.get("spec") or {}).get("type") == wanted:
                return service
    return None


def is_job_change(answer: Manifest | Denied | None) -> bool:
    """Tell whether the API server would not let a Job's pod template change; its words may be cut off."""
    return (
        isinstance(answer, Denied)
        and answer.ref.kind == "Job"
        and answer.status == 422
        and "spec.template" in answer.message
    )


def webhook_namespaces(objects: Iterable[Manifest]) -> frozenset[str]:
    """Return the namespaces in which admission webhooks are served."""
    clients = (
        webhook.get("clientConfig") or {}
        for one in objects
        if str(one.get("kind", "")).endswith("WebhookConfiguration")
        for webhook in one.get("webhooks") or ()
    )
    return frozenset(str(client["service"]["namespace"]) for client in clients if client.get("service"))
