"""What the Compute Engine API means when it refuses: throttled, no quota, no right, or down. Pure.

Too many calls are answered 403 (429 was seen too), as missing rights are: only ``errors[].reason`` tells them
apart.
Source: https://docs.cloud.google.com/compute/docs/api-rate-limits (403 ``rateLimitExceeded``, full again when
the next minute begins) and https://github.com/midl-dev/tezos-on-gke/issues/7 (``accessNotConfigured``),
2026-11-24. The other reasons are from memory: docs/balancers.md, Not confirmed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from upgrader.model.ports import Answer

THROTTLED: Final = ("rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED")
OUT_OF_QUOTA: Final = ("quotaExceeded", "dailyLimitExceeded", "limitExceeded")
SWITCHED_OFF: Final = ("accessNotConfigured", "SERVICE_DISABLED")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call has no result.

    Args:
        what: A sentence with the method, the status and Google's own words.
        remedy: The right or quota to ask for, or what else to do.
    """

    what: str
    remedy: str


def refusal(answer: Answer, *, method: str, right: str) -> Refusal:
    """Say why a call failed.

    Args:
        answer: What came back; not a 2xx.
        method: The API's name of the call, such as ``urlMaps.patch``.
        right: The IAM permissions it needs.
    """
    if not answer.status:
        return Refusal(f"{method}: {answer.error}", "look whether this machine reaches the API's endpoint")
    reason, words = _said(answer.body)
    told = f"(HTTP {answer.status} {reason}: {words})" if reason or words else f"(HTTP {answer.status})"
    what, remedy = _meaning(answer.status, reason, right)
    return Refusal(f"{method} {what} {told}", remedy)


def document(answer: Answer) -> dict[str, Any] | None:
    """Return the JSON object a call was answered with, or ``None`` when it is none."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _meaning(status: int, reason: str, right: str) -> tuple[str, str]:
    if reason in THROTTLED or status == 429:
        return "is throttled", "the rate quota refills within a minute; ask for more of it if this lasts"
    if reason in OUT_OF_QUOTA:
        return "is over a quota", "ask for more of the quota that is named"
    if reason in SWITCHED_OFF:
        return "is switched off", "enable compute.googleapis.com in the project"
    if status == 403:
        return "lacks rights", f"grant {right}"
    plain = {
        401: ("does not know us", "renew the credentials: gcloud auth application-default login"),
        404: ("finds nothing of that name", "compare project, region and names with the playbook"),
        412: ("was overtaken by another change", "it is read anew and tried again"),
    }
    down = ("failed at Google's side", "see https://status.cloud.google.com if this lasts")
    return plain.get(status, down if status >= 500 else ("was refused", "see the words of the API"))


def _said(body: bytes) -> tuple[str, str]:
    """Return the first reason and the message of an error's body; empty texts when it is no such body."""
    try:
        error = json.loads(body)["error"]
        listed = [one.get("reason") for one in (*error.get("errors", ()), *error.get("details", ()))]
        return next((str(one) for one in listed if one), ""), str(error.get("message", ""))[:300]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", body[:100].decode(errors="replace").strip()
