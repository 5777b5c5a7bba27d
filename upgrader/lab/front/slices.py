"""Follow the EndpointSlices of one Service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

Slice = Mapping[str, Any]


class Requests(Protocol):
    """How the API server is asked (`upgrader.lab.front.api.SliceRequests`)."""

    def read(self, query: Mapping[str, str]) -> bytes:
        """Return the whole answer."""

    def stream(self, query: Mapping[str, str]) -> Iterator[bytes]:
        """Yield the answer as it comes in."""


class Slices:
    """The EndpointSlices of a Service, as last seen.

    Args:
        requests: How to ask for them.
        on_change: Called with all slices after a list and after each change.
    """

    def __init__(self, requests: Requests, *, on_change: Callable[[list[Slice]], None]) -> None:
        self._requests = requests
        self._on_change = on_change
        self._seen: dict[str, Slice] = {}

    def follow(self) -> None:
        """List, then watch until the server ends the watch; to be called again then, and after an error.

        When it raises, the last list stands: a balancer must not forget its gateways because the API
        server is away.
        """
        found = json.loads(self._requests.read({}))
        self._seen = {item["metadata"]["name"]: item for item in found.get("items") or ()}
        self._changed()
        query = {"watch": "true", "timeoutSeconds": "60"}
        query["resourceVersion"] = found["metadata"]["resourceVersion"]
        for event in events(self._requests.stream(query)):
            if event["type"] == "ERROR":
                return
            self._take(event)

    def _take(self, event: Mapping[str, Any]) -> None:
        item = event["object"]
        if event["type"] == "DELETED":
            self._seen.pop(item["metadata"]["name"], None)
        else:
            self._seen[item["metadata"]["name"]] = item
        self._changed()

    def _changed(self) -> None:
        self._on_change(list(self._seen.values()))


def events(chunks: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """Cut a watch's answer into its events, one JSON object a line; an unfinished last line is dropped."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)
