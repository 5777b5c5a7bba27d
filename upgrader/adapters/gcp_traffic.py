"""The weights in a URL map of Google's load balancer: read back, and changed under its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from upgrader.adapters.gcp_compute import Budget, Call, ComputeApi
from upgrader.errors import BalancerUnwilling
from upgrader.model.gcp_health import tail
from upgrader.model.gcp_url_map import Pair, patch, read_routes
from upgrader.model.plugins import Split

WRITE_SECONDS: Final = 2.0
"""How long the patch may take; how one ended that is cut off is found out by the next `split`."""
_UNDONE: Final = "status != DONE"


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
        regional = not path.startswith("global/")
        self._kind = "regionUrlMaps" if regional else "urlMaps"
        self._operations = "regionOperations" if regional else "globalOperations"
        self._scope = path.partition("/urlMaps/")[0]

    def split(self, budget: Budget) -> Split:
        """Return green's share as it is set; without one while an operation runs or places differ.

        Raises:
            BalancerUnwilling: It cannot be read, or can't be moved as it stands.
        """
        running = self._running(budget)
        if running:
            return Split(None, running)
        ratios = self._ratios(self._get(budget))
        if len(ratios) > 1 or None in ratios:
            return Split(
                None,
                f"routes of {self._path} part traffic differently, or to nobody: {sorted(map(str, ratios))}",
            )
        return Split(next(iter(ratios)))

    def move(self, green_ratio: float, budget: Budget) -> None:
        """Set the weights everywhere, in one patch.

        Raises:
            BalancerUnwilling: As `split`; or it was refused, overtaken or not answered.
        """
        found = self._get(budget)
        self._ratios(found)
        right = f"compute.{self._kind}.update and compute.backendServices.use"
        body = patch(found, self._pair, green_ratio)
        if body.keys() == {"fingerprint"}:
            return
        call = Call(f"{self._kind}.patch", f"projects/{self.project}/{self._path}", right, "PATCH", body)
        begun = self._api.send(call, deadline_seconds=WRITE_SECONDS)
        self._operation = str(begun.get("name") or "")

    def _get(self, budget: Budget) -> dict[str, Any]:
        right = f"compute.{self._kind}.get"
        call = Call(f"{self._kind}.get", f"projects/{self.project}/{self._path}", right)
        return self._api.send(call, deadline_seconds=budget.next_seconds())

    def _ratios(self, url_map: Mapping[str, Any]) -> set[float | None]:
        routes = read_routes(url_map, self._pair)
        blue, green = (name.rsplit("/", 1)[-1] for name in (self._pair.blue, self._pair.green))
        if routes.strays:
            raise BalancerUnwilling(
                f"{self._path} sends requests of {routes.strays[0]} to {blue} or {green} past the weights",
                remedy="name both there under weightedBackendServices: such requests would never be moved",
            )
        if not routes.ratios:
            raise BalancerUnwilling(
                f"{self._path} names {blue} and {green} nowhere together",
                remedy=f"route by weightedBackendServices to both: {blue} 1000, {green} 0",
            )
        return set(routes.ratios)

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
