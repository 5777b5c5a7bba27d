"""Drive a balancer of a route object inside a room: ``python -m tests.e2e.route_driver``, JSON in and out.

In: ``entry`` (as in a playbook) and ``acts``, each a list: ``["split"]``, ``["read"]``,
``["by_hand", RATIO]`` or ``["move", RATIO]``;
``["race", RATIO]``: somebody else writes between our look and our write;
``["shift", RATIO, URL, REQUESTS]``: move, tell when status and traffic followed, then count.
Out: what each gave.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from tests.signals.fakes import fleet, ports
from upgrader import plugins
from upgrader.adapters.clock import SystemClock
from upgrader.adapters.kube import KubeApi
from upgrader.errors import BalancerUnwilling
from upgrader.model.balancing import BalancerSettings
from upgrader.model.ports import Kube, Manifest, Ref
from upgrader.model.routed_traffic import RoutedTraffic

NOTE = "test/written-by-another"
LONGEST_SECONDS = 15.0
WHOLE = {0.0: "blue", 1.0: "green"}
QUIET = 150
"""So many answers in a row as they should be, and the traffic has followed."""


class Raced:
    """An API server on which somebody writes right after each look."""

    def __init__(self, kube: KubeApi) -> None:
        self._kube = kube

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kube, name)

    def get(self, ref: Ref) -> Manifest | None:
        found = self._kube.get(ref)
        self._kube.patch(ref, {"metadata": {"annotations": {NOTE: "yes"}}})
        return found


class Client:
    """One kept connection that asks who serves."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)

    def ask(self) -> str:
        self._connection.request("GET", "/", headers={"Host": "api.example.com"})
        response = self._connection.getresponse()
        body = response.read().decode().strip()
        return body if response.status == 200 else f"HTTP {response.status}"


def build(entry: dict[str, Any], kube: object) -> RoutedTraffic:
    settings: Any = TypeAdapter(BalancerSettings).validate_python(entry)
    world = replace(ports(), kube=cast("Kube", kube), clock=SystemClock())
    made: RoutedTraffic = plugins.find("balancers", entry["kind"]).build(settings.settings, world)
    return made


def shift(balancer: RoutedTraffic, ratio: float, url: str, requests: int) -> dict[str, Any]:
    """Move, ask without a pause, and note when status and traffic followed; then count."""
    client, began = Client(url), time.monotonic()
    balancer.move(ratio)
    written = time.monotonic() - began
    accepted, wrong, streak, seen = 0.0, 0.0, 0, Counter[str]()
    while time.monotonic() - began < LONGEST_SECONDS and not (accepted and streak >= QUIET):
        answer = client.ask()
        seen[answer] += 1
        is_wrong = ratio in WHOLE and answer != WHOLE[ratio]
        streak = 0 if is_wrong else streak + 1
        wrong = time.monotonic() - began if is_wrong else wrong
        if not accepted and balancer.split().green_ratio == ratio:
            accepted = time.monotonic() - began
    if ratio not in (0, 1):
        time.sleep(max(0.0, balancer.delay_seconds - (time.monotonic() - began)))
    counted = Counter(client.ask() for _ in range(requests))
    return {"written": written, "accepted": accepted, "wrong": wrong, "moving": seen, "counted": counted}


def act(balancers: dict[str, RoutedTraffic], what: str, *arguments: Any) -> Any:
    own = balancers["raced" if what == "race" else "own"]
    try:
        if what == "shift":
            return shift(own, *arguments)
        if what in ("move", "race"):
            return own.move(*arguments)
    except BalancerUnwilling as error:
        return {"unwilling": error.what, "remedy": error.remedy}
    if what == "by_hand":
        return own.by_hand(*arguments)
    if what == "read":
        reading = own.read(fleet())
        facts = [fact.rule for fact in reading.facts]
        return {"values": dict(reading.values), "error": reading.error, "facts": facts}
    split = own.split()
    return [split.green_ratio, split.error]


def main() -> None:
    asked = json.load(sys.stdin)
    kube = KubeApi.connect()
    balancers = {"own": build(asked["entry"], kube), "raced": build(asked["entry"], Raced(kube))}
    json.dump([act(balancers, *one) for one in asked["acts"]], sys.stdout)
    balancers["own"].close()


if __name__ == "__main__":
    main()
