"""The one class each request ends in."""

from __future__ import annotations

import errno
import ssl

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

TLS = "tls"
"""No TLS could be agreed on, a certificate that does not verify included."""

GOAWAY = "goaway"
"""An HTTP/2 GOAWAY said that the stream is not served; another connection would have served it."""

GOAWAY_CUT = "goaway_cut"
"""The connection ended after a GOAWAY that had promised to serve the stream."""

STREAM_RESET = "stream_reset"
"""The server reset the stream alone, RST_STREAM."""

STREAM_REFUSED = "stream_refused"
"""The same with REFUSED_STREAM: it was not served at all."""

DRAINED = "drained"
"""The server ended the stream as it does when it leaves, with the message still on its way."""

ENDED = "ended"
"""The server ended the stream in order and without a reason: no loss where nothing was on its way."""

MISSING = "missing"
"""A later message of the same stream came back, this one did not."""

_STREAM_REFUSED_CODE = 7
"""Source: RFC 9113, section 7."""

_RESETS = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN}
_NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH}


def of_status(status: int) -> str:
    """Return the class of a complete answer: ``ok``, or ``http_503`` and the like."""
    return OK if 200 <= status < 300 else f"http_{status}"


def of_reset(code: int) -> str:
    """Return the class of an HTTP/2 stream that the server reset with this code."""
    return STREAM_REFUSED if code == _STREAM_REFUSED_CODE else STREAM_RESET


def of_error(error: OSError) -> str:
    """Return the class of a connection that failed."""
    if isinstance(error, ssl.SSLError):
        return TLS
    if error.errno in _RESETS:
        return RESET
    if error.errno == errno.ECONNREFUSED:
        return REFUSED
    if error.errno in _NO_ROUTE:
        return UNREACHABLE
    if error.errno == errno.ETIMEDOUT:
        return TIMEOUT
    return "error_" + errno.errorcode.get(error.errno or 0, "unknown").lower()
