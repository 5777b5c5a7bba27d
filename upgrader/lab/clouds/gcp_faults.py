"""Error bodies as Google's APIs write them.

Source: https://docs.cloud.google.com/compute/docs/api-rate-limits (403 ``rateLimitExceeded``); its words are
those that the tests of hashicorp/terraform-provider-google have (``error_retry_predicates_test.go``), and
``resourceNotReady`` that of https://github.com/hashicorp/terraform-provider-google/issues/13033; 2026-11-24.
The other reasons and words are from memory: docs/balancers.md, Not confirmed.
"""

from __future__ import annotations

from typing import Final

from upgrader.lab.clouds.front_view import Fault
from upgrader.lab.clouds.serving import Told

_DOMAINS: Final = {"rateLimitExceeded": "usageLimits", "quotaExceeded": "usageLimits"}


def error(status: int, reason: str, message: str) -> Told:
    """Return an error as the API answers it."""
    one = {"message": message, "domain": _DOMAINS.get(reason, "global"), "reason": reason}
    return Told(status, {"error": {"code": status, "message": message, "errors": [one]}})


def struck(fault: Fault | None, *, right: str, project: str) -> Told | None:
    """Return the error that a fault makes of a call, or ``None`` where the call goes on.

    Args:
        fault: The fault that meets the call.
        right: The permission the call needs.
        project: The project's id.
    """
    rate = (
        "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of service "
        f"'compute.googleapis.com' for consumer 'project:{project}'."
    )
    errors = {
        Fault.THROTTLE: (403, "rateLimitExceeded", rate),
        Fault.QUOTA: (403, "quotaExceeded", "Quota 'URL_MAPS' exceeded.  Limit: 10.0 globally."),
        Fault.RIGHTS: (403, "forbidden", f"Required '{right}' permission for 'projects/{project}'"),
        Fault.ERROR: (503, "backendError", "Internal error. Please try again or contact Google Support."),
    }
    return error(*errors[fault]) if fault in errors else None
