"""The lab's imitation of Azure's Resource Manager, as far as balancers' health and weights need it.

Paths, fields, words and error bodies are those of the published API (azure-mgmt-network 33.1.0 and
azure-mgmt-cdn 14.1.0, 2026-11-24); the official client libraries talk to it. Behind it is the lab's front
balancer: see `front_view`. There are an Application Gateway ``lab`` and a Load Balancer ``lab`` (rule
``http``) with the front's backends, and a Front Door profile ``lab`` with an origin a color. Imitated beyond
what is real anywhere: one front is all three, and the load balancer's backends are pods. What is not
imitated: logins, fail-open, sessions and latency at Front Door, and every other method, which is answered
404. None of the imitated calls has an ETag in Azure's schemas, so that there is none here.

Run it: ``python -m upgrader.lab.clouds.azure --front http://127.0.0.1:9901 --listen 127.0.0.1:9912``.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from upgrader.lab.clouds.azure_errors import absent, error, struck
from upgrader.lab.clouds.azure_origin_group import NAME, ORIGINS, Busy, OriginGroup
from upgrader.lab.clouds.front_view import COLORS, Fault, FrontView, Pace, Standing, admin
from upgrader.lab.clouds.serving import Asked, CloudServer, Told

SUBSCRIPTION: Final = "00000000-0000-0000-0000-000000000000"
LAB: Final = "lab"
"""The name of the resource group and of everything in it."""
RULE: Final = "http"
SERVER_WORDS: Final = {
    Standing.HEALTHY: "Healthy",
    Standing.FAILED: "Unhealthy",
    Standing.LEAVING: "Draining",
    Standing.UNCHECKED: "Unknown",
}
RULE_WORDS: Final = {
    Standing.HEALTHY: ("Up", "Up_Probe_Success"),
    Standing.FAILED: ("Down", "Down_Probe_HttpStatusCodeError"),
    Standing.UNCHECKED: ("Down", "Down_Probe_ApproachingHealthyThreshold"),
}
"""A backend that left is not told at all."""
STRANGE_WORD: Final = "Rebalancing"
"""A word that no schema has, for `Fault.UNKNOWN`."""
_GROUP: Final = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{LAB}"
_NETWORK: Final = f"{_GROUP}/providers/Microsoft.Network"
_PROFILE: Final = f"{_GROUP}/providers/Microsoft.Cdn/profiles/{LAB}"
_RESULTS: Final = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/locations/lab/operationResults"
_CDN_RESULTS: Final = f"{_GROUP}/providers/Microsoft.Cdn/operationresults"
_VERSION: Final = re.compile(r"\d{4}-\d\d-\d\d(-preview)?")


@dataclass(frozen=True, slots=True)
class Shape:
    """How the imitated Azure behaves.

    Args:
        question_seconds: From a question of health until its answer, >= 0; 0 answers at once, with 200.
        operation_seconds: How long a change's operation runs, >= 0.
        queues: Changes of Front Door that come while one runs are taken; else refused with 409.
    """

    question_seconds: float = 10.0
    operation_seconds: float = 5.0
    queues: bool = True


@dataclass(frozen=True, slots=True)
class _Question:
    ends_at: float
    answer: Callable[[], dict[str, Any]]


class AzureApi:
    """The API: one request in, one answer out; see the module's text.

    Args:
        view: The front balancer; started and closed by whoever made it.
        shape: How it behaves.
        hang: Waits so many seconds, or until the server is closed.
    """

    def __init__(self, view: FrontView, *, shape: Shape, hang: Callable[[float], object]) -> None:
        self.base = ""
        """Where it is served: what stands before the paths that answers name."""
        self._view = view
        self._shape = shape
        self._hang = hang
        self._questions: list[_Question] = []
        self._lock = threading.Lock()
        group = f"{_PROFILE}/originGroups/{NAME}"
        self._group = OriginGroup(view, path=group, seconds=shape.operation_seconds, queues=shape.queues)
        gateways, balancers = "Microsoft.Network/applicationGateways", "Microsoft.Network/loadBalancers"
        origins, names = "Microsoft.Cdn/profiles/originGroups/origins", "|".join(ORIGINS)
        rule = f"{_NETWORK}/loadBalancers/{LAB}/loadBalancingRules/{RULE}"
        table: tuple[tuple[str, str, str, Callable[..., Told]], ...] = (
            (
                "POST",
                f"{_NETWORK}/applicationGateways/{LAB}/backendhealth",
                f"{gateways}/backendhealth/action",
                self._gateway_health,
            ),
            ("POST", f"{rule}/health", f"{balancers}/loadBalancingRules/health/action", self._rule_health),
            (
                "GET",
                rf"{_RESULTS}/(\d+)",
                "Microsoft.Network/locations/operationResults/read",
                self._asked_before,
            ),
            ("GET", group, "Microsoft.Cdn/profiles/originGroups/read", self._origin_group),
            ("GET", f"{group}/origins", f"{origins}/read", self._origins),
            ("GET", f"{group}/origins/({names})", f"{origins}/read", self._origin),
            ("PATCH", f"{group}/origins/({names})", f"{origins}/write", self._change),
            ("GET", rf"{_CDN_RESULTS}/(\d+)", "Microsoft.Cdn/operationresults/read", self._operation),
        )
        self._table = [
            (method, re.compile(path, re.IGNORECASE), action, act) for method, path, action, act in table
        ]

    def answer(self, asked: Asked) -> Told:
        """Answer one request as the API would, or as the fault in force wants."""
        parts = urlsplit(asked.target)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        version = query.get("api-version", "")
        if not version:
            words = "The api-version query parameter (?api-version=) is required for all requests."
            return error(400, "MissingApiVersionParameter", words)
        if not _VERSION.fullmatch(version):
            return error(400, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")
        for method, pattern, action, act in self._table:
            found = pattern.fullmatch(parts.path)
            if found and method == asked.method:
                refused = self._refused(action, parts.path, is_write=method == "PATCH")
                return refused or act(*found.groups(), version=version, body=asked.body)
        return absent(parts.path.partition("/providers/")[2] or parts.path, LAB)

    def _refused(self, action: str, scope: str, *, is_write: bool) -> Told | None:
        fault = self._view.faults.strike(is_write=is_write)
        if fault is Fault.HANG:
            self._hang(self._view.faults.seconds)
            return Told(0)
        return struck(fault, action=action, scope=scope, is_write=is_write)

    def _gateway_health(self, *, version: str, **_: Any) -> Told:
        return self._later(self._gateway_answer, version)

    def _rule_health(self, *, version: str, **_: Any) -> Told:
        return self._later(self._rule_answer, version)

    def _later(self, answer: Callable[[], dict[str, Any]], version: str) -> Told:
        if not self._shape.question_seconds:
            return Told(200, answer())
        with self._lock:
            self._questions.append(_Question(time.monotonic() + self._shape.question_seconds, answer))
            number = len(self._questions)
        where = f"{self.base}{_RESULTS}/{number}?api-version={version}"
        return Told(202, None, {"Location": where})

    def _asked_before(self, number: str, *, version: str, **_: Any) -> Told:
        if not 0 < int(number) <= len(self._questions):
            return absent(f"operationResults/{number}", LAB)
        question = self._questions[int(number) - 1]
        if question.ends_at > time.monotonic():
            where = f"{self.base}{_RESULTS}/{number}?api-version={version}"
            return Told(202, None, {"Location": where})
        return Told(200, question.answer())

    def _gateway_answer(self) -> dict[str, Any]:
        return {"backendAddressPools": [self._pool(color) for color in COLORS]}

    def _pool(self, color: str) -> dict[str, Any]:
        gateway = f"{_NETWORK}/applicationGateways/{LAB}"
        servers = [
            {"address": one.address, "health": self._word(SERVER_WORDS[one.standing])}
            for one in self._view.seen(color)
        ]
        settings = {"id": f"{gateway}/backendHttpSettingsCollection/{color}"}
        return {
            "backendAddressPool": {"id": f"{gateway}/backendAddressPools/{color}"},
            "backendHttpSettingsCollection": [{"backendHttpSettings": settings, "servers": servers}],
        }

    def _rule_answer(self) -> dict[str, Any]:
        said = [
            {"ipAddress": one.address, "state": self._word(state), "reason": self._word(reason)}
            for color in COLORS
            for one in self._view.seen(color)
            if one.standing in RULE_WORDS
            for state, reason in [RULE_WORDS[one.standing]]
        ]
        up = sum(one["state"] == "Up" for one in said)
        return {"up": up, "down": len(said) - up, "loadBalancerBackendAddresses": said}

    def _word(self, word: str) -> str:
        return STRANGE_WORD if self._view.faults.tells_unknown else word

    def _origin_group(self, **_: Any) -> Told:
        return Told(200, self._group.group())

    def _origins(self, **_: Any) -> Told:
        return Told(200, {"value": [self._group.origin(name) for name in ORIGINS]})

    def _origin(self, name: str, **_: Any) -> Told:
        return Told(200, self._group.origin(name.lower()))

    def _change(self, name: str, *, version: str, body: bytes) -> Told:
        try:
            properties = json.loads(body)["properties"]
            operation = self._group.change(name.lower(), properties)
        except Busy as why:
            return error(409, "Conflict", str(why))
        except (ValueError, KeyError, TypeError) as why:
            return error(400, "BadRequest", str(why))
        where = f"{self.base}{_CDN_RESULTS}/{operation.id}?api-version={version}"
        return Told(202, self._group.origin(name.lower()), {"Azure-AsyncOperation": where})

    def _operation(self, number: str, **_: Any) -> Told:
        status = self._group.status(int(number))
        if status is None:
            return absent(f"operationresults/{number}", LAB)
        return Told(200, {"id": f"{_CDN_RESULTS}/{number}", "name": number, "status": status})


def serve(address: tuple[str, int], view: FrontView, *, shape: Shape) -> CloudServer:
    """Return the server, not yet started; it and the view are the caller's to close."""
    stopped = threading.Event()
    api = AzureApi(view, shape=shape, hang=stopped.wait)
    server = CloudServer(address, api.answer, faults=view.faults, stopped=stopped)
    api.base = server.url
    return server


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m upgrader.lab.clouds.azure", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:9912", help="ADDRESS:PORT (default 127.0.0.1:9912)")
    parser.add_argument("--front", required=True, help="URL of the front balancer's admin page")
    parser.add_argument("--delay", type=float, default=1200.0, help="seconds until traffic follows a weight")
    parser.add_argument("--question", type=float, default=10.0, help="seconds until health is answered")
    parser.add_argument("--operation", type=float, default=5.0, help="seconds a change's operation runs")
    parser.add_argument("--drain", type=float, default=0.0, help="seconds a backend that left is draining")
    options = parser.parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    view = FrontView(admin(options.front), pace=Pace(options.delay, options.drain))
    shape = Shape(options.question, options.operation)
    server, ended = serve((host, int(port)), view, shape=shape), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    view.start()
    server.start()
    ended.wait()
    server.close()
    view.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
