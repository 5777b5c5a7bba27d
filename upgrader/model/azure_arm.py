"""One way to talk to Azure's Resource Manager: through the port, and not while it asks for a pause.

Nothing here knows what is asked. A token goes to Azure's own address only, and to no address that an answer
names; an imitation on this machine gets none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from upgrader.errors import BalancerUnwilling
from upgrader.model.azure_refusals import Refusal, parsed, refusal, wait_seconds
from upgrader.model.ports import Answer, Ports, Request

PUBLIC: Final = "https://management.azure.com"
OPERATION_SECONDS: Final = 120.0
"""A question that has no answer by then is asked anew; Azure answers in seconds, or tens of them."""
ANSWERS_RIGHT: Final = "Microsoft.Network/locations/operationResults/read (on the subscription)"
"""What the answer to a question takes. Source: learn.microsoft.com, "Manage Azure Load Balancer health
status": the Location begins with ``/subscriptions/…/providers/Microsoft.Network/locations/``; 2026-11-24.
"""


class Unanswered(BalancerUnwilling):
    """A call that was not done, or of which that is not known.

    Args:
        why: Azure's words and what to do.
    """

    def __init__(self, why: Refusal) -> None:
        super().__init__(why.what, remedy=why.remedy)
        self.why = why


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Args:
        method: ``GET``, ``POST`` or ``PATCH``.
        url: Where to: a path below the endpoint, or a whole URL of it.
        action: The right it needs, for the operator.
        body: JSON data to send.
    """

    method: str
    url: str
    action: str
    body: Mapping[str, Any] | None = None


class Arm:
    """Azure's Resource Manager, asked through ports.

    Args:
        ports: The world.
        endpoint: Empty for Azure's own; else an imitation on loopback.
    """

    def __init__(self, ports: Ports, endpoint: str = "") -> None:
        self.endpoint = (endpoint or PUBLIC).rstrip("/")
        self._ports = ports
        self._pauses: dict[bool, tuple[float, Refusal]] = {}

    def send(self, call: Call, *, deadline_seconds: float) -> Answer:
        """Send once, and return an answer of success (2xx).

        Azure counts reads and writes apart, so that a pause of one is none of the other.

        Raises:
            Unanswered: It was refused, throttled or not answered, or Azure's pause is not over.
        """
        is_read, now = call.method == "GET", self._ports.clock.monotonic()
        until, why = self._pauses.get(is_read, (0.0, Refusal("")))
        if until > now:
            raise Unanswered(replace(why, what=f"{why.what}; asked again in {until - now:.0f} s"))
        answer = self._ports.http.send(self._request(call), deadline_seconds=deadline_seconds)
        if 200 <= answer.status < 300:
            return answer
        why = refusal(answer, action=call.action)
        self._pauses[is_read] = (self._ports.clock.monotonic() + wait_seconds(answer), why)
        raise Unanswered(why)

    def get(self, path: str, *, action: str, deadline_seconds: float) -> dict[str, Any]:
        """Return a resource; raises as `send`."""
        answer = self.send(Call("GET", path, action), deadline_seconds=deadline_seconds)
        return _body(answer)

    def _request(self, call: Call) -> Request:
        url = call.url if call.url.startswith(("http://", "https://")) else self.endpoint + call.url
        if _origin(url) != _origin(self.endpoint):
            where = urlsplit(url).netloc
            raise Unanswered(Refusal(f"Azure names another address to ask, {where}: not asked"))
        headers = {"accept": "application/json"} | self._credentials()
        body = b"" if call.body is None else json.dumps(call.body).encode()
        if body:
            headers["content-type"] = "application/json"
        return Request(call.method, url, body, headers)

    def _credentials(self) -> dict[str, str]:
        if self.endpoint != PUBLIC:
            return {}
        try:
            return {"authorization": f"Bearer {self._ports.token('azure')}"}
        except BalancerUnwilling as error:
            raise Unanswered(Refusal(error.what, error.remedy, may_pass=True)) from error


class Question:
    """A question that Azure answers later: a POST, then looks at where it says the answer will be.

    Source: azure-mgmt-network 33.1.0, ``begin_backend_health``: 200, or 202 with ``Location`` and perhaps
    ``Retry-After``, which is asked until it answers 200; 2026-11-24. The answer is a resource of the
    subscription, and reading it takes a right of its own: see `ANSWERS_RIGHT`.

    Args:
        arm: Whom to ask.
        ports: The world.
        call: The question.
    """

    def __init__(self, arm: Arm, ports: Ports, call: Call) -> None:
        self._arm = arm
        self._clock = ports.clock
        self._call = call
        self._where = ""
        self._asked_at = 0.0
        self._not_before = 0.0

    @property
    def is_open(self) -> bool:
        """Tell whether an answer is to come."""
        return bool(self._where)

    @property
    def waited_seconds(self) -> float:
        """Return for how long the answer has been waited for; 0 while nothing is asked."""
        return self._clock.monotonic() - self._asked_at if self._where else 0.0

    def look(self, *, deadline_seconds: float) -> dict[str, Any] | None:
        """Ask, or look for the answer: one call at most.

        Returns:
            The answer, or ``None`` while there is none.

        Raises:
            Unanswered: As `Arm.send`; the question is kept where looking for its answer may yet succeed.
        """
        if not self._where:
            return self._taken(self._arm.send(self._call, deadline_seconds=deadline_seconds))
        if self.waited_seconds > OPERATION_SECONDS:
            self._where = ""
            raise Unanswered(Refusal(f"Azure had no answer within {OPERATION_SECONDS:g} s; it is asked anew"))
        if self._clock.monotonic() < self._not_before:
            return None
        try:
            where = Call("GET", self._where, ANSWERS_RIGHT)
            return self._taken(self._arm.send(where, deadline_seconds=deadline_seconds))
        except Unanswered as error:
            self._where = self._where if error.why.may_pass else ""
            raise

    def _taken(self, answer: Answer) -> dict[str, Any] | None:
        if answer.status == 200:
            self._where = ""
            return _body(answer)
        where = answer.headers.get("location") or self._where
        if answer.status != 202 or not where:
            self._where = ""
            raise Unanswered(Refusal(f"Azure answered HTTP {answer.status} and no place to look for more"))
        if not self._where:
            self._asked_at = self._clock.monotonic()
        self._where = where
        self._not_before = self._clock.monotonic() + wait_seconds(answer)
        return None


def _body(answer: Answer) -> dict[str, Any]:
    try:
        return parsed(answer)
    except ValueError as error:
        raise Unanswered(Refusal(f"Azure's answer is not understood: {error}")) from error


def _origin(url: str) -> tuple[str, str]:
    """Return scheme, and host with port: Azure's answers write out port 443, in lists and operations both.

    Source: recorded answers of Azure's SDKs (``Azure-AsyncOperation``, ``nextLink``), 2026-11-24.
    """
    parts = urlsplit(url)
    host = parts.netloc.lower()
    return parts.scheme, host.removesuffix(":443") if parts.scheme == "https" else host
