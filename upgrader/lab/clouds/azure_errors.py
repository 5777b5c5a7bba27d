"""Error bodies as Azure's Resource Manager writes them.

Source: learn.microsoft.com, "Understand how Azure Resource Manager throttles requests" (429 and Retry-After)
and "Troubleshoot the SubscriptionRequestsThrottled error code"; 2026-11-24. ``QuotaExceeded``,
``ServiceUnavailable`` and all words are from memory: docs/balancers.md, Not confirmed.
"""

from __future__ import annotations

from typing import Final

from upgrader.lab.clouds.front_view import Fault
from upgrader.lab.clouds.serving import Told

RETRY_SECONDS: Final = 3
"""What a throttled caller is asked to wait."""


def error(status: int, code: str, message: str) -> Told:
    """Return an error as the API answers it."""
    return Told(status, {"error": {"code": code, "message": message}})


def absent(resource: str, group: str) -> Told:
    """Return the answer for a resource that is not there."""
    message = f"The Resource '{resource}' under resource group '{group}' was not found."
    return error(404, "ResourceNotFound", message)


def struck(fault: Fault | None, *, action: str, scope: str, is_write: bool) -> Told | None:
    """Return the error that a fault makes of a call, or ``None`` where the call goes on.

    Args:
        fault: The fault that meets the call.
        action: The right the call needs.
        scope: The resource.
        is_write: The call changes something.
    """
    if fault is Fault.THROTTLE:
        kind = "write" if is_write else "read"
        words = (
            f"Number of '{kind}' requests for subscription 'lab' exceeded. Please try again after "
            f"'{RETRY_SECONDS}' seconds after additional tokens are available."
        )
        told = error(429, "SubscriptionRequestsThrottled", words)
        return Told(told.status, told.body, {"Retry-After": str(RETRY_SECONDS)})
    client = "The client 'lab' with object id '0' does not have authorization to perform action"
    errors = {
        Fault.QUOTA: (403, "QuotaExceeded", "The quota of the subscription is exceeded."),
        Fault.RIGHTS: (403, "AuthorizationFailed", f"{client} '{action}' over scope '{scope}'."),
        Fault.ERROR: (503, "ServiceUnavailable", "The service is temporarily unavailable."),
    }
    return error(*errors[fault]) if fault in errors else None
