"""The gateway's Service: what of it would change under traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref

RULES: Mapping[str, str] = {
    "service-changes": "Type, ports, selector or traffic policy of the gateway's Service change, at once.",
    "service-annotations": "Annotations of the gateway's Service change: a cloud balancer may be rebuilt.",
    "service-removed": "The gateway's Service is not in the new version: Helm deletes it.",
}
ONLY_FOR = dict.fromkeys(("service-changes", "service-annotations", "service-removed"), ("rolling",))

_SOURCE = "https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-policies"
_WATCHED = (
    "type", "ports", "selector", "externalTrafficPolicy", "internalTrafficPolicy", "loadBalancerClass",
    "sessionAffinity", "publishNotReadyAddresses",
)  # fmt: skip
_OURS = ("kubectl.kubernetes.io/", "meta.helm.sh/")


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what the upgrade would change about the Service of a group."""
    old = {Ref.of(one) for one in survey.old.objects}
    new = {Ref.of(one) for one in survey.new.objects}
    for live in {Ref.of(one): one for one in survey.services.values()}.values():
        ref = Ref.of(live)
        answer = survey.dry_run.get(ref)
        if ref in old and ref not in new and survey.new.objects:
            yield Finding(
                "service-removed", Severity.BLOCK, f"{ref} is not in the new version", "keep it", _SOURCE
            )
        elif isinstance(answer, dict):
            yield from _changes(ref, live, answer)


def _changes(ref: Ref, live: Manifest, planned: Manifest) -> Iterator[Finding]:
    before = {key: (live.get("spec") or {}).get(key) for key in _WATCHED}
    after = {key: (planned.get("spec") or {}).get(key) for key in _WATCHED}
    changed = manifests.changed_paths(before, after)
    if changed:
        said = "; ".join(
            f"{key} {before.get(key)} → {after.get(key)}" for key in before if before[key] != after[key]
        )
        yield Finding(
            "service-changes",
            Severity.BLOCK,
            f"{ref}: {said}",
            "change the Service in a step of its own, with no new pods in it",
            _SOURCE,
        )
    marks = manifests.changed_paths(_annotations(live), _annotations(planned))
    if marks:
        yield Finding(
            "service-annotations",
            Severity.WARN,
            f"{ref}: annotations {', '.join(marks)} change",
            "find out what the cloud's controller does on such a change",
            _SOURCE,
        )


def _annotations(service: Manifest) -> Mapping[str, str]:
    found = manifests.annotations_of(service)
    return {key: value for key, value in found.items() if not key.startswith(_OURS)}
