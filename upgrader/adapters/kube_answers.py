"""What an answer of the API server means.

How an answer is translated:

    no answer, 429, 5xx              `ClusterUnreachable`   reads are tried again within a total limit
    401, 403                         `Refused`              with the right that is missing
    404 on a read                    ``None`` or empty
    404, 409 on a write              `ClusterConflict`      look again, then act
    400, 403, 409, 422 … on `apply`  `Denied`               unless it is we who lack the right
    400, 422 … on another write      `Refused`              with the server's words
"""

from __future__ import annotations

from upgrader.adapters.kube_rest import Reply, Request
from upgrader.errors import ClusterConflict, ClusterUnreachable, Refused
from upgrader.model.ports import Ref

TRANSIENT = frozenset({429, 500, 502, 503, 504})
OBJECT_SIGNS = ("failed calling webhook", "failed to create typed patch object")


def checked(reply: Reply, request: Request, *, denial: bool = False) -> Reply:
    """Return the answer if it is one, else raise `ClusterUnreachable`.

    Args:
        reply: The answer.
        request: What was asked.
        denial: True where a 500 about the object itself counts as an answer.
    """
    if reply.status not in TRANSIENT or (denial and concerns_object(reply)):
        return reply
    raise ClusterUnreachable(
        f"the API server answered {request.method} {request.path} with {reply.status}: {reply.message()}",
        remedy="look at the API server's health, then try again",
    )


def accepted(reply: Reply, verb: str, ref: Ref) -> Reply:
    """Return the answer to a write if it is a success, else raise what it means."""
    if reply.ok:
        return reply
    if reply.status == 409 or (reply.status == 404 and verb != "create"):
        raise ClusterConflict(
            f"{ref}: {verb} lost against another writer: {reply.message()}",
            remedy="look at it again, then act",
        )
    raise refused(reply, verb, f"{ref.kind} {ref.name}", namespace=ref.namespace)


def refused(reply: Reply, verb: str, what: str, *, namespace: str = "") -> Refused:
    """Say which right is missing, or what the server did not take."""
    where = f" in namespace {namespace}" if namespace else ""
    if reply.status == 401:
        return Refused(
            f"the API server does not know our credentials ({verb} {what}{where}): {reply.message()}",
            remedy="log in again, or name another context with --context",
        )
    if reply.status == 403:
        return Refused(
            f"not allowed to {verb} {what}{where}: {reply.message()}",
            remedy=f"grant {verb!r} on {what.partition(' ')[0].lower()}{where}, or use an account with it",
        )
    return Refused(f"the API server refused to {verb} {what}{where} ({reply.status}): {reply.message()}")


def concerns_object(reply: Reply) -> bool:
    """Tell whether a 500 is about the object that was sent, not about the server's health.

    Two are: a webhook that cannot be called, and a field of the wrong type in a server-side apply. Their
    words are the only sign. Source: Kubernetes v1.37.2, ``apiserver/pkg/util/webhook/error.go`` and
    ``apimachinery/pkg/util/managedfields/internal/structuredmerge.go``, checked 2026-11.
    """
    words = reply.message()
    return reply.status == 500 and any(sign in words for sign in OBJECT_SIGNS)
