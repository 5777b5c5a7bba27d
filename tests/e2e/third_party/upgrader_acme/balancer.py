"""Acme's load balancer: the health of two pools, and a split between them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from upgrader.errors import BalancerUnwilling
from upgrader.model.backend_health import Health, Intake
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Signal, Split
from upgrader.model.ports import Ports
from upgrader.model.reading import Fact, Reading, Weight
from upgrader.model.strict import Strict, Text
from upgrader.model.units import Duration
from upgrader.model.watching import Url

from .api import AcmeApi

WORDS = {
    "up": Health.HEALTHY,
    "down": Health.FAILING,
    "warming": Health.UNPROVEN,
    "leaving": Health.LEAVING,
    "all-open": Health.UNKNOWN,  # nobody is well, and all get traffic
}


class Settings(Strict):
    """The keys of a playbook's entry of kind ``acme``."""

    url: Url
    pool: Text
    green: Text | None = None
    settle: Duration = timedelta(seconds=20)


class AcmeBalancer:
    """The balancer as a signal, and as what moves traffic."""

    interval_seconds = 1.0
    counts_requests = False
    compares_pods = False
    speaks_of_backends = True
    finest_ratio = 0.005
    delay_seconds = 2.0

    def __init__(self, api: AcmeApi, settings: Mapping[str, Any], ports: Ports) -> None:
        self.name = f"acme {settings['pool']}"
        self._api = api
        self._pools = [one for one in (settings["pool"], settings.get("green")) if one]
        self._clock = ports.clock
        self._intake = Intake(self.name, settle_seconds=settings["settle"].total_seconds())

    def read(self, fleet: Fleet) -> Reading:
        """Look once at the pools and at the split."""
        now = self._clock.now()
        try:
            said = self._api.get(f"/backends?pools={','.join(self._pools)}")
            share = self._share()
        except BalancerUnwilling as error:
            return Reading(self.name, now, None, self._api.url, complete=False, error=_sentence(error))
        health = {address: WORDS.get(word, Health.UNKNOWN) for address, word in said.items()}
        strange = sorted({*said.values()} - {*WORDS})
        pods = self._intake.serving(fleet, health)
        facts = self._intake.facts(pods, health, now=self._clock.monotonic())
        text = f"{self.name} calls backends {', '.join(strange)}, which is not known"
        notes = (Fact(Weight.NOTE, "unknown-health-word", text),) if strange else ()
        values = self._intake.values(pods, health) | {"green_ratio": share}
        return Reading(self.name, now, now, self._api.url, facts=(*facts, *notes), values=values)

    def close(self) -> None:
        """Nothing runs."""

    def split(self) -> Split:
        """Ask how traffic is parted."""
        try:
            return Split(self._share())
        except BalancerUnwilling as error:
            return Split(None, _sentence(error))

    def move(self, green_ratio: float) -> None:
        """Set green's share, in steps of a half percent; raises `BalancerUnwilling`."""
        self._api.put("/split", {"green_permille": _permille(green_ratio)})

    def by_hand(self, green_ratio: float) -> str:
        """Return the command that does the same."""
        body = f'{{"green_permille": {_permille(green_ratio)}}}'
        return f"curl -X PUT {shlex.quote(self._api.url + '/split')} -d {shlex.quote(body)}"

    def _share(self) -> float:
        return float(self._api.get("/split")["green_permille"]) / 1000


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the balancer."""
    return AcmeBalancer(AcmeApi(settings["url"], ports.http), settings, ports)


def _permille(green_ratio: float) -> int:
    if green_ratio in (0, 1):
        return int(green_ratio * 1000)
    return min(995, max(5, 5 * round(green_ratio * 200)))


def _sentence(error: BalancerUnwilling) -> str:
    return f"{error.what}; {error.remedy}" if error.remedy else error.what
