"""Call Google's Compute Engine API by plain HTTP: its client library takes 79 MB and 8 s for the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from upgrader.errors import BalancerUnwilling
from upgrader.model.gcp_answers import Refusal, document, refusal
from upgrader.model.ports import Clock, Http, Request

LONGEST_CALL_SECONDS: Final = 0.8
"""Of one call, where there is time: `listNetworkEndpoints` with health is said to be slow."""
SHORTEST_CALL_SECONDS: Final = 0.15
"""With less time left a call is not begun."""


class Unanswered(BalancerUnwilling):
    """A call that was refused, or of which it is not known.

    Args:
        status: HTTP status; 0 when there was no answer.
        why: Google's words, and what to do.
    """

    def __init__(self, status: int, why: Refusal) -> None:
        super().__init__(why.what, remedy=why.remedy)
        self.status = status


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API.

    Args:
        name: As the API names it, such as ``urlMaps.get``.
        path: From ``projects/`` on, query included.
        right: The IAM permissions it needs.
        method: The HTTP method.
        body: Its body as JSON data; ``None`` for none.
    """

    name: str
    path: str
    right: str
    method: str = "GET"
    body: Mapping[str, Any] | None = field(default=None)


class Budget:
    """The time several calls share.

    Args:
        clock: Time.
        seconds: How long they may take together, > 0.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._until = clock.monotonic() + seconds

    @property
    def is_spent(self) -> bool:
        """Tell whether another call is not worth beginning."""
        return self._until - self._clock.monotonic() < SHORTEST_CALL_SECONDS

    def next_seconds(self) -> float:
        """Return how long the next call may take.

        Raises:
            BalancerUnwilling: There is no time left for one.
        """
        if self.is_spent:
            raise BalancerUnwilling("Compute Engine answers too slowly", remedy="it is asked again")
        return min(LONGEST_CALL_SECONDS, self._until - self._clock.monotonic())


class ComputeApi:
    """The API at one endpoint.

    Args:
        endpoint: Its URL without a path.
        http: Sends.
        token: Gives a bearer token; ``None`` where none is wanted (loopback).
    """

    def __init__(self, endpoint: str, *, http: Http, token: Callable[[], str] | None) -> None:
        self._base = f"{endpoint.rstrip('/')}/compute/v1/"
        self._http = http
        self._token = token

    def url(self, path: str) -> str:
        """Return the whole URL of a path."""
        return self._base + path

    def send(self, call: Call, *, deadline_seconds: float) -> dict[str, Any]:
        """Call once and return the answer's JSON.

        Raises:
            BalancerUnwilling: As `Unanswered` where Google refused or did not answer, in its own words.
        """
        headers = {"Authorization": f"Bearer {self._token()}"} if self._token else {}
        body = b"" if call.body is None else json.dumps(call.body).encode()
        if body:
            headers["Content-Type"] = "application/json"
        request = Request(call.method, self.url(call.path), body, headers)
        answer = self._http.send(request, deadline_seconds=deadline_seconds)
        if not 200 <= answer.status < 300:
            raise Unanswered(answer.status, refusal(answer, method=call.name, right=call.right))
        said = document(answer)
        if said is None:
            raise BalancerUnwilling(
                f"{call.name} was answered with what is no JSON", remedy="look at endpoint"
            )
        return said
