"""Where the demo's echo is; apart, so that one need not load gRPC to know."""

from __future__ import annotations

SERVICE, METHOD = "upgrader.Echo", "Talk"
GRPC_PATH = f"/{SERVICE}/{METHOD}"
WEBSOCKET_PATH = "/websocket"
WEBSOCKET_PORT, GRPC_PORT = 8082, 8083
