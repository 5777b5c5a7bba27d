"""Would the API server take each object, now and on the way back? Asked by a dry-run apply of our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import definitions
from upgrader.model.denials import conflicting_fields, conflicting_managers
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Denied
from upgrader.model.subjects import is_job_change

RULES: Mapping[str, str] = {
    "field-conflict": "Another field manager owns a field that Helm's server-side apply would change.",
    "immutable-field": "A field changes that the API server never lets change.",
    "quota-exceeded": "A ResourceQuota does not leave room.",
    "admission-denied": "An admission webhook or policy says no.",
    "kind-unserved": "The API server does not serve a kind: its CRD is missing, or its version was removed.",
    "dry-run-refused": "The API server refuses an object for another reason.",
    "way-back-refused": "An object of the known-good revision would be refused today: a rollback would fail.",
}
ONLY_FOR = dict.fromkeys(("way-back-refused", "field-conflict", "immutable-field"), ("rolling",))

_IMMUTABLE = ("immutable", "may not change once set", "updates to statefulset spec")
_REMEDIES: Mapping[str, str] = {
    "field-conflict": "set the same value in the chart's values, or have that manager apply without it; "
    "never force",
    "immutable-field": "keep the old value, or delete the object first; a selector needs a new name",
    "quota-exceeded": "raise the quota, or lower requests",
    "admission-denied": "make the policy's owner allow it, or change the values",
    "kind-unserved": "install its CRD first (an upgrade never does), or use a served version",
    "dry-run-refused": "correct the values; `helm upgrade` would stop half-way here",
}
_WORDS = 150
"""Characters kept of either end of an answer: a whole pod template may stand between."""
_SOURCES: Mapping[str, str] = {
    "field-conflict": "https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts",
    "immutable-field": "https://github.com/helm/helm/issues/7725",
    "quota-exceeded": "https://kubernetes.io/docs/concepts/policy/resource-quotas/",
    "admission-denied": "https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/",
    "kind-unserved": "https://github.com/helm/helm/issues/7219",
    "dry-run-refused": "https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run",
}


def check(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each object the API server would not take; for Jobs see `jobs`.

    Of kinds that a step before the installation makes served, `beside` speaks.
    """
    coming, first = _kinds_coming(survey), definitions.coming(survey) if survey.beside else {}
    for answer in survey.dry_run.values():
        if not isinstance(answer, Denied) or is_job_change(answer):
            continue
        is_coming = answer.ref.kind in coming or (answer.ref.api_version, answer.ref.kind) in first
        if answer.status != 404 or not is_coming:
            rule = _rule(answer)
            yield Finding(rule, Severity.BLOCK, _seen(answer), _REMEDIES[rule], _SOURCES[rule])
    for answer in survey.dry_run_back.values():
        if isinstance(answer, Denied) and not is_job_change(answer):
            rule = _rule(answer)
            yield Finding(
                "way-back-refused",
                Severity.BLOCK,
                f"revision {survey.known_good}: {_seen(answer)}",
                f"make it pass before going forward: {_REMEDIES[rule]}",
                _SOURCES[rule],
            )


def _kinds_coming(survey: Survey) -> frozenset[str]:
    """Return the kinds whose CRD the new version brings itself: Helm sends CRDs first."""
    crds = (one for one in survey.new.objects if one.get("kind") == "CustomResourceDefinition")
    return frozenset(str(one["spec"]["names"]["kind"]) for one in crds)


def _rule(answer: Denied) -> str:
    said = answer.message.lower()
    if answer.status == 409:
        return "field-conflict"
    if answer.status == 404:
        return "kind-unserved"
    if any(words in said for words in _IMMUTABLE):
        return "immutable-field"
    if "exceeded quota" in said:
        return "quota-exceeded"
    if "admission webhook" in said or "validatingadmissionpolicy" in said or "admission plugin" in said:
        return "admission-denied"
    return "dry-run-refused"


def _seen(answer: Denied) -> str:
    if answer.status != 409:
        return f"{answer.ref}: {_short(answer.message)}"
    managers = ", ".join(conflicting_managers(answer)) or "another manager"
    fields = ", ".join(conflicting_fields(answer)) or answer.message
    return f"{answer.ref}: {managers} owns {fields}"


def _short(message: str) -> str:
    if len(message) <= 2 * _WORDS:
        return message
    return f"{message[:_WORDS]} … {message[-_WORDS:]}"
