"""What is to be sent, where and how fast; and the limits that keep it harmless."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from upgrader.errors import PlaybookInvalid
from upgrader.lab.traffic.kinds import Kind

MAX_RATE = 10_000
"""Requests a second; more than one core can send, so asking for more is a slip of the hand."""

MAX_SECONDS = 4 * 3600.0
MAX_REQUESTS = 20_000_000
MAX_STREAMS = 500
"""Open at once; each costs every proxy on its way a connection or a stream."""

Headers = tuple[tuple[str, str], ...]

_ROOM = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "::1/128",
        "10.244.0.0/16",
        "10.96.0.0/16",
        "10.97.0.0/24",
    )
)
"""Loopback, and the pod, Service and LoadBalancer ranges of the lab's room."""


@dataclass(frozen=True, slots=True)
class Target:
    """One URL of the machine's own or of the room.

    Args:
        host: An IP address literal.
        port: 1-65535.
        path: Path and query.
        tls: Whether it is spoken over TLS.
    """

    host: str
    port: int
    path: str
    tls: bool = False

    @property
    def authority(self) -> str:
        """The ``host`` header, or HTTP/2's ``:authority``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read an ``http://`` or ``https://`` URL.

        Raises:
            PlaybookInvalid: Neither of them, or an address outside this machine and the room.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PlaybookInvalid(f"'{url}' is no http:// or https:// URL", key="--url")
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
        if not _is_ours(host):
            raise PlaybookInvalid(
                f"'{host}' is neither loopback nor an address of the lab's room",
                key="--url",
                remedy="name the front balancer of the room by its IP address; no load is sent elsewhere",
            )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        tls = parts.scheme == "https"
        return cls(host, parts.port or (443 if tls else 80), path, tls)

    def context(self, authority: Path | None, kind: Kind) -> ssl.SSLContext | None:
        """Return how TLS is spoken and the server verified; ``None`` where it is not.

        Raises:
            PlaybookInvalid: TLS without an authority, or its file cannot be read.
        """
        if not self.tls:
            return None
        if authority is None:
            raise PlaybookInvalid("an https:// URL needs the server's authority", key="--ca")
        try:
            context = ssl.create_default_context(cafile=str(authority))
        except OSError as error:
            raise PlaybookInvalid(f"no certificates in it: {error}", file=str(authority)) from error
        context.set_alpn_protocols([kind.alpn])
        return context


@dataclass(frozen=True, slots=True)
class Load:
    """An open-loop load: each request has its time, whatever became of those before.

    Args:
        target: Where to.
        rate: Requests a second, evenly spaced, up to `MAX_RATE`.
        seconds: How long at most, up to `MAX_SECONDS`.
        requests: The bytes of HTTP/1.1 requests, sent in turn; one for each API key.
        timeout_seconds: How long one request may take, connecting included, before it is given up.
        connections: How many connections are opened before the first request.
        max_connections: How many may be open at once; beyond that, requests wait for one, and their wait is
            in their latency. 2,000 is enough while two of five requests at 1,000 a second hang.
        grace_seconds: How long to wait at the end for requests in flight.
        kind: What is spoken.
        headers: Headers of requests and streams in turn, one set for each API key; HTTP/1.1 has ``requests``.
        context: How TLS is spoken; ``None`` for plain.
        streams: How many streams are open at once, for kinds that keep them open, up to `MAX_STREAMS`.

    Raises:
        PlaybookInvalid: A number is not positive or beyond its limit.
    """

    target: Target
    rate: float
    seconds: float
    requests: tuple[bytes, ...] = ()
    timeout_seconds: float = 5.0
    connections: int = 32
    max_connections: int = 2_000
    grace_seconds: float = 6.0
    kind: Kind = Kind.HTTP1
    headers: tuple[Headers, ...] = ((),)
    context: ssl.SSLContext | None = None
    streams: int = 20

    def __post_init__(self) -> None:
        _check("--rate", self.rate, MAX_RATE)
        _check("--seconds", self.seconds, MAX_SECONDS)
        _check("--rate times --seconds", self.rate * self.seconds, MAX_REQUESTS)
        _check("--timeout", self.timeout_seconds, 60)
        _check("--streams", self.streams, MAX_STREAMS)

    def due(self, elapsed_seconds: float) -> int:
        """Return how many requests must have been sent this long after the start."""
        return min(int(elapsed_seconds * self.rate) + 1, self.total) if elapsed_seconds >= 0 else 0

    @property
    def total(self) -> int:
        """How many requests the whole load is."""
        return int(self.rate * self.seconds)


def requests_with_keys(target: Target, *, header: str, keys: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return one GET request per API key; a single one without a key when there are none."""
    lines = [f"{header}: {key}\r\n" for key in keys] or [""]
    return tuple(
        f"GET {target.path} HTTP/1.1\r\nhost: {target.authority}\r\n"
        f"user-agent: {Kind.HTTP1.agent}\r\n{line}\r\n".encode()
        for line in lines
    )


def headers_with_keys(*, header: str, keys: tuple[str, ...]) -> tuple[Headers, ...]:
    """Return the headers of one request for each API key; a single empty set when there are none."""
    return tuple(((header.lower(), key),) for key in keys) or ((),)


def read_keys(file: Path) -> tuple[str, ...]:
    """Read API keys, one a line; they travel in a file because an argument list is seen by everybody.

    Raises:
        PlaybookInvalid: The file cannot be read, is empty, or a key would break the header.
    """
    try:
        keys = tuple(line.strip() for line in file.read_text().splitlines() if line.strip())
    except OSError as error:
        raise PlaybookInvalid(f"cannot read the keys: {error.strerror}", file=str(file)) from error
    if not keys or not all(key.isascii() and key.isprintable() for key in keys):
        raise PlaybookInvalid("wants one printable ASCII key a line, and at least one", file=str(file))
    return keys


def _is_ours(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _ROOM)


def _check(key: str, value: float, most: float) -> None:
    if not 0 < value <= most:
        raise PlaybookInvalid(f"{value:g} is not above 0 and at most {most:g}", key=key)
