"""The weights in a URL map of Google's load balancer: read back, and changed under its fingerprint."""

from __future__ import annotations

import shlex
from typing import Any, Final
from urllib.parse import quote

from upgrader.adapters.gcp_compute import Budget, Call, ComputeApi
from upgrader.errors import BalancerUnwilling
from upgrader.model.gcp_health import tail
from upgrader.model.gcp_url_map import Pair, Routes, patch, read_routes, weights
from upgrader.model.plugins import Split

WRITE_SECONDS: Final = 2.0
"""How long the patch may take; how one ended that is cut off is found out by the next `split`."""
_UNDONE: Final = "status != DONE"


def backend_services(path: str) -> str:
    """Return what the API and IAM call backend services of a scope: regional ones have rights of their own.

    Source: docs.cloud.google.com, gcloud reference, ``compute backend-services test-iam-permissions``,
    2026-11-24.

    Args:
        path: From ``global/`` or ``regions/`` on.
    """
    return "backendServices" if path.startswith("global/") else "regionBackendServices"


class UrlMap:
    """One URL map.

    Args:
        api: The API.
        project: The project's id.
        path: From ``global/`` or ``regions/`` on.
        pair: The two backend services between which it parts traffic.
    """

    def __init__(self, api: ComputeApi, *, project: str, path: str, pair: Pair) -> None:
        self.project = project
        self._api = api
        self._path = path
        self._pair = pair
        self._operation = ""
        self.trouble = ""
        """Why the weights could not be told when they were last read, or the empty text."""
        self._blue, self._green = (name.rsplit("/", 1)[-1] for name in (pair.blue, pair.green))
        regional = not path.startswith("global/")
        self._kind = "regionUrlMaps" if regional else "urlMaps"
        self._operations = "regionOperations" if regional else "globalOperations"
        self._scope = path.partition("/urlMaps/")[0]

    def split(self, budget: Budget) -> Split:
        """Return green's share as it is set; without one while an operation runs, or where places differ.

        Raises:
            BalancerUnwilling: It cannot be read.
        """
        running = self._running(budget)
        if running:
            return Split(None, running)
        routes = read_routes(self._get(budget), self._pair)
        self.trouble = self._unfit(routes)
        return Split(None, self.trouble) if self.trouble else Split(routes.ratios[0])

    def move(self, green_ratio: float, budget: Budget) -> None:
        """Set the weights in every place that names both, in one patch.

        Places that send past the weights hinder `split`, not this: the way back moves what can be moved.
        Source of the rights: docs.cloud.google.com, Cloud Load Balancing audit logging (``urlMaps.patch``:
        ``urlMaps.update``, ``backendServices.use``) and REST reference of ``regionUrlMaps.patch``
        (``regionUrlMaps.get``, ``regionUrlMaps.update``), 2026-11-24.

        Raises:
            BalancerUnwilling: No place names both; or it was refused, overtaken or not answered.
        """
        found = self._get(budget)
        if not read_routes(found, self._pair).ratios:
            raise BalancerUnwilling(self._unfit(Routes((), ())))
        use = f"compute.{backend_services(self._path)}.use"
        right = f"compute.{self._kind}.get, compute.{self._kind}.update and {use}"
        body = patch(found, self._pair, green_ratio)
        if body.keys() == {"fingerprint"}:
            return
        call = Call(f"{self._kind}.patch", f"projects/{self.project}/{self._path}", right, "PATCH", body)
        begun = self._api.send(call, deadline_seconds=WRITE_SECONDS)
        self._operation = str(begun.get("name") or "")

    def by_hand(self, green_ratio: float) -> str:
        """Return the command and what to write in its editor: gcloud has none that sets a weight alone."""
        name, (blue, green) = self._path.rsplit("/", 1)[-1], weights(green_ratio)
        scope = self._scope.replace("regions/", "region=")
        command = shlex.join(
            ["gcloud", "compute", "url-maps", "edit", name, f"--{scope}", f"--project={self.project}"]
        )
        return (
            f"{command}  # weight {blue} for {self._blue}, {green} for {self._green}, wherever both are named"
        )

    def _get(self, budget: Budget) -> dict[str, Any]:
        right = f"compute.{self._kind}.get"
        call = Call(f"{self._kind}.get", f"projects/{self.project}/{self._path}", right)
        return self._api.send(call, deadline_seconds=budget.next_seconds())

    def _unfit(self, routes: Routes) -> str:
        """Say why the URL map cannot tell one share for all, with what to do; empty when it can."""
        if routes.strays:
            return (
                f"{self._path} sends requests of {routes.strays[0]} to {self._blue} or {self._green} past "
                "the weights: name both there under weightedBackendServices, or such requests are never moved"
            )
        if not routes.ratios:
            return (
                f"{self._path} names {self._blue} and {self._green} nowhere together: route by "
                f"weightedBackendServices to both, {self._blue} 1000 and {self._green} 0"
            )
        if len(set(routes.ratios)) > 1 or None in routes.ratios:
            shares = sorted({str(one) for one in routes.ratios})
            return f"places of {self._path} part traffic differently, or to nobody: {', '.join(shares)}"
        return ""

    def _running(self, budget: Budget) -> str:
        """Say which operation on the URL map is not done, also one that another process or person began.

        Raises:
            BalancerUnwilling: The one that we began has failed, or this cannot be found out.
        """
        if self._operation:
            return self._ours(budget)
        call = Call(
            f"{self._operations}.list",
            f"projects/{self.project}/{self._scope}/operations?filter={quote(_UNDONE)}&maxResults=500",
            f"compute.{self._operations}.list",
        )
        found = self._api.send(call, deadline_seconds=budget.next_seconds())
        mine = [
            one for one in found.get("items") or () if tail(str(one.get("targetLink") or "")) == self._path
        ]
        undone = [str(one.get("name")) for one in mine if one.get("status") != "DONE"]
        if not undone and found.get("nextPageToken"):
            return "more than 500 operations are running in the project"
        return f"operation {undone[0]} is running" if undone else ""

    def _ours(self, budget: Budget) -> str:
        name = self._operation
        call = Call(
            f"{self._operations}.get",
            f"projects/{self.project}/{self._scope}/operations/{name}",
            f"compute.{self._operations}.get",
        )
        operation = self._api.send(call, deadline_seconds=budget.next_seconds())
        if operation.get("status") != "DONE":
            return f"operation {name} is {operation.get('status')}"
        self._operation = ""
        errors = (operation.get("error") or {}).get("errors") or ()
        if errors:
            words = "; ".join(f"{one.get('code')}: {one.get('message')}" for one in errors)
            raise BalancerUnwilling(f"operation {name} failed ({words})", remedy="the weights are read back")
        return ""
