"""Which rights a run needs, in tiers: observe, brake, Helm, and what only helps. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from upgrader.model.playbook import Playbook
from upgrader.model.plugins import Beside
from upgrader.model.ports import Manifest, Ref
from upgrader.model.watching import EnvoyStats


class Tier(StrEnum):
    """What a right is for."""

    OBSERVE = "observe"
    BRAKE = "brake"
    HELM = "helm"
    WIDE = "wide"
    """The survey sees more with it."""
    REACH = "reach"
    """One of several ways to the proxies, which are found out by trying."""


OPTIONAL = frozenset({Tier.WIDE, Tier.REACH})
"""Tiers without which a run can be good all the same."""


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


WRITE_DEFINITIONS = tuple(
    Right(Tier.HELM, verb, Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", ""))
    for verb in ("get", "create", "patch")
)
"""What the step that applies a chart's ``crds/`` needs; asked for where it has something to write."""


MAKE_NAMESPACE = tuple(
    Right(Tier.HELM, verb, Ref("v1", "Namespace", "", "")) for verb in ("create", "delete")
)
"""What a second installation needs whose namespace is not there yet: the way back takes it away again."""


WAYS = {
    "apiserver": (("get", "proxy"),),
    "portforward": (("get", "portforward"), ("create", "portforward")),
}
"""Verbs and subresources of pods by way to the proxies; ``direct`` needs none.

A port-forward by WebSocket is a GET, and since Kubernetes 1.35 ``create`` is asked besides; an older server
does not ask, yet one is upgraded sooner than a role. Source: feature gate
``AuthorizePodWebsocketUpgradeCreatePermission``, Kubernetes v1.37.2 ``pkg/features/kube_features.go``, read
2026-11-24.
"""


def needed_rights(
    objects: Iterable[Manifest], *, playbook: Playbook, beside: Beside | None = None
) -> tuple[Right, ...]:
    """Return the rights a run over these objects needs, without repetition.

    Args:
        objects: All that Helm sends, of the old and of the new version.
        playbook: Names the release, and how proxies are reached.
        beside: The other place, where the new version is installed beside the old one.
    """
    places = (playbook.release.namespace, *([beside.namespace] if beside else ()))
    reaches = [one.reach for one in playbook.signals if isinstance(one, EnvoyStats)]
    own = (right for place in places for right in _own(place))
    reaching = (right for place in places for reach in reaches for right in _reaching(reach, place))
    kinds = sorted({(one["apiVersion"], one["kind"], Ref.of(one).namespace) for one in objects})
    sent = (
        Right(Tier.HELM, verb, Ref(api_version, kind, where, ""))
        for api_version, kind, where in kinds
        for verb in ("get", "create", "patch", "delete")
    )
    made = MAKE_NAMESPACE if beside and not beside.exists else ()
    found = (*own, *reaching, *sent, *made, LIST_NODES, LIST_ALL_PODS, *LIST_WEBHOOKS)
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


def _reaching(reach: str, namespace: str) -> Iterable[Right]:
    """Yield what one way to the proxies needs; where it is found out, what any of them does."""
    tier = Tier.REACH if reach == "auto" else Tier.OBSERVE
    for way, needs in WAYS.items():
        if reach in (way, "auto"):
            for verb, subresource in needs:
                yield Right(tier, verb, Ref("v1", "Pod", namespace, ""), subresource)
