"""What a HAProxy says by its runtime API: servers and their health, traffic, and green's share. Pure.

Source: HAProxy 2.6 management guide, 9.1 (CSV format) and 9.3 (commands); every word and form below seen from
HAProxy 2.6.12 on 2026-11-24.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from upgrader.model.backend_health import Health

PARTS: Final = 10_000
"""Green's share is written in the map as so many parts of these: the ``rand(10000)`` of the configuration."""
_FRONTEND, _BACKEND, _SERVER = "0", "1", "2"
_END = "\n\n"
"""Each answer to a ``show`` ends with an empty line; without it, it is not whole."""
_STATES: Final = {
    "UP": Health.HEALTHY,
    "DOWN": Health.FAILING,
    "MAINT": Health.LEAVING,
    "DRAIN": Health.LEAVING,
    "NOLB": Health.LEAVING,
    "no": Health.UNPROVEN,
}
"""First word of a server's status; ``no check`` is one of them."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a HAProxy backend.

    Args:
        name: Its name in the configuration.
        status: ``UP``, ``UP 1/3``, ``DOWN``, ``MAINT (resolution)``, ``no check`` …
        check: What its last health check said: ``L7OK``, ``L4CON``, ``INI`` before the first; empty for none.
        address: Its IP; empty when it has none, or when the socket is not allowed to tell.
        is_backup: It gets traffic only when no other is up.
        requests: Sent to it since HAProxy's last (re)start; connections in ``mode tcp``.
        has_weight: Without, it is ``UP`` all the same, and gets nothing new.
    """

    name: str
    status: str
    check: str
    address: str
    is_backup: bool
    requests: int = 0
    has_weight: bool = True

    @property
    def is_known_state(self) -> bool:
        """Tell whether its status is a word we know."""
        return self.status.partition(" ")[0] in _STATES

    def health(self) -> Health:
        """Judge it by HAProxy's words.

        A server is ``UP`` from HAProxy's start on, before any check: it is believed after its first. One on
        its way down (``UP 1/3``) still gets traffic, but a check spoke against it.
        """
        word, _, count = self.status.partition(" ")
        said = _STATES.get(word, Health.UNKNOWN)
        if said is Health.HEALTHY and not self.has_weight:
            return Health.LEAVING
        if said is Health.HEALTHY and (count or self.check == "INI" or self.is_backup):
            return Health.UNPROVEN
        return said


@dataclass(frozen=True, slots=True)
class Place:
    """A HAProxy backend: the servers of one place. The counters grow since HAProxy's last (re)start.

    Args:
        name: Its name in the configuration.
        servers: All of them.
        requests: Sent there; connections in ``mode tcp``.
        retries: Requests sent again, to the same server or another.
    """

    name: str
    servers: tuple[Server, ...]
    requests: int
    retries: int


def pages(body: bytes, count: int) -> tuple[str, ...] | None:
    """Take apart the answer to several ``show`` commands sent in one line.

    Returns:
        One page a command, or ``None`` when these are not so many whole ones.
    """
    text = body.decode(errors="replace")
    parts = text.removesuffix(_END).split(_END)
    return tuple(parts) if text.endswith(_END) and len(parts) == count else None


def read_place(page: str, name: str) -> Place | None:
    """Read one backend off ``show stat NAME 6 -1``; ``None`` when the page has not all of it."""
    lines = page.removeprefix("# ").splitlines()
    rows = [row for row in csv.DictReader(lines) if row.get("pxname") == name]
    whole = next((row for row in rows if row.get("type") == _BACKEND), None)
    if whole is None or not all(row.get("status") for row in rows):
        return None
    return Place(
        name=name,
        servers=tuple(_server(row) for row in rows if row.get("type") == _SERVER),
        requests=_number(whole, "stot"),
        retries=_number(whole, "wretr") + _number(whole, "wredis"),
    )


