"""Acme's own count of requests and errors, by the version that answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upgrader.errors import BalancerUnwilling
from upgrader.model.evidence import Counts
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Signal
from upgrader.model.ports import Ports
from upgrader.model.reading import Reading
from upgrader.model.strict import Strict, Text
from upgrader.model.watching import Url

from .api import AcmeApi

NAMES = ("new_requests", "new_failures", "old_requests", "old_failures")


class Settings(Strict):
    """The keys of a playbook's entry of kind ``acme_errors``."""

    url: Url
    tenant: Text


class AcmeErrors:
    """Counts both versions."""

    interval_seconds = 1.0
    counts_requests = True
    compares_pods = True
    speaks_of_backends = False

    def __init__(self, api: AcmeApi, tenant: str, ports: Ports) -> None:
        self.name = f"acme_errors {tenant}"
        self._api = api
        self._tenant = tenant
        self._clock = ports.clock
        self._before: Mapping[str, int] = {}
        self._read_at = 0.0

    def read(self, fleet: Fleet) -> Reading:
        """Ask once, and tell what grew since the last answer."""
        now = self._clock.now()
        try:
            total = self._api.get(f"/errors/{self._tenant}")
        except BalancerUnwilling as error:
            said = f"{error.what}; {error.remedy}" if error.remedy else error.what
            return Reading(self.name, now, None, self._api.url, complete=False, error=said)
        before, since = self._before, now - self._read_at
        self._before, self._read_at = total, now
        if not before:
            return Reading(self.name, now, now, self._api.url)
        anew = any(total[name] < before[name] for name in NAMES)
        grown = {name: total[name] - (0 if anew else before[name]) for name in NAMES}
        counts = Counts(**grown, seconds=since)
        return Reading(self.name, now, now, self._api.url, window_seconds=since, counts=counts)

    def close(self) -> None:
        """Nothing runs."""


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the signal."""
    return AcmeErrors(AcmeApi(settings["url"], ports.http), settings["tenant"], ports)
