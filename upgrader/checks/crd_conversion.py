"""Conversion of custom resources between versions: will somebody do it, and be there?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import definitions, manifests
from upgrader.model.definitions import Change
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Ref
from upgrader.model.subjects import has_endpoints, nearby

RULES: Mapping[str, str] = {
    "crd-webhook-unanswered": "The Service that converts custom resources is missing or not ready.",
    "crd-webhook-without-ca": "A CRD's conversion webhook has no caBundle: no answer of it is trusted.",
    "crd-conversion-lost": "A CRD with several versions had a conversion webhook and will have none.",
}

_SOURCE = (
    "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/"
    "#webhook-conversion"
)
_INJECTORS = ("cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret")


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what keeps objects of the new definitions from being converted."""
    for change in definitions.changes(survey):
        if not _is_needed(change):
            continue
        yield from _lost(change)
        service = definitions.conversion_service(change.new)
        if service:
            yield from _unanswered(survey, change, service)
            yield from _without_ca(change, service)


def _is_needed(change: Change) -> bool:
    """Tell whether there is more than one version to convert between."""
    return len({*definitions.versions(change.new), *definitions.stored(change.live)}) > 1


def _lost(change: Change) -> Iterator[Finding]:
    several = {*definitions.served(change.live), *definitions.stored(change.live)}
    if len(several) < 2 or definitions.conversion(change.live).get("strategy") != "Webhook":
        return
    if definitions.conversion(change.new).get("strategy") != "Webhook":
        yield Finding(
            "crd-conversion-lost",
            Severity.BLOCK,
            f"{change.ref} converts {', '.join(sorted(several))} by a webhook, the new one by none",
            "keep the webhook until all objects are stored in one version and nobody uses another",
            _SOURCE,
        )


def _unanswered(survey: Survey, change: Change, service: Ref) -> Iterator[Finding]:
    is_there = any(Ref.of(one) == service for one in nearby(survey, "Service"))
    if is_there and has_endpoints(survey, service):
        return
    yield Finding(
        "crd-webhook-unanswered",
        Severity.BLOCK,
        f"{change.ref} is converted by {service}, "
        + ("which has no ready endpoint" if is_there else "which does not exist"),
        "bring the webhook's pods up first: without them objects can be neither read nor written",
        _SOURCE,
    )


def _without_ca(change: Change, service: Ref) -> Iterator[Finding]:
    if definitions.webhook_client(change.new).get("caBundle"):
        return
    is_filled_later = any(one in manifests.annotations_of(change.new) for one in _INJECTORS)
    yield Finding(
        "crd-webhook-without-ca",
        Severity.WARN if is_filled_later else Severity.BLOCK,
        f"{change.ref} is converted by {service}, without a caBundle"
        + (" until cert-manager has filled it" if is_filled_later else ""),
        "have it filled (cert-manager's injector, the chart's certificate Job) before objects are used",
        _SOURCE,
    )
