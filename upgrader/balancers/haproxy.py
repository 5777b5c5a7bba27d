"""Ask a HAProxy in front of the gateway how it sees each pod, and part its traffic between two places.

The places are two of its backends; green's share stands in a map that the configuration compares with a
random number, and one ``set map`` changes it: a single step whatever the number of servers, which the coming
and going of pods never shifts. How the configuration reads, and how the share outlives a reload, is in
``docs/balancers.md``; words and pages: `upgrader.model.haproxy_pages`.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from upgrader.errors import BalancerUnwilling
from upgrader.model.backend_health import LOOKS_TO_BELIEVE, Health, Intake, worst
from upgrader.model.first_requests import FirstRequests
from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.haproxy_pages import (
    PARTS,
    Following,
    Place,
    Server,
    grown,
    pages,
    parts_of,
    read_place,
    read_share,
)
from upgrader.model.plugins import Signal, Split
from upgrader.model.ports import Answer, Ports
from upgrader.model.reading import Fact, Reading, Weight

READ_SECONDS: Final = 0.4
"""Deadline of a look: HAProxy answers within milliseconds, or is in trouble."""
MOVE_SECONDS: Final = 0.5
"""Deadline of a change: a step may ask and change in one turn, which is to be over within a second."""
RETRYING_LOOKS: Final = 3
"""Retries in so many looks in a row are no accident."""
_NO_ADDRESS: Final = (
    "none of its {} servers shows an address: they have none yet, or its socket needs `level operator` or "
    "`admin`"
)
_REMEDIES: Final = {
    "Permission denied": "give its stats socket `level admin`",
    "entry not found": "the map's file needs the line `{green} 0`; then reload HAProxy",
    "Unknown map identifier": "name the map as the configuration does, and use it there in map_str_int(...)",
}


class HaproxyBalancer:
    """The balancer as a signal; see the module's text."""

    interval_seconds = 1.0
    counts_requests = False
    compares_pods = False
    speaks_of_backends = True

    def __init__(self, settings: Mapping[str, Any], ports: Ports) -> None:
        """Remember whom to ask; the arguments are `build`'s."""
        self._socket = str(settings["socket"])
        self._places: tuple[str, ...] = (str(settings["backend"]),)
        self.name = f"haproxy {self._places[0]}"
        self._intake = Intake(self.name, settle_seconds=_seconds(settings, "settle", 30.0))
        self._runtime = ports.runtime
        self._clock = ports.clock
        self._retries: int | None = None
        self._retrying = 0
        self._servers: dict[tuple[str, str], Server] = {}
        self._first_requests = FirstRequests(self.name)

    def read(self, fleet: Fleet) -> Reading:
        """Look once at all servers."""
        commands = self._commands()
        answer = self._runtime(self._socket, ";".join(commands), READ_SECONDS)
        found = pages(answer.body, len(commands))
        if answer.error or found is None:
            return self._blind(_why_unread(answer))
        places = [read_place(page, name) for page, name in zip(found, self._places, strict=False)]
        for name, place, page in zip(self._places, places, found, strict=False):
            if place is None:
                return self._blind(f"no backend {name} on its page: {_first_line(page)}")
        return self._reading(fleet, [one for one in places if one], found)

    def close(self) -> None:
        """Do nothing: each question has a connection of its own."""

    def _commands(self) -> list[str]:
        return [f"show stat {name} 6 -1" for name in self._places]  # 6: the backend and its servers

    def _blind(self, error: str) -> Reading:
        now = self._clock.now()
        return Reading(self.name, now, None, self._socket, complete=False, error=error)

    def _reading(self, fleet: Fleet, places: Sequence[Place], found: Sequence[str]) -> Reading:
        servers = [server for place in places for server in place.servers]
        health = _health(servers)
        if servers and not health:
            return self._blind(_NO_ADDRESS.format(len(servers)))
        pods = self._intake.serving(fleet, health)
        if not self._intake.knows_any:
            return self._blind(f"none of its {len(servers)} servers is a pod of the gateway")
        values, facts = self._more(places, found)
        sent = self._sent(pods, places)
        now = self._clock.now()
        return Reading(
            self.name,
            now,
            now,
            self._socket,
            facts=(
                *self._intake.facts(pods, health, now=self._clock.monotonic()),
                *self._told_retries(sum(place.retries for place in places)),
                *_remarks(servers),
                *self._first_requests.look(pods, sent, new_ratio=fleet.new_ratio),
                *facts,
            ),
            values=self._intake.values(pods, health) | _of_sides(pods, sent) | values,
        )

    def _sent(self, pods: Sequence[Pod], places: Sequence[Place]) -> Counter[str]:
        """Return the requests that HAProxy sent to each pod since the last look, by uid."""
        uids = {pod.address: pod.uid for pod in pods}
        sent: Counter[str] = Counter()
        now = {(place.name, one.name): one for place in places for one in place.servers}
        for key, one in now.items():
            before = self._servers.get(key)
            if one.address in uids:
                sent[uids[one.address]] += grown(before.requests if before else None, one.requests)
        self._servers = now
        return sent

    def _more(
        self, places: Sequence[Place], found: Sequence[str]
    ) -> tuple[dict[str, float], tuple[Fact, ...]]:
        """Return what a look says beyond health."""
        return {}, ()

    def _told_retries(self, retries: int) -> tuple[Fact, ...]:
        count, self._retries = grown(self._retries, retries), retries
        self._retrying = self._retrying + 1 if count else 0
        if not count:
            return ()
        weight = Weight.HOLD if self._retrying >= RETRYING_LOOKS else Weight.NOTE
        text = f"{self.name} retried {count} requests since the last look: its clients do not see them fail"
        return (Fact(weight, "retries-hide-failures", text),)


