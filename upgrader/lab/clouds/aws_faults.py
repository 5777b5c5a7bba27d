"""Errors as AWS's query APIs write them, and the bucket of calls that throttles.

Source: botocore 1.44.5, protocol ``query`` (``ErrorResponse``) and ``elbv2``
(``TooManyUniqueTargetGroupsPerLoadBalancer``);
docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html (2026-11-24). The other two
are from memory: docs/balancers.md, Not confirmed.
"""

from __future__ import annotations

import threading
from typing import Final
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from upgrader.lab.clouds.front_view import Fault

_SPACE: Final = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"


def error(status: int, code: str, message: str) -> Response:
    """Return an error as the API answers it."""
    whose = "Sender" if status < 500 else "Receiver"
    said = f"<Type>{whose}</Type><Code>{code}</Code><Message>{escape(message)}</Message>"
    request = "<RequestId>00000000-0000-0000-0000-000000000000</RequestId>"
    body = f'<ErrorResponse xmlns="{_SPACE}"><Error>{said}</Error>{request}</ErrorResponse>'
    return Response(body, status, content_type="text/xml")


def struck(fault: Fault | None, action: str) -> Response | None:
    """Return the error that a fault makes of a call, or ``None`` where the call goes on.

    Args:
        fault: The fault that meets the call.
        action: The API's name of the call, such as ``ModifyRule``.
    """
    right = f"elasticloadbalancing:{action}"
    denied = (
        f"User: arn:aws:iam::123456789012:user/lab is not authorized to perform: {right} because no "
        f"identity-based policy allows the {right} action"
    )
    limit = "You've reached the limit on the number of unique target groups per load balancer"
    errors = {
        Fault.THROTTLE: (400, "ThrottlingException", "Rate exceeded"),
        Fault.QUOTA: (400, "TooManyUniqueTargetGroupsPerLoadBalancer", limit),
        Fault.RIGHTS: (403, "AccessDenied", denied),
        Fault.ERROR: (503, "ServiceUnavailable", "Service is unavailable"),
    }
    return error(*errors[fault]) if fault in errors else None


class TooMany:
    """A bucket of calls that fills with time."""

    def __init__(self, burst: float, per_second: float) -> None:
        """Begin with a full bucket.

        Args:
            burst: So many calls at once, > 0.
            per_second: So many more each second, > 0.
        """
        self._burst = burst
        self._per_second = per_second
        self._left = burst
        self._at: float | None = None
        self._lock = threading.Lock()

    def is_one_more_too_many(self, now: float) -> bool:
        """Count a call, and tell whether the bucket was empty.

        Args:
            now: Monotonic seconds.
        """
        with self._lock:
            passed = now - self._at if self._at is not None else 0.0
            self._at = now
            self._left = min(self._burst, self._left + passed * self._per_second)
            if self._left < 1:
                return True
            self._left -= 1
            return False
