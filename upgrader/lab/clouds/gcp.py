"""The lab's imitation of Google's Compute Engine API, as far as a load balancer's health and weights need it.

Fields, enums, paths and error bodies are those of the published API (google-cloud-compute 1.57.0,
2026-11-24); its official client library talks to it. Behind it is the lab's front balancer: see `front_view`.
There is one zonal NEG a backend service. What is not imitated: logins, and every other method, which is
answered 404.

Run it: ``python -m upgrader.lab.clouds.gcp --front http://127.0.0.1:9901 --listen 127.0.0.1:9910``.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from upgrader.lab.clouds.front_view import COLORS, Fault, FrontView, Pace, Seen, Standing, admin
from upgrader.lab.clouds.gcp_faults import error, struck
from upgrader.lab.clouds.gcp_url_map import Busy, Stale, UrlMaps
from upgrader.lab.clouds.serving import Asked, CloudServer, Told

STATES: Final = {Standing.HEALTHY: "HEALTHY", Standing.FAILED: "UNHEALTHY", Standing.LEAVING: "DRAINING"}
"""A backend that no check has met yet has no health at all."""
STRANGE_STATE: Final = "REBALANCING"
"""A word that no schema has, for `Fault.UNKNOWN`."""
_ROOT: Final = "https://www.googleapis.com/compute/v1/"


@dataclass(frozen=True, slots=True)
class Shape:
    """What there is in the imitated project.

    Args:
        project: Its id.
        zone: Where the NEGs are.
        region: Of backend services and URL map; empty for global ones.
        scheme: ``loadBalancingScheme`` of the backend services; ``EXTERNAL`` is the classic one.
        page: Endpoints on one page, 1-500.
        operation_seconds: How long an operation runs until it is DONE, >= 0.
        reads_per_minute: The rate quota of reads, refilled when a minute of the clock begins. Google counts
            them by kind and region; 1500 was each one's size while its page said so.
    """

    project: str = "lab"
    zone: str = "lab-a"
    region: str = ""
    scheme: str = "EXTERNAL_MANAGED"
    page: int = 250
    operation_seconds: float = 2.0
    reads_per_minute: int = 1500

    @property
    def scope(self) -> str:
        """Return what stands between the project and the name of a resource."""
        return f"regions/{self.region}" if self.region else "global"

    def link(self, rest: str) -> str:
        """Return the URL of a resource, whatever address serves it, as Google does."""
        return f"{_ROOT}projects/{self.project}/{rest}"


class Compute:
    """The API: one request in, one answer out; see the module's text.

    Args:
        view: The front balancer; started and closed by whoever made it.
        shape: What there is.
        hang: Waits so many seconds, or until the server is closed.
    """

    def __init__(self, view: FrontView, *, shape: Shape, hang: Callable[[float], object]) -> None:
        self._view = view
        self._shape = shape
        self._hang = hang
        self._maps = UrlMaps(view, link=shape.link, scope=shape.scope, seconds=shape.operation_seconds)
        self._minute, self._reads = 0, 0
        scope, project = re.escape(shape.scope), re.escape(shape.project)
        start = f"/compute/v1/projects/{project}/"
        self._methods: tuple[tuple[str, str, str, Callable[..., Told]], ...] = (
            ("GET", rf"{start}{scope}/backendServices/([\w-]+)", "backendServices.get", self._service),
            (
                "POST",
                rf"{start}{scope}/backendServices/([\w-]+)/getHealth",
                "backendServices.get",
                self._get_health,
            ),
            (
                "POST",
                rf"{start}zones/{re.escape(shape.zone)}/networkEndpointGroups/([\w-]+)/listNetworkEndpoints",
                "networkEndpointGroups.get",
                self._endpoints,
            ),
            ("GET", rf"{start}{scope}/urlMaps/([\w-]+)", "urlMaps.get", self._url_map),
            ("PATCH", rf"{start}{scope}/urlMaps/([\w-]+)", "urlMaps.update", self._patch),
            ("PUT", rf"{start}{scope}/urlMaps/([\w-]+)", "urlMaps.update", self._update),
            ("GET", rf"{start}{scope}/operations", "globalOperations.list", self._operations),
            ("GET", rf"{start}{scope}/operations/([\w-]+)", "globalOperations.get", self._operation),
        )

    def answer(self, asked: Asked) -> Told:
        """Answer one request as the API would, or as the fault in force wants."""
        parts = urlsplit(asked.target)
        for method, pattern, right, act in self._methods:
            found = re.fullmatch(pattern, parts.path)
            if found and method == asked.method:
                is_write = method in ("PATCH", "PUT")
                refused = self._refused(right, is_write=is_write)
                query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
                return refused or act(*found.groups(), query=query, body=asked.body)
        return error(404, "notFound", f"The resource '{parts.path}' was not found")

    def _refused(self, right: str, *, is_write: bool) -> Told | None:
        fault = self._view.faults.strike(is_write=is_write)
        if fault is Fault.HANG:
            self._hang(self._view.faults.seconds)
            return Told(0)
        minute = int(time.time() // 60)
        self._reads = self._reads + 1 if minute == self._minute else 1
        self._minute = minute
        if self._reads > self._shape.reads_per_minute and not is_write:
            fault = Fault.THROTTLE
        return struck(fault, right=self._right(right), project=self._shape.project)

    def _right(self, right: str) -> str:
        kind, _, verb = right.partition(".")
        regional = {
            "backendServices": "regionBackendServices",
            "urlMaps": "regionUrlMaps",
            "globalOperations": "regionOperations",
        }
        return f"compute.{regional.get(kind, kind) if self._shape.region else kind}.{verb}"

    def _service(self, name: str, **_: Any) -> Told:
        if name not in COLORS:
            return _absent(f"{self._shape.scope}/backendServices/{name}")
        link = self._shape.link(f"{self._shape.scope}/backendServices/{name}")
        group = {"group": self._group(name), "balancingMode": "RATE", "maxRatePerEndpoint": 1000.0}
        return Told(
            200,
            {
                "kind": "compute#backendService",
                "id": str(1 + COLORS.index(name)),
                "name": name,
                "selfLink": link,
                "backends": [group],
                "healthChecks": [self._shape.link("global/healthChecks/lab")],
                "loadBalancingScheme": self._shape.scheme,
                "protocol": "HTTP",
                "fingerprint": "bGFi",
            },
        )

    def _get_health(self, name: str, *, body: bytes, **_: Any) -> Told:
        if name not in COLORS or _json(body).get("group") != self._group(name):
            return _absent(f"{self._shape.scope}/backendServices/{name} with that group")
        said = [
            {"ipAddress": one.address, "port": one.port, "healthState": state}
            for one in self._view.seen(name)
            if (state := self._state(one)) in ("HEALTHY", "UNHEALTHY", STRANGE_STATE)
        ]
        return Told(200, {"kind": "compute#backendServiceGroupHealth", "healthStatus": said})

    def _endpoints(self, name: str, *, query: Mapping[str, str], body: bytes) -> Told:
        if name not in COLORS:
            return _absent(f"zones/{self._shape.zone}/networkEndpointGroups/{name}")
        shows = _json(body).get("healthStatus") == "SHOW"
        token, size = query.get("pageToken", "0"), query.get("maxResults", "500")
        if not token.isdecimal() or not size.isdecimal():
            return error(400, "invalid", "Invalid value for field 'pageToken' or 'maxResults'")
        start, all_of_it = int(token), self._view.seen(name)
        end = start + min(self._shape.page, int(size))
        page = {
            "kind": "compute#networkEndpointGroupsListNetworkEndpoints",
            "items": [self._item(name, one, shows=shows) for one in all_of_it[start:end]],
        }
        return Told(200, page | ({"nextPageToken": str(end)} if end < len(all_of_it) else {}))

    def _item(self, name: str, one: Seen, *, shows: bool) -> dict[str, Any]:
        endpoint = {"networkEndpoint": {"ipAddress": one.address, "port": one.port}}
        if not shows:
            return endpoint
        state = self._state(one)
        service = {"backendService": self._shape.link(f"{self._shape.scope}/backendServices/{name}")}
        return endpoint | {"healths": [{"backendService": service, "healthState": state}] if state else []}

    def _state(self, one: Seen) -> str:
        return STRANGE_STATE if self._view.faults.tells_unknown else STATES.get(one.standing, "")

    def _group(self, name: str) -> str:
        return self._shape.link(f"zones/{self._shape.zone}/networkEndpointGroups/{name}")

    def _url_map(self, name: str, **_: Any) -> Told:
        found = self._maps.get(name)
        return Told(200, found) if found else _absent(f"{self._shape.scope}/urlMaps/{name}")

    def _patch(self, name: str, *, body: bytes, **_: Any) -> Told:
        return self._change(name, _json(body), is_patch=True)

    def _update(self, name: str, *, body: bytes, **_: Any) -> Told:
        return self._change(name, _json(body), is_patch=False)

    def _change(self, name: str, change: Mapping[str, Any], *, is_patch: bool) -> Told:
        if self._maps.get(name) is None:
            return _absent(f"{self._shape.scope}/urlMaps/{name}")
        try:
            return Told(200, self._maps.change(change, is_patch=is_patch))
        except Busy as why:
            return error(400, "resourceNotReady", str(why))
        except Stale as why:
            return error(412, "conditionNotMet", str(why))
        except ValueError as why:
            return error(400, "invalid", str(why))

    def _operations(self, *, query: Mapping[str, str], **_: Any) -> Told:
        if query.get("filter", "status != DONE").replace('"', "") != "status != DONE":
            return error(400, "invalid", "Invalid value for field 'filter': this imitation knows one filter")
        found = self._maps.operations(only_running="filter" in query)
        return Told(200, {"kind": "compute#operationList", "items": found})

    def _operation(self, name: str, **_: Any) -> Told:
        found = [one for one in self._maps.operations() if one["name"] == name]
        return Told(200, found[0]) if found else _absent(f"{self._shape.scope}/operations/{name}")


def serve(address: tuple[str, int], view: FrontView, *, shape: Shape) -> CloudServer:
    """Return the server, not yet started; it and the view are the caller's to close."""
    stopped = threading.Event()
    compute = Compute(view, shape=shape, hang=stopped.wait)
    return CloudServer(address, compute.answer, faults=view.faults, stopped=stopped)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m upgrader.lab.clouds.gcp", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:9910", help="ADDRESS:PORT (default 127.0.0.1:9910)")
    parser.add_argument("--front", required=True, help="URL of the front balancer's admin page")
    parser.add_argument("--delay", type=float, default=60.0, help="seconds until traffic follows a weight")
    parser.add_argument("--operation", type=float, default=2.0, help="seconds an operation runs")
    parser.add_argument("--drain", type=float, default=0.0, help="seconds a backend that left is draining")
    parser.add_argument("--project", default="lab")
    parser.add_argument("--region", default="", help="default: global resources")
    options = parser.parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    view = FrontView(admin(options.front), pace=Pace(options.delay, options.drain))
    shape = Shape(options.project, region=options.region, operation_seconds=options.operation)
    server, ended = serve((host, int(port)), view, shape=shape), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    view.start()
    server.start()
    while not ended.wait(0.2):  # a signal that meets another thread does not end a wait without a limit
        pass
    server.close()
    view.close()
    return 0


def _json(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _absent(what: str) -> Told:
    return error(404, "notFound", f"The resource '{what}' was not found")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
