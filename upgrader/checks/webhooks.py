"""Admission webhooks of the release: is somebody there to answer, and do callers trust the answer?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref
from upgrader.model.subjects import has_endpoints

RULES: Mapping[str, str] = {
    "webhook-unanswered": "A webhook of the release has no ready endpoint: what it guards cannot be written.",
    "webhook-without-ca": "A webhook of the release has an empty caBundle: every call to it fails.",
    "webhook-ca-lost": "The upgrade would empty a webhook's caBundle that is filled now.",
}
ONLY_FOR = dict.fromkeys(("webhook-ca-lost",), ("rolling",))

_KINDS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
_SOURCE = "https://github.com/kubevela/kubevela/issues/6919"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what is wrong with the webhooks that the release owns."""
    owned = {Ref.of(one) for one in _everything(survey) if one.get("kind") in _KINDS}
    for ref in sorted(owned):
        live = survey.live.get(ref)
        if live is None:
            continue
        planned = {one.get("name"): one for one in _planned(survey, ref)}
        for webhook in live.get("webhooks") or ():
            yield from _live(survey, ref, webhook)
            yield from _lost(ref, webhook, planned.get(webhook.get("name")))


def _everything(survey: Survey) -> Iterator[Manifest]:
    for rendered in (survey.old, survey.new):
        yield from rendered.objects
        yield from rendered.hooks


def _planned(survey: Survey, ref: Ref) -> list[dict[str, Any]]:
    answer = survey.dry_run.get(ref)
    return list(answer.get("webhooks") or ()) if isinstance(answer, dict) else []


def _live(survey: Survey, ref: Ref, webhook: Mapping[str, Any]) -> Iterator[Finding]:
    client = webhook.get("clientConfig") or {}
    service = client.get("service")
    if not service:
        return
    is_strict = webhook.get("failurePolicy", "Fail") == "Fail"
    severity = Severity.BLOCK if is_strict else Severity.WARN
    where = f"{service.get('namespace')}/{service.get('name')}"
    words = f"{ref}, webhook {webhook.get('name')} (failurePolicy {webhook.get('failurePolicy', 'Fail')})"
    if not has_endpoints(
        survey, Ref("v1", "Service", str(service.get("namespace")), str(service.get("name")))
    ):
        yield Finding(
            "webhook-unanswered",
            severity,
            f"{words}: Service {where} has no ready endpoint",
            "bring its pods up before the upgrade",
            "https://github.com/kgateway-dev/kgateway/issues/6349",
        )
    if not client.get("caBundle"):
        yield Finding(
            "webhook-without-ca",
            severity,
            f"{words} has an empty caBundle",
            "run what fills it again (the chart's certificate Job, or cert-manager's injector)",
            _SOURCE,
        )


def _lost(ref: Ref, live: Mapping[str, Any], planned: Mapping[str, Any] | None) -> Iterator[Finding]:
    if planned is None or not (live.get("clientConfig") or {}).get("caBundle"):
        return
    if not (planned.get("clientConfig") or {}).get("caBundle"):
        yield Finding(
            "webhook-ca-lost",
            Severity.BLOCK if live.get("failurePolicy", "Fail") == "Fail" else Severity.WARN,
            f"{ref}, webhook {live.get('name')}: caBundle is filled now and empty in the new version",
            "leave caBundle out of the template, so that its filler keeps the field",
            _SOURCE,
        )
