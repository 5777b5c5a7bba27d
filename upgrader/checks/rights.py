"""May we do what a run does, and look at what a survey looks at?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model.listing import listed
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.rights import Tier, needed_rights

RULES: Mapping[str, str] = {
    "rights-observe": "Deployments, ReplicaSets or Pods of the namespace cannot be listed and watched, or "
    "proxies not be reached by the way the playbook names.",
    "rights-brake": "Deployments cannot be patched, or the Lease not kept: no batches, no brake, no lock.",
    "rights-helm": "Helm could not apply, roll back or delete an object, or keep its release records.",
    "rights-wide": "Nodes, Pods elsewhere or webhook configurations cannot be listed: some checks see less.",
    "rights-reach": "A way that `reach: auto` may take to the proxies is not allowed.",
}

_TIERS: Mapping[Tier, tuple[str, Severity, str]] = {
    Tier.OBSERVE: (
        "rights-observe",
        Severity.BLOCK,
        "grant them; without them nothing can be judged",
    ),
    Tier.BRAKE: (
        "rights-brake",
        Severity.BLOCK,
        "grant them: batches and the brake are patches of Deployments",
    ),
    Tier.HELM: ("rights-helm", Severity.BLOCK, "grant them, or Helm stops half-way and may not come back"),
    Tier.WIDE: (
        "rights-wide",
        Severity.WARN,
        "grant list cluster-wide, or look at surge room and webhooks yourself",
    ),
    Tier.REACH: (
        "rights-reach",
        Severity.WARN,
        "nothing, where proxies are reached straight or by the other way; else grant it",
    ),
}
_SOURCE = "https://kubernetes.io/docs/reference/access-authn-authz/authorization/"
_SHOWN = 8


def check(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each tier in which a right is missing."""
    sent = (*survey.old.objects, *survey.new.objects)
    needed = needed_rights(sent, playbook=survey.playbook, beside=survey.beside)
    for tier, (rule, severity, remedy) in _TIERS.items():
        missing = [one.key for one in needed if one.tier is tier and not survey.rights.get(one.key, False)]
        if missing:
            yield Finding(rule, severity, f"we may not: {listed(missing, _SHOWN)}", remedy, _SOURCE)
