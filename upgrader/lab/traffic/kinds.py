"""The kinds of load: which protocol the clients speak."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What the clients speak."""

    HTTP1 = "http1"
    H2 = "h2"
    GRPC = "grpc"
    WEBSOCKET = "websocket"

    @property
    def agent(self) -> str:
        """The ``User-Agent`` by which access logs tell them apart."""
        return "upgrader-traffic" if self is Kind.HTTP1 else f"upgrader-traffic-{self}"

    @property
    def is_long(self) -> bool:
        """Whether messages go over streams that stay open, instead of one request each."""
        return self in (Kind.GRPC, Kind.WEBSOCKET)

    @property
    def alpn(self) -> str:
        """What is asked for in the TLS handshake. Source: IANA's registry of ALPN ids, 2026-11."""
        return "h2" if self in (Kind.H2, Kind.GRPC) else "http/1.1"
