"""The one class each request ends in."""

from __future__ import annotations

import errno

OK = "ok"
"""A complete answer with a 2xx status."""

REFUSED = "refused"
"""Nobody listened: the connection was refused."""

RESET = "reset"
"""The connection was reset before the answer was complete."""

EOF = "eof"
"""The connection was closed in order before the answer was complete."""

TIMEOUT = "timeout"
"""No complete answer within the time limit, connecting included."""

UNREACHABLE = "unreachable"
"""No route to the address."""

GARBLED = "garbled"
"""What came back was not HTTP."""

SATURATED = "saturated"
"""Never sent: all connections we may open were waiting for an answer until its time limit was over."""

UNFINISHED = "unfinished"
"""Still without an answer when the load ended and the wait for stragglers was over."""

_RESETS = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN}
_NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH}


def of_status(status: int) -> str:
    """Return the class of a complete answer: ``ok``, or ``http_503`` and the like."""
    return OK if 200 <= status < 300 else f"http_{status}"


def of_error(error: OSError) -> str:
    """Return the class of a connection that failed."""
    if error.errno in _RESETS:
        return RESET
    if error.errno == errno.ECONNREFUSED:
        return REFUSED
    if error.errno in _NO_ROUTE:
        return UNREACHABLE
    if error.errno == errno.ETIMEDOUT:
        return TIMEOUT
    return "error_" + errno.errorcode.get(error.errno or 0, "unknown").lower()
