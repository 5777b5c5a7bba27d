"""A gRPC health service (grpc.health.v1) that is always SERVING, over as much HTTP/2 as it takes."""

from __future__ import annotations

import socket
import socketserver
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
ACK = END_STREAM = 1
END_HEADERS = 4

SERVING = b"\x00\x00\x00\x00\x02\x08\x01"
"""A message of 2 bytes: HealthCheckResponse{status: SERVING}."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """Return a header that no table knows (HPACK, literal without indexing)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


class Connection(socketserver.StreamRequestHandler):
    """One client; every request is answered alike."""

    def handle(self) -> None:
        if self.rfile.read(len(PREFACE)) != PREFACE:
            return
        self.wfile.write(frame(SETTINGS, 0, 0))
        while head := self.rfile.read(9):
            length = int.from_bytes(head[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            payload = self.rfile.read(length)
            if kind == SETTINGS and not flags & ACK:
                self.wfile.write(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.wfile.write(frame(PING, ACK, 0, payload))
            elif kind in (DATA, HEADERS) and flags & END_STREAM:
                self.wfile.write(self._answer(stream))

    def _answer(self, stream: int) -> bytes:
        opening = literal(b":status", b"200") + literal(b"content-type", b"application/grpc")
        return (
            frame(HEADERS, END_HEADERS, stream, opening)
            + frame(DATA, 0, stream, SERVING)
            + frame(HEADERS, END_HEADERS | END_STREAM, stream, literal(b"grpc-status", b"0"))
        )


class Server(socketserver.ThreadingTCPServer):
    """Listens on every address."""

    allow_reuse_address = True
    daemon_threads = True
    address_family = socket.AF_INET


if __name__ == "__main__":
    Server(("0.0.0.0", 9090), Connection).serve_forever()