def read_taken(page: str, name: str) -> int | None:
    """Read how many requests a frontend was sent off ``show stat``; ``None`` when the page has it not."""
    rows = csv.DictReader(page.removeprefix("# ").splitlines())
    found = [row for row in rows if (row.get("pxname"), row.get("type")) == (name, _FRONTEND)]
    return _number(found[0], "req_tot") if found else None


def read_share(page: str, key: str) -> tuple[float | None, str]:
    """Read green's share off ``show map FILE``.

    Args:
        page: Lines of ``0xADDRESS KEY VALUE``.
        key: The name of green's backend.

    Returns:
        The share, 0-1, or ``None`` and why not.
    """
    found = {" ".join(words[2:]) for line in page.splitlines() if (words := line.split())[1:2] == [key]}
    if not found:
        first = page.strip().partition("\n")[0]
        is_list = first.startswith("0x") or not first
        return None, f"its map has no entry {key}" if is_list else first[:200]
    if len(found) > 1:
        return None, f"its map has several entries {key}: {', '.join(sorted(found))}"
    value = found.pop()
    if not value.isdecimal() or int(value) > PARTS:
        return None, f"the entry {key} of its map is {value!r}, which is no number of 0-{PARTS}"
    return int(value) / PARTS, ""


def parts_of(green_ratio: float) -> int:
    """Return a share in parts of `PARTS`; 0 and all of them only for 0 and 1."""
    if green_ratio in (0.0, 1.0):
        return int(green_ratio) * PARTS
    return min(max(round(green_ratio * PARTS), 1), PARTS - 1)


class Following:
    """Watches whether traffic parts as it is set: a configuration may not heed the map, or read it otherwise.

    Args:
        delay_seconds: How long after a change traffic may still go the old way, >= 0.
    """

    def __init__(self, *, delay_seconds: float) -> None:
        self._delay = delay_seconds
        self._ratio: float | None = None
        self._since = 0.0
        self._base: tuple[int, int] | None = None

    def look(self, green_ratio: float | None, blue: Place, green: Place, *, now: float) -> str:
        """Return how traffic differs from what is set, as a sentence, or the empty text.

        What differs by six standard deviations, and five requests, is no chance; above the share one request
        in a hundred more may be sent to green by other rules, a header of the testers' say.

        Args:
            green_ratio: What is set, 0-1; ``None`` when it is not known.
            blue: Blue's backend.
            green: Green's backend.
            now: Monotonic seconds.
        """
        counts = (blue.requests, green.requests)
        has_restarted = self._base is not None and (counts[0] < self._base[0] or counts[1] < self._base[1])
        if green_ratio is None or green_ratio != self._ratio or has_restarted:
            self._ratio, self._since, self._base = green_ratio, now, None
        if self._ratio is None or now - self._since < self._delay:
            return ""
        self._base = self._base or counts
        to_green, ratio = counts[1] - self._base[1], self._ratio
        total = to_green + counts[0] - self._base[0]
        chance = 6 * math.sqrt(total * ratio * (1 - ratio)) + 5
        if total * ratio - chance <= to_green <= total * ratio + chance + total / 100:
            return ""
        return (
            f"{green.name} got {to_green} of {total} requests where its share is set to {ratio:.2%}: does "
            f"the configuration send it rand({PARTS}) below the map's number?"
        )


def _server(row: Mapping[str, str]) -> Server:
    return Server(
        name=row.get("svname") or "",
        status=row["status"],
        check=(row.get("check_status") or "").removeprefix("* "),  # one is running just now
        address=_host(row.get("addr") or ""),
        is_backup=row.get("bck") == "1",
        requests=_number(row, "stot"),
        has_weight=row.get("weight") != "0",
    )


def _host(address: str) -> str:
    """Return the IP of ``10.0.0.1:8080`` or ``[fd00::1]:8080``."""
    return address.rpartition(":")[0].strip("[]")


def grown(before: int | None, now: int) -> int:
    """Return what a counter grew by: 0 at the first look, all of it after a restart."""
    if before is None:
        return 0
    return now - before if now >= before else now


def _number(row: Mapping[str, str], key: str) -> int:
    value = row.get(key) or ""
    return int(value) if value.isdecimal() else 0
