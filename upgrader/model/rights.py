"""Which rights a run needs, in tiers: observe, brake, Helm, and what only makes the survey wider. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from upgrader.model.ports import Manifest, Ref


class Tier(StrEnum):
    """What a right is for."""

    OBSERVE = "observe"
    BRAKE = "brake"
    HELM = "helm"
    WIDE = "wide"


@dataclass(frozen=True, slots=True)
class Right:
    """One thing we must be allowed to do.

    Args:
        tier: What it is for.
        verb: The API's verb.
        ref: The kind, with the namespace or an empty one for everywhere; the name is empty.
        subresource: Such as ``scale``.
    """

    tier: Tier
    verb: str
    ref: Ref
    subresource: str = ""

    @property
    def key(self) -> str:
        """How the survey files it, such as ``patch Deployment in edge``."""
        what = f"{self.ref.kind}/{self.subresource}" if self.subresource else self.ref.kind
        return f"{self.verb} {what} {f'in {self.ref.namespace}' if self.ref.namespace else 'everywhere'}"


LIST_NODES = Right(Tier.WIDE, "list", Ref("v1", "Node", "", ""))
LIST_ALL_PODS = Right(Tier.WIDE, "list", Ref("v1", "Pod", "", ""))
LIST_WEBHOOKS = tuple(
    Right(Tier.WIDE, "list", Ref("admissionregistration.k8s.io/v1", kind, "", ""))
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
)


def needed_rights(objects: Iterable[Manifest], *, namespace: str) -> tuple[Right, ...]:
    """Return the rights a run over these objects needs, without repetition.

    Args:
        objects: All that Helm sends, of the old and of the new version.
        namespace: The release's namespace.
    """
    kinds = sorted({(one["apiVersion"], one["kind"], Ref.of(one).namespace) for one in objects})
    sent = (
        Right(Tier.HELM, verb, Ref(api_version, kind, where, ""))
        for api_version, kind, where in kinds
        for verb in ("get", "create", "patch", "delete")
    )
    found = (*_own(namespace), *sent, LIST_NODES, LIST_ALL_PODS, *LIST_WEBHOOKS)
    return tuple(dict.fromkeys(found))


def _own(namespace: str) -> Iterable[Right]:
    for kind in ("Deployment", "ReplicaSet"):
        for verb in ("list", "watch"):
            yield Right(Tier.OBSERVE, verb, Ref("apps/v1", kind, namespace, ""))
    for verb in ("list", "watch"):
        yield Right(Tier.OBSERVE, verb, Ref("v1", "Pod", namespace, ""))
    for verb in ("get", "create", "update", "delete"):
        yield Right(Tier.BRAKE, verb, Ref("coordination.k8s.io/v1", "Lease", namespace, ""))
    for verb in ("get", "patch"):
        yield Right(Tier.BRAKE, verb, Ref("apps/v1", "Deployment", namespace, ""))
    for verb in ("get", "list", "create", "update", "delete"):
        yield Right(Tier.HELM, verb, Ref("v1", "Secret", namespace, ""))
