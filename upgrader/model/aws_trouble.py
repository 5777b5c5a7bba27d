"""What an error of boto3 means for the operator: throttled, no right, no such thing, no answer. Pure.

Errors are known by their code or by the name of their class, so that nothing of AWS is imported here.
Source: botocore 1.44.5 (``exceptions``, ``elbv2``), and
docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html: ``ThrottlingException``,
"Rate exceeded", 40 calls at once and 10 a second for reads (2026-11-24). Codes that every AWS service may
answer are from memory: docs/balancers.md, Not confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SERVICE: Final = "elasticloadbalancing"
"""The prefix of its IAM actions."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a call brought nothing.

    Args:
        what: One sentence, with AWS's own words.
        remedy: What the operator can do.
        is_login: The credentials are worth nothing: others must be looked for.
    """

    what: str
    remedy: str
    is_login: bool = False


_THROTTLED: Final = (
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
)
_LIMITS: Final = ("LimitExceeded", "LimitExceededException", "AssociationLimit")
"""How the codes of quotas end that do not begin with ``TooMany``. Source: botocore 1.44.5, ``elbv2``."""
_DENIED: Final = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "OptInRequired")
_NOT_WHO: Final = (
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
_NOT_THERE: Final = (
    "TargetGroupNotFound",
    "TargetGroupNotFoundException",
    "RuleNotFound",
    "RuleNotFoundException",
    "ListenerNotFound",
    "ListenerNotFoundException",
)
_THEIRS: Final = ("InternalFailure", "InternalError", "ServiceUnavailable", "HealthUnavailable")
_SILENT: Final = ("ReadTimeoutError", "ConnectTimeoutError")
_UNREACHED: Final = (
    "EndpointConnectionError",
    "ConnectionClosedError",
    "ConnectionError",
    "ProxyConnectionError",
    "SSLError",
    "HTTPClientError",
)
_ANONYMOUS: Final = (
    "CredentialRetrievalError",
    "LoginTokenLoadError",
    "MetadataRetrievalError",
    "NoAuthTokenError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "RefreshWithMFAUnsupportedError",
    "SSOError",
    "TokenRetrievalError",
    "UnknownCredentialError",
    "UnknownTokenProviderError",
)


def iam_action(operation: str) -> str:
    """Return the right that a call needs: ``describe_rules`` → ``elasticloadbalancing:DescribeRules``."""
    return f"{SERVICE}:{operation.title().replace('_', '')}"


def trouble_of(error: BaseException, operation: str) -> Trouble | None:
    """Say what an error of a boto3 call means.

    Args:
        error: What the call raised.
        operation: The client's method, such as ``describe_target_health``.

    Returns:
        ``None`` for an error that is none of AWS's library: that is a bug of ours.
    """
    if not any(each.__module__.startswith(("botocore.", "boto3.")) for each in type(error).__mro__):
        return None
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and isinstance(response.get("Error"), Mapping):
        return _answered(response, iam_action(operation))
    return _unanswered(error, iam_action(operation))


def _answered(response: Mapping[str, Any], action: str) -> Trouble:
    code, message = str(response["Error"].get("Code")), str(response["Error"].get("Message") or "")
    status = int((response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0)
    words = f"{code}: {message}" if message else code
    if code in _THROTTLED or status == 429:
        remedy = (
            "its reads are 40 at once and 10 a second for the whole account and region; find who else asks"
        )
        return Trouble(f"AWS throttled {action} ({words})", remedy)
    if code in _DENIED:
        return Trouble(f"AWS denied {action} ({words})", f"allow the IAM action {action}")
    if code in _NOT_WHO:
        return Trouble(
            f"AWS does not take the credentials for {action} ({words})", "sign in anew", is_login=True
        )
    if code in _THEIRS or status >= 500:
        return Trouble(f"AWS has trouble of its own with {action} (HTTP {status}, {words})", "")
    return _refused(code, words, action)


def _refused(code: str, words: str, action: str) -> Trouble:
    if code in _NOT_THERE:
        remedy = "compare target_group, green, listener_rule and region with what AWS lists"
        return Trouble(f"AWS knows no such thing in {action} ({words})", remedy)
    if code.startswith("TooMany") or code.endswith(_LIMITS):
        what = f"AWS refused {action} for a quota ({words})"
        return Trouble(what, "ask for more of this quota of Elastic Load Balancing in Service Quotas")
    return Trouble(f"AWS refused {action} ({words})", "")


def _unanswered(error: BaseException, action: str) -> Trouble:
    names = [each.__name__ for each in type(error).__mro__]
    words = " ".join(str(error).split()) or names[0]
    if any(name in _SILENT for name in names):
        return Trouble(f"AWS did not answer {action} in time ({words})", "")
    if any(name in _ANONYMOUS for name in names):
        remedy = "give them as for AWS's own command line: variables, a profile, or the role of this pod"
        what = f"there are no AWS credentials for {action} ({words})"
        return Trouble(what, remedy, is_login=True)
    if any(name in _UNREACHED for name in names):
        return Trouble(f"AWS was not reached for {action} ({words})", "look at region, endpoint and network")
    return Trouble(f"{action} brought nothing usable ({names[0]}: {words})", "")
