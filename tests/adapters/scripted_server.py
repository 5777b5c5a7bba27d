"""An API server that answers from a script and refuses what it was not told to expect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from upgrader.adapters.kube_rest import Reply, Request
from upgrader.errors import ClusterUnreachable

CORE = {
    "resources": [
        {"name": "configmaps", "kind": "ConfigMap", "namespaced": True},
        {"name": "namespaces", "kind": "Namespace", "namespaced": False},
        {"name": "pods", "kind": "Pod", "namespaced": True},
        {"name": "pods/status", "kind": "Pod", "namespaced": True},
        {"name": "secrets", "kind": "Secret", "namespaced": True},
    ]
}

Answer = Reply | ClusterUnreachable


def reply(code: int = 200, /, **body: Any) -> Reply:
    """Return an answer with a JSON body."""
    return Reply(code, json.dumps(body).encode())


class ScriptedStream:
    """A watch whose lines are known beforehand; a broken one ends with an error."""

    def __init__(self, *events: dict[str, Any], status: int = 200, broken: bool = False) -> None:
        self.status = status
        self._events = events
        self._broken = broken
        self.closed = False

    def lines(self) -> Iterator[bytes]:
        for event in self._events:
            yield json.dumps(event).encode()
        if self._broken:
            raise ClusterUnreachable("the connection broke")

    def reply(self) -> Reply:
        return reply(self.status, message="scripted")

    def close(self) -> None:
        self.closed = True


@dataclass
class ScriptedServer:
    """Answers ``(method, path)`` with the next scripted answer; the last one stays.

    Args:
        answers: What to say.
        streams: What each watch says, in turn.
        asked: What was asked, for the test to look at.
    """

    answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    streams: list[ScriptedStream] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answers.setdefault(("GET", "/api/v1"), [reply(**CORE)])

    def on(self, method: str, path: str, *answers: Answer) -> ScriptedServer:
        self.answers[method, path] = list(answers)
        return self

    def sent(self, method: str) -> list[Request]:
        return [request for request in self.asked if request.method == method]

    def send(self, request: Request, *, deadline_seconds: float) -> Reply:
        assert deadline_seconds > 0
        self.asked.append(request)
        script = self.answers[request.method, request.path]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, ClusterUnreachable):
            raise answer
        return answer

    def open(self, request: Request, *, idle_seconds: float) -> ScriptedStream:
        assert idle_seconds > 0
        self.asked.append(request)
        return self.streams.pop(0)
