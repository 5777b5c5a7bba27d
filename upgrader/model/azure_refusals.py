"""What Azure's Resource Manager says when it does not do what it was asked, in an operator's words. Pure.

Source: learn.microsoft.com, "Understand how Azure Resource Manager throttles requests" (429 and Retry-After;
the network provider's ``RetryableErrorDueToAnotherOperation``) and "Lock your resources" (a read-only lock
refuses every POST, reading a gateway's backend health too); 2026-11-24.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from upgrader.model.ports import Answer

USUAL_WAIT_SECONDS: Final = 15.0
"""Between two calls where Azure asks for a pause and does not say how long; chosen by us."""
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call was not done.

    Args:
        what: One sentence with Azure's own words.
        remedy: What to do, such as the right to ask for; empty if nothing sensible is known.
        may_pass: The very same call may succeed soon: it was throttled, or there was no answer.
    """

    what: str
    remedy: str = ""
    may_pass: bool = False

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


def parsed(answer: Answer) -> dict[str, Any]:
    """Return an answer's body as a mapping; raises `ValueError` when it is none."""
    body = json.loads(answer.body or b"{}")
    if not isinstance(body, dict):
        raise ValueError("not a JSON object")
    return body


def refusal(answer: Answer, *, action: str) -> Refusal:
    """Say what an answer other than success means.

    Args:
        answer: The answer.
        action: The right that the call needs, such as ``Microsoft.Cdn/profiles/originGroups/origins/read``.
    """
    if answer.error:
        return Refusal(f"Azure did not answer: {answer.error}", may_pass=True)
    code, words = _own_words(answer)
    if answer.status in _BY_STATUS:
        return _BY_STATUS[answer.status](code, words, action)
    if answer.status >= _SERVER_ERROR:
        return Refusal(f"Azure failed: HTTP {answer.status} {words}".rstrip(), may_pass=True)
    return Refusal(f"Azure answered HTTP {answer.status} {words}".rstrip())


def wait_seconds(answer: Answer) -> float:
    """Return how long Azure asks to be left alone, >= 0; both 429 and 503 may ask."""
    asked = answer.headers.get("retry-after", "")
    if asked.isdecimal():
        return float(asked)
    return USUAL_WAIT_SECONDS if answer.status == 429 else 0.0


def _own_words(answer: Answer) -> tuple[str, str]:
    """Return the error's code, and code and message together; proxies answer with anything."""
    try:
        body = parsed(answer)
    except ValueError:
        return "", answer.body[:200].decode(errors="replace").strip()
    error = body.get("error", body)
    said: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": str(error)}
    code, message = str(said.get("code") or ""), str(said.get("message") or "")
    return code, f"({code}: {message})" if code else message


def _unauthenticated(code: str, words: str, action: str) -> Refusal:
    return Refusal(f"Azure does not accept our token {words}", "log in anew: az login, or see the identity")


def _forbidden(code: str, words: str, action: str) -> Refusal:
    if "quota" in code.lower():
        return Refusal(f"a quota is used up {words}", "ask for a higher quota of this subscription")
    if "authorization" in code.lower() or not code:
        return Refusal(f"Azure does not allow it {words}", f"give this identity the right {action}")
    return Refusal(f"Azure forbids it {words}")


def _missing(code: str, words: str, action: str) -> Refusal:
    return Refusal(f"Azure knows no such resource {words}", "see the names in the playbook")


def _conflict(code: str, words: str, action: str) -> Refusal:
    if code.lower() == "scopelocked":
        return Refusal(f"a lock forbids it {words}", "take the read-only lock away: it refuses this call too")
    return Refusal(f"another change of it is being made {words}")


def _outdated(code: str, words: str, action: str) -> Refusal:
    return Refusal(f"somebody else changed it meanwhile {words}")


def _throttled(code: str, words: str, action: str) -> Refusal:
    if code.lower() == "retryableerrorduetoanotheroperation":
        return Refusal(f"another change of it is being made {words}")
    if "quota" in code.lower():
        return Refusal(f"a quota is used up {words}", "ask for a higher quota of this subscription")
    return Refusal(f"Azure throttles us {words}", may_pass=True)


_BY_STATUS: Final = {
    401: _unauthenticated,
    403: _forbidden,
    404: _missing,
    409: _conflict,
    412: _outdated,
    429: _throttled,
}
