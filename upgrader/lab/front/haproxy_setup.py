"""The front balancer as a HAProxy: its configuration, who is in it, and its log in Envoy's words. Pure.

Source: HAProxy 2.6 configuration manual 8.5 (session state at disconnection) and management guide 9.3
(``set server``); tried with HAProxy 2.6.12 on 2026-11-24.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from upgrader.lab.front.bootstrap import CLUSTER, GREEN_CLUSTER, Address

BLUE, GREEN = CLUSTER, GREEN_CLUSTER
"""The backends of the two places; a playbook names them so."""
SLOTS: Final = 64
"""So many gateways a place may have: a running HAProxy is given addresses for servers it has already."""
NO_ADDRESS: Final = "127.0.0.1:1"
"""Where a free slot points; it is in maintenance, and nobody is asked there."""
_LOG = (
    '{"at":"%Ts.%ms","path":"%[capture.req.uri,json(utf8s)]","code":%ST,"state":"%tsc","milliseconds":%Ta,'
    '"gateway":"%si:%sp","server":"%s","agent":"%[capture.req.hdr(0),json(utf8s)]",'
    '"id":"%[capture.req.hdr(1),json(utf8s)]"}'
)
_FLAGS: Final = {
    "SC": "UF",
    "sC": "UF",
    "SH": "UC",
    "sH": "UT",
    "PH": "UPE",
}
"""How a request ended, in HAProxy's two letters and in Envoy's flag; a client's own end is ``DC``."""


@dataclass(frozen=True, slots=True)
class HaproxyFront:
    """One front balancer.

    Args:
        listen: Where traffic comes in.
        folder: Where its files are: ``admin.sock``, ``green.map``, ``haproxy.cfg``, ``access.log``.
        check_path: What is asked of each gateway, on the traffic port.
        check_interval_seconds: How often.
        unhealthy_threshold: Bad checks in a row until a gateway is left out.
    """

    listen: Address
    folder: Path
    check_path: str = "/envoy-hc"
    check_interval_seconds: float = 1.0
    unhealthy_threshold: int = 2

    @property
    def socket(self) -> str:
        """Return its stats socket as a playbook names it."""
        return f"unix:{self.folder}/admin.sock"

    @property
    def map(self) -> str:
        """Return the map that holds green's share."""
        return f"{self.folder}/green.map"

    def configuration(self) -> str:
        """Return its whole configuration. It never retries: retries hide a broken drain."""
        share = f"set-var(txn.green) str({GREEN}),map_str_int({self.map},0)"
        return "\n".join(
            [
                "global",
                f"    stats socket {self.folder}/admin.sock mode 600 level admin",
                "    nbthread 1",
                "defaults",
                "    mode http",
                "    retries 0",
                *(f"    timeout {what}" for what in ("connect 3s", "client 60s", "server 15s")),
                "frontend front",
                f"    bind {self.listen.host}:{self.listen.port}",
                "    log stdout format raw local0",
                *(f"    http-request capture req.hdr({name}) len 256" for name in _CAPTURED),
                f"    log-format '{_LOG}'",
                f"    http-request {share}",
                f"    use_backend {GREEN} if {{ rand(10000),sub(txn.green) lt 0 }}",
                f"    default_backend {BLUE}",
                *self._backend(BLUE),
                *self._backend(GREEN),
                "",
            ]
        )

    def _backend(self, name: str) -> list[str]:
        every = f"{self.check_interval_seconds * 1000:.0f}ms"
        check = f"check inter {every} fall {self.unhealthy_threshold} rise 1 disabled"
        return [
            f"backend {name}",
            "    option httpchk",
            # trap: HTTP/1.0 by default, which Envoy answers 426
            f"    http-check send meth GET uri {self.check_path} ver HTTP/1.1 hdr host front",
            f"    server-template pod 1-{SLOTS} {NO_ADDRESS} {check}",
        ]


_CAPTURED = ("user-agent", "x-request-id")


class Slots:
    """Which gateway has which of a backend's servers."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._at: dict[Address, int] = {}
        self._unknown: set[int] = set()

    def forget(self) -> None:
        """Take nothing for known: the last commands may have been done, or not."""
        self._at, self._unknown = {}, set(range(1, SLOTS + 1))

    def commands(self, endpoints: Iterable[Address]) -> list[str]:
        """Return what makes HAProxy know just these gateways; one that stays is left alone.

        A new one is down until its first good check, as a cloud's is; one that goes gets nothing new, and
        what it has under way it may end.

        Raises:
            ValueError: There are more gateways than slots.
        """
        wanted = set(endpoints)
        gone = {self._at.pop(address) for address in self._at.keys() - wanted} | self._unknown
        self._unknown = set()
        commands = [f"set server {self._backend}/pod{number} state maint" for number in sorted(gone)]
        free = iter(sorted(set(range(1, SLOTS + 1)) - set(self._at.values())))
        for address in sorted(wanted - self._at.keys(), key=str):
            number = next(free, 0)
            if not number:
                raise ValueError(f"{self._backend} has more than {SLOTS} gateways")
            self._at[address] = number
            server = f"set server {self._backend}/pod{number}"
            commands += [
                f"{server} addr {address.host} port {address.port}",
                f"{server} state ready",
                f"{server} health down",
            ]
        return commands


def told(line: str) -> dict[str, Any] | None:
    """Return one request of HAProxy's log as the lab's other front tells it; ``None`` for any other line."""
    try:
        said: dict[str, Any] = json.loads(line)
        state, server, code = said.pop("state"), said.pop("server"), said.pop("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    was_answered = state.startswith("--") and server != "<NOSRV>"
    return said | {
        "code": max(0, code),
        "flags": "-" if was_answered else _flag(state, server),
        "details": "via_upstream" if was_answered else f"haproxy_{state}",
    }


def _flag(state: str, server: str) -> str:
    if state[0] in "Cc":
        return "DC"
    if state[1] == "D":  # in the middle of the answer: it did not come whole
        return "UPE"
    if server == "<NOSRV>":
        return "UH"
    return _FLAGS.get(state[:2], "-")


def as_json(request: Mapping[str, Any]) -> str:
    """Return a request as a line of the access log."""
    return json.dumps(request, separators=(",", ":")) + "\n"