class HaproxyTraffic(HaproxyBalancer):
    """The balancer that also moves traffic: `upgrader.model.plugins.Traffic`."""

    finest_ratio = 1 / PARTS

    def __init__(self, settings: Mapping[str, Any], ports: Ports) -> None:
        """Remember whom to ask; the arguments are `build`'s, with ``green`` and ``map``."""
        super().__init__(settings, ports)
        self._green = str(settings["green"])
        self._places = (*self._places, self._green)
        self._map = str(settings["map"])
        self.delay_seconds = _seconds(settings, "delay", 1.0)
        self._following = Following(delay_seconds=self.delay_seconds)
        self._unknown = 0

    def split(self) -> Split:
        """Ask for green's share as it is in HAProxy's memory now."""
        answer = self._runtime(self._socket, f"show map {self._map}", READ_SECONDS)
        found = pages(answer.body, 1)
        if answer.error or found is None:
            return Split(None, _why_unread(answer))
        return Split(*read_share(found[0], self._green))

    def move(self, green_ratio: float) -> None:
        """Set green's share by one ``set map``; every request that comes after it is parted so.

        Raises:
            BalancerUnwilling: It was refused or not answered; without an answer it may have happened.
        """
        command = self._command(green_ratio)
        answer = self._runtime(self._socket, command, MOVE_SECONDS)
        if answer.error:
            raise BalancerUnwilling(f"{self.name}: {answer.error}", remedy=f"look at its socket: {command}")
        if said := _first_line(answer.body.decode(errors="replace")):  # done without a word
            known = (remedy for words, remedy in _REMEDIES.items() if words.lower() in said.lower())
            remedy = next(known, f"try it by hand: {command}").format(green=self._green)
            raise BalancerUnwilling(f"{self.name}: it answered to `{command}`: {said}", remedy=remedy)

    def by_hand(self, green_ratio: float) -> str:
        """Return the command that sets the share so, for an operator without this tool."""
        kind, _, rest = self._socket.partition(":")
        where = f"UNIX-CONNECT:{rest}" if kind == "unix" else f"TCP:{self._socket}"
        return f"echo {shlex.quote(self._command(green_ratio))} | socat - {shlex.quote(where)}"

    def _command(self, green_ratio: float) -> str:
        return f"set map {self._map} {self._green} {parts_of(green_ratio)}"

    def _commands(self) -> list[str]:
        return [*super()._commands(), f"show map {self._map}"]

    def _more(
        self, places: Sequence[Place], found: Sequence[str]
    ) -> tuple[dict[str, float], tuple[Fact, ...]]:
        ratio, why = read_share(found[-1], self._green)
        differs = self._following.look(ratio, *places, now=self._clock.monotonic())
        self._unknown = self._unknown + 1 if ratio is None else 0
        if ratio is None:
            text = f"how {self.name} parts traffic is not known: {why}"
            is_told = self._unknown >= LOOKS_TO_BELIEVE
            return {}, (Fact(Weight.HOLD, "split-unknown", text),) if is_told else ()
        facts = (Fact(Weight.HOLD, "split-not-followed", f"{self.name}: {differs}"),) if differs else ()
        return {"green_ratio": ratio}, facts


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the balancer; with ``green`` it moves traffic too.

    Args:
        settings: ``socket``: ``unix:/PATH`` or ``HOST:PORT``; ``backend``: the HAProxy backend with the
            gateway's pods; ``settle`` (30 s); ``green``: the backend of the other place; ``map``: the map
            with green's share, as HAProxy knows it; ``delay`` (1 s).
        ports: The world.
    """
    return HaproxyTraffic(settings, ports) if settings.get("green") else HaproxyBalancer(settings, ports)


def _seconds(settings: Mapping[str, Any], key: str, default: float) -> float:
    value = settings.get(key, default)
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _health(servers: Iterable[Server]) -> Mapping[str, Health]:
    """Return each IP's health; servers without one are empty places of a ``server-template``."""
    by_address: dict[str, list[Health]] = {}
    for one in servers:
        if one.address:
            by_address.setdefault(one.address, []).append(one.health())
    return {address: worst(said) for address, said in by_address.items()}


def _of_sides(pods: Sequence[Pod], sent: Mapping[str, int]) -> dict[str, float]:
    return {
        f"{side.value}_requests": float(sum(sent.get(pod.uid, 0) for pod in pods if pod.side is side))
        for side in Side
    }


def _remarks(servers: Sequence[Server]) -> tuple[Fact, ...]:
    """Say what keeps servers from ever being healthy: no check, or a state that we do not know."""
    facts: list[Fact] = []
    if unchecked := [one.name for one in servers if one.status == "no check"]:
        text = f"HAProxy does not check server {', '.join(unchecked[:3])}: it is not taken for healthy"
        facts.append(Fact(Weight.NOTE, "no-active-check", text))
    if strange := next((one for one in servers if not one.is_known_state), None):
        text = f"HAProxy calls server {strange.name} {strange.status!r}, a state that is not known here"
        facts.append(Fact(Weight.NOTE, "unknown-health-word", text))
    return tuple(facts)


def _why_unread(answer: Answer) -> str:
    if answer.error:
        return answer.error
    first = _first_line(answer.body.decode(errors="replace"))
    return f"its answer is none of HAProxy's, or was cut off: {first!r}"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]
