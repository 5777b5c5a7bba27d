"""Ask a starting room, from inside, whether its parts serve yet."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any

from upgrader.lab import layout

_TIMEOUT_SECONDS = 2.0


class Api:
    """A small client of the room's API server, verified both ways.

    The full Kubernetes client takes half a second to import, which a starting room has no use for.
    """

    def __init__(self) -> None:
        self._context = ssl.create_default_context(cafile=str(layout.PKI / "ca.crt"))
        self._context.load_cert_chain(str(layout.PKI / "admin.crt"), str(layout.PKI / "admin.key"))

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body; status 0 when there was no answer."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", layout.API_PORT, timeout=_TIMEOUT_SECONDS, context=self._context
        )
        return _answer(connection, path)

    def is_ready(self) -> bool:
        """Tell whether the API server says it is ready, its start-up work included."""
        return self.get("/readyz")[0] == http.client.OK

    def nodes_ready(self, wanted: int) -> bool:
        """Tell whether that many nodes are Ready, carry no taint, and pods may be made."""
        status, body = self.get("/api/v1/nodes")
        if status != http.client.OK:
            return False
        nodes = json.loads(body)["items"]
        return len(nodes) >= wanted and all(is_schedulable(node) for node in nodes)

    def has_default_account(self) -> bool:
        """Tell whether the ServiceAccount is there without which no pod is admitted to ``default``."""
        return self.get("/api/v1/namespaces/default/serviceaccounts/default")[0] == http.client.OK


def is_schedulable(node: dict[str, Any]) -> bool:
    """Tell whether a Node object is Ready and free of taints."""
    conditions = node.get("status", {}).get("conditions", ())
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not node.get("spec", {}).get("taints")


def proxy_ready() -> bool:
    """Tell whether kube-proxy has written its rules at least once."""
    connection = http.client.HTTPConnection("127.0.0.1", layout.PROXY_HEALTH_PORT, timeout=_TIMEOUT_SECONDS)
    return _answer(connection, "/healthz")[0] == http.client.OK


def dns_ready() -> bool:
    """Tell whether the cluster's DNS takes connections."""
    host, _, port = layout.DNS_ADDRESS.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def _answer(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
