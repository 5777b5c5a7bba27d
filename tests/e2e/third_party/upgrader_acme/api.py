"""Acme's API: JSON over HTTP, and what its refusals mean."""

from __future__ import annotations

import json
from typing import Any

from upgrader.errors import BalancerUnwilling
from upgrader.model.ports import Answer, Http, Request

READ_SECONDS = 0.4
WRITE_SECONDS = 2.0
_REFUSALS = {
    402: ("the plan's quota of calls is used up", "buy a larger plan"),
    403: ("Acme does not allow it", "give the role edge-operator"),
    429: ("Acme throttles us", ""),
}


class AcmeApi:
    """One Acme front, asked once a call."""

    def __init__(self, url: str, http: Http) -> None:
        self.url = url.rstrip("/")
        self._http = http

    def get(self, path: str) -> Any:
        """Return what is at a path; raises `BalancerUnwilling`."""
        return self._said(self._http.get(self.url + path, deadline_seconds=READ_SECONDS))

    def put(self, path: str, body: Any) -> None:
        """Put something there; raises `BalancerUnwilling`, and it may have happened all the same."""
        request = Request("PUT", self.url + path, json.dumps(body).encode())
        self._said(self._http.send(request, deadline_seconds=WRITE_SECONDS))

    def _said(self, answer: Answer) -> Any:
        if answer.error:
            raise BalancerUnwilling(f"Acme did not answer: {answer.error}")
        if answer.status in _REFUSALS:
            what, remedy = _REFUSALS[answer.status]
            raise BalancerUnwilling(f"{what} (HTTP {answer.status})", remedy=remedy)
        if answer.status != 200:
            raise BalancerUnwilling(f"Acme failed: HTTP {answer.status}")
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise BalancerUnwilling("Acme answered with what is no JSON") from error
