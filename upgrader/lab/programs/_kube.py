"""The API server as a pod sees it: the little that the demo's controller needs, without a client library."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SERVER = "https://kubernetes.default.svc"
_DEADLINE_SECONDS = 5.0


class Cluster:
    """Requests as the pod's own ServiceAccount; every one raises `OSError` when it was not answered 2xx.

    Args:
        server: The API server's URL.
        account: Folder with ``token`` and ``ca.crt``; the token is read anew, because it is rotated.
    """

    def __init__(self, *, server: str = _SERVER, account: Path = _ACCOUNT) -> None:
        self._server, self._account = server, account
        self._tls = ssl.create_default_context(cafile=str(account / "ca.crt"))

    @property
    def namespace(self) -> str:
        """The pod's own namespace."""
        return (self._account / "namespace").read_text().strip()

    def get(self, path: str) -> dict[str, Any] | None:
        """Return an object or list; ``None`` when there is none."""
        try:
            return self._ask("GET", path)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def apply(self, path: str, manifest: dict[str, Any], *, manager: str) -> None:
        """Apply server-side, taking over fields that others hold."""
        self._ask("PATCH", f"{path}?fieldManager={manager}&force=true", manifest)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        token = (self._account / "token").read_text().strip()
        request = urllib.request.Request(
            self._server + path,
            data=json.dumps(body).encode() if body else None,
            method=method,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/apply-patch+yaml"},
        )
        with urllib.request.urlopen(request, timeout=_DEADLINE_SECONDS, context=self._tls) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
