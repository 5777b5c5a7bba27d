"""What Google's load balancer says of the endpoints in its network endpoint groups (NEGs). Pure.

An endpoint is judged by the health that one backend service has of it, never by another's: the readiness
gate of GKE takes any. No health at all of a whole NEG is not "healthy": it is not attached to a service that
checks health, or no check has come to an end yet.
Source: fields and enums of google-cloud-compute 1.57.0 (``HealthStatusForNetworkEndpoint``), 2026-11-24.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from upgrader.model.backend_health import Health

GATE: Final = "cloud.google.com/load-balancer-neg-ready"
"""The readiness gate that GKE puts on pods of a NEG."""
OPEN_GATES: Final = ("LoadBalancerNegTimeout", "LoadBalancerNegWithoutHealthCheck")
"""Reasons by which the gate is True and proves nothing: ten minutes passed, or nobody checks health.

Source: kubernetes/ingress-gce, pkg/neg/readiness/reflector.go (``negReadyTimedOutReason``,
``negReadyUnhealthCheckedReason``, ``unreadyTimeout``), 2026-11-24.
"""
WORDS: Final = {
    "HEALTHY": Health.HEALTHY,
    "UNHEALTHY": Health.FAILING,
    "DRAINING": Health.LEAVING,
    "UNKNOWN": Health.UNKNOWN,
}
_GROUP = re.compile(r".*?(projects/[^/]+/zones/([^/]+)/networkEndpointGroups/([^/]+))")


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """One zonal NEG.

    Args:
        path: From ``projects/`` on.
        zone: Its zone.
        name: Its name.
        is_drained: Its capacity is scaled to 0: it is checked as before, and gets no request. Source:
            google-cloud-compute 1.57.0, ``Backend.capacity_scaler``, 2026-11-24.
    """

    path: str
    zone: str
    name: str
    is_drained: bool = False

    def __str__(self) -> str:
        return f"{self.zone}/{self.name}"


@dataclass(frozen=True, slots=True)
class Attached:
    """One endpoint of a NEG.

    Args:
        address: Its IP.
        words: What the backend service says of it, one for each IP version that it checks; empty when no
            check of it has come to an end.
    """

    address: str
    words: tuple[str, ...]


def groups_of(service: Mapping[str, Any]) -> tuple[Group, ...]:
    """Return the zonal NEGs behind a backend service, as ``backendServices.get`` tells it.

    Raises:
        ValueError: It has none, or one of another kind; the text says which.
    """
    found = []
    for backend in service.get("backends") or ():
        place = str(backend.get("group") or "")
        match = _GROUP.fullmatch(place)
        if match is None:
            raise ValueError(f"its backend {place} is no zonal network endpoint group")
        path, zone, name = match.groups()
        found.append(Group(path, zone, name, is_drained=backend.get("capacityScaler") == 0))
    if not found:
        raise ValueError("it has no backends")
    return tuple(sorted(found))


def read_endpoints(page: Mapping[str, Any], service: str) -> tuple[Attached, ...]:
    """Read one page of ``listNetworkEndpoints`` with ``healthStatus: SHOW``.

    Args:
        page: The page.
        service: The backend service whose word counts: its `tail`.
    """
    return tuple(_attached(item, service) for item in page.get("items") or ())


def tail(url: str) -> str:
    """Return the end of a resource's URL that does not depend on how the project is written."""
    return re.sub(r"^.*?projects/[^/]+/", "", url)


def judged(attached: Iterable[Attached], *, unsaid: Health) -> dict[str, list[Health]]:
    """Return what is said of each IP; words we do not know are `Health.UNKNOWN`.

    Args:
        attached: The endpoints of one NEG.
        unsaid: What an endpoint without health is.
    """
    healths: dict[str, list[Health]] = {}
    for one in attached:
        said = [WORDS.get(word, Health.UNKNOWN) for word in one.words] or [unsaid]
        healths.setdefault(one.address, []).extend(said)
    return healths


def drained(healths: Iterable[Health]) -> list[Health]:
    """Return what is said of an endpoint in a group that gets nothing: good becomes leaving."""
    good = (Health.HEALTHY, Health.UNPROVEN)
    return [Health.LEAVING if one in good else one for one in healths]


def strange_words(attached: Iterable[Attached]) -> tuple[str, ...]:
    """Return the words that no schema we know has, sorted."""
    return tuple(sorted({word for one in attached for word in one.words} - set(WORDS)))


def _attached(item: Mapping[str, Any], service: str) -> Attached:
    endpoint = item.get("networkEndpoint") or {}
    words = tuple(
        word
        for one in item.get("healths") or ()
        if tail(str((one.get("backendService") or {}).get("backendService") or "")) == service
        for word in _words(one)
    )
    return Attached(str(endpoint.get("ipAddress") or endpoint.get("ipv6Address") or ""), words)


def _words(health: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words of both addresses, where an endpoint has two."""
    said = (health.get("healthState"), health.get("ipv6HealthState"))
    return tuple(str(word) for word in said if word) or ("UNKNOWN",)
