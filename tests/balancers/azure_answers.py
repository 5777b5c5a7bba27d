"""Azure in the hands of a test: scripted answers in the shapes of its REST API."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from tests.signals.fakes import FakeClock, ports
from upgrader.model.ports import Answer, Ports, Request

ENDPOINT = "http://127.0.0.1:9"
WHERE = f"{ENDPOINT}/subscriptions/s/providers/Microsoft.Network/locations/eastus/operationResults/1"


def said(status: int, body: Any = None, **headers: str) -> Answer:
    """Return an answer with a JSON body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, b"" if body is None else json.dumps(body).encode(), headers=named)


def refused(status: int, code: str, message: str = "no", **headers: str) -> Answer:
    """Return an answer with Azure's form of an error."""
    return said(status, {"error": {"code": code, "message": message}}, **headers)


def accepted(where: str = WHERE, **headers: str) -> Answer:
    """Return what Azure says to a question that it will answer later."""
    return said(202, location=where, **headers)


@dataclass
class ScriptedAzure:
    """HTTP that answers each call with the next of the script; a call too many is a mistake of the test."""

    script: list[Answer] = field(default_factory=list)
    sent: list[Request] = field(default_factory=list)

    def get(self, url: str, *, deadline_seconds: float) -> Answer:
        return self.send(Request("GET", url), deadline_seconds=deadline_seconds)

    def send(self, request: Request, *, deadline_seconds: float) -> Answer:
        self.sent.append(request)
        return self.script.pop(0)

    def calls(self) -> list[str]:
        """Return method and path of each call, without what all have in common."""
        return [f"{one.method} {urlsplit(one.url).path.rpartition('/providers/')[2]}" for one in self.sent]

    def bodies(self) -> list[Any]:
        """Return what was sent by the calls that change something."""
        return [json.loads(one.body)["properties"] for one in self.sent if one.method == "PATCH"]


def world(http: ScriptedAzure, clock: FakeClock) -> Ports:
    """Return ports of which only these may be used, and a token."""
    return replace(ports(clock=clock), http=http, token=lambda provider: f"token of {provider}")


def gateway(*servers: tuple[str, str], pool: str = "gateways") -> dict[str, Any]:
    """Return a gateway's backend health, of pairs of IP and word."""
    collection = [{"servers": [{"address": address, "health": word} for address, word in servers]}]
    place = {"id": f"/subscriptions/s/resourceGroups/g/x/backendAddressPools/{pool}"}
    pools = [{"backendAddressPool": place, "backendHttpSettingsCollection": collection}]
    return {"backendAddressPools": pools}


def rule(*backends: tuple[str, str, str]) -> dict[str, Any]:
    """Return a load balancing rule's health, of IP, state and reason."""
    listed = [{"ipAddress": ip, "state": state, "reason": reason} for ip, state, reason in backends]
    return {"up": 1, "down": 0, "loadBalancerBackendAddresses": listed}


def origin(name: str, weight: int | None, **changes: Any) -> dict[str, Any]:
    """Return an origin as Azure lists it; ``changes`` are properties."""
    properties = {
        "enabledState": "Enabled",
        "weight": weight,
        "priority": 1,
        "provisioningState": "Succeeded",
        "deploymentStatus": "NotStarted",
    }
    return {"name": name, "properties": properties | changes}


def group(*origins: dict[str, Any]) -> Answer:
    """Return the list of a group's origins."""
    return said(200, {"value": list(origins)})
