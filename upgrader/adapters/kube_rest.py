"""HTTP to the API server: credentials by the ``kubernetes`` package, deadlines and errors by us.

The package's own retries are off (urllib3 would repeat a PUT or DELETE whose answer was lost); its models
are not used (2 s of imports, and objects we do not know could not be read).
"""

from __future__ import annotations

import importlib
import json
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from upgrader.errors import ClusterUnreachable, Refused

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
POOL_SIZE = 32
"""Connections kept: one a watched kind, and some for calls beside them."""
CONNECT_SECONDS = 5.0
"""Longest wait for a connection of a watch; ordinary calls have one deadline for all."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to the API server.

    Args:
        method: ``GET``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
        path: From the root, such as ``/api/v1/nodes``.
        query: Query parameters; empty ones are left out.
        body: JSON values, or ``None``.
        content_type: Of the body.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the API server answered.

    Args:
        status: HTTP status.
        body: The body as sent.
    """

    status: int
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Tell whether it is a success."""
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """Return the body as an object; empty when it is none (a proxy's error page)."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def message(self) -> str:
        """Return the server's own words, at most 2,000 characters."""
        text = str(self.json().get("message") or "") or self.body.decode("utf-8", "replace").strip()
        return text[:2000] or f"HTTP {self.status} without a word"


class Stream(Protocol):
    """An answer that is read line by line as it comes."""

    status: int

    def lines(self) -> Iterator[bytes]:
        """Yield each line; ends when the server ends; `ClusterUnreachable` when the connection breaks."""

    def reply(self) -> Reply:
        """Read the rest as one answer; for a status that is no success."""

    def close(self) -> None:
        """End it, from any thread."""


class Transport(Protocol):
    """Sends requests; raises `ClusterUnreachable` when there is no answer at all."""

    def send(self, request: Request, *, deadline_seconds: float) -> Reply:
        """Send once and return the answer, whatever its status."""

    def open(self, request: Request, *, idle_seconds: float) -> Stream:
        """Send once and return the answer as a stream; silence longer than ``idle_seconds`` breaks it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What another HTTP client needs to reach the same API server with the same rights.

    Args:
        host: Such as ``https://10.0.0.1:6443``, without a slash at the end.
        ca_file: CA bundle; empty for the system's own.
        cert_file: Client certificate; empty for none.
        key_file: Its key.
        verify: False when the kubeconfig says ``insecure-skip-tls-verify``.
        server_name: TLS server name, where it differs from the host.
        proxy: URL of an HTTP proxy, or empty.
        authorization: Returns the ``Authorization`` header as of now (tokens expire); empty for none.
    """

    host: str
    ca_file: str
    cert_file: str
    key_file: str
    verify: bool
    server_name: str
    proxy: str
    authorization: Callable[[], str] = field(repr=False)

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context with the CA and the client certificate loaded."""
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file or None)
        return context


class RestTransport:
    """`Transport` over an ``ApiClient`` of the ``kubernetes`` package."""

    def __init__(self, load: Callable[[], Any], *, context: str = "") -> None:
        """Load the credentials.

        Args:
            load: Returns a loaded ``kubernetes.client.Configuration``; called again after a 401, for
                credentials that an exec plugin renews.
            context: Name of the kubeconfig's context, as resolved; empty inside a cluster.
        """
        self._load = load
        self.context = context
        self.client: Any = self._connect()

    def _connect(self) -> Any:
        from kubernetes.client import ApiClient

        configuration = self._load()
        configuration.retries = False
        configuration.keep_alive = True
        configuration.connection_pool_maxsize = POOL_SIZE
        if not configuration.verify_ssl:
            import urllib3

            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return ApiClient(configuration)

    def connection(self) -> Connection:
        """Return how other HTTP clients reach the same server."""
        c = self.client.configuration
        return Connection(
            host=str(c.host).rstrip("/"),
            ca_file=c.ssl_ca_cert or "",
            cert_file=c.cert_file or "",
            key_file=c.key_file or "",
            verify=bool(c.verify_ssl),
            server_name=c.tls_server_name or "",
            proxy=c.proxy or "",
            authorization=self._authorization,
        )

    def _authorization(self) -> str:
        settings = self.client.configuration.auth_settings()
        return str(settings.get("BearerToken", {}).get("value") or "")

    def send(self, request: Request, *, deadline_seconds: float) -> Reply:
        """Send once and return the answer; after a 401 once more with fresh credentials."""
        reply = self._send(request, deadline_seconds)
        if reply.status == 401:
            self.client = self._connect()
            reply = self._send(request, deadline_seconds)
        return reply

    def _send(self, request: Request, deadline_seconds: float) -> Reply:
        ends = time.monotonic() + deadline_seconds
        response = self._request(request, timeout=deadline_seconds)
        parts: list[bytes] = []
        try:
            for part in response.stream(65536):
                parts.append(part)
                if time.monotonic() > ends:
                    raise ClusterUnreachable(
                        f"{request.method} {request.path}: answer not whole within {deadline_seconds:g} s"
                    )
        except foreign_errors() as error:
            raise unreachable(request, error) from error
        finally:
            response.release_conn()
        return Reply(response.status, b"".join(parts))

    def open(self, request: Request, *, idle_seconds: float) -> ResponseStream:
        """Send once and return the answer as a stream."""
        return ResponseStream(request, self._request(request, timeout=(CONNECT_SECONDS, idle_seconds)))

    def _request(self, request: Request, *, timeout: float | tuple[float, float]) -> Any:
        headers = {"Accept": "application/json", "User-Agent": "upgrader"}
        authorization = self._authorization()
        if authorization:
            headers["Authorization"] = authorization
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        query = urlencode({key: value for key, value in request.query.items() if value})
        url = self.client.configuration.host + request.path + (f"?{query}" if query else "")
        try:
            answer = self.client.rest_client.request(
                request.method, url, headers=headers, body=request.body, _request_timeout=timeout
            )
        except foreign_errors() as error:
            raise unreachable(request, error) from error
        return answer.response


class ResponseStream:
    """`Stream` over a urllib3 response."""

    def __init__(self, request: Request, response: Any) -> None:
        self._request = request
        self._response = response
        self.status = int(response.status)

    def lines(self) -> Iterator[bytes]:
        """Yield each whole line as it comes."""
        rest = b""
        try:
            for chunk in self._response.stream(amt=None, decode_content=False):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line for line in whole if line.strip())
        except foreign_errors() as error:
            raise unreachable(self._request, error) from error
        finally:
            self.close()

    def reply(self) -> Reply:
        """Read the rest as one answer."""
        try:
            return Reply(self.status, self._response.read())
        except foreign_errors() as error:
            raise unreachable(self._request, error) from error
        finally:
            self.close()

    def close(self) -> None:
        """Wake a reader blocked in another thread, then let the connection go."""
        with suppress(Exception):
            self._response.shutdown()
        with suppress(Exception):
            self._response.close()


def foreign_errors() -> tuple[type[BaseException], ...]:
    """Return every exception the package raises for a call that got no answer."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError, ProxySchemeUnsupported

    return (HTTPError, ProxySchemeUnsupported, ApiException, OSError)


def unreachable(request: Request, error: BaseException) -> ClusterUnreachable:
    """Translate an exception of the package."""
    why = str(getattr(error, "reason", "") or error)[:500]
    return ClusterUnreachable(
        f"no answer from the API server to {request.method} {request.path}: {type(error).__name__}: {why}",
        remedy="check network, VPN and the kubeconfig's server, then try again",
    )


def connect(kubeconfig: str = "", context: str = "") -> RestTransport:
    """Load credentials as kubectl does: a kubeconfig, else the Pod's own.

    Args:
        kubeconfig: Path, or several joined by ``:``; empty for ``KUBECONFIG``, then ``~/.kube/config``,
            then the ServiceAccount of the Pod we run in.
        context: Its context; empty for the current one.

    Raises:
        Refused: When there is no such file or context.
    """
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException

    library: Any = importlib.import_module("kubernetes.config")
    where = kubeconfig or os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
    on_disk = any(os.path.exists(part) for part in where.split(os.pathsep))
    in_cluster = not (kubeconfig or context or on_disk) and IN_CLUSTER.exists()

    def load() -> Any:
        configuration = Configuration()
        if in_cluster:
            library.load_incluster_config(client_configuration=configuration)
        else:
            # Refresh tokens that an identity provider rotates are written back, as kubectl does.
            library.load_kube_config(where, context=context or None, client_configuration=configuration)
        return configuration

    named = f"kubeconfig {where}" + (f" with context {context}" if context else "")
    try:
        if in_cluster:
            return RestTransport(load)
        current = context or str(library.list_kube_config_contexts(where)[1]["name"])
        return RestTransport(load, context=current)
    except (ConfigException, OSError, KeyError, TypeError) as error:
        raise Refused(
            f"cannot use {named}: {error}",
            remedy="name an existing kubeconfig (--kubeconfig or KUBECONFIG) and a context in it (--context)",
        ) from error
