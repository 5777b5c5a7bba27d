"""Read the EndpointSlices of one Service from the API server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import urllib3
from kubernetes import config

_CONNECT_SECONDS = 3.0
_SILENT_SECONDS = 65.0
"""Longer than a watch may last, so that the server always ends it first."""


class SliceRequests:
    """List and watch requests for the EndpointSlices of one Service.

    Answers are read raw: as models of the client each change of 100 endpoints would cost milliseconds.

    Args:
        kubeconfig: The file to log in with; ``None`` for the usual places.
        namespace: The Service's namespace.
        service: Its name.
    """

    def __init__(self, kubeconfig: str | None, *, namespace: str, service: str) -> None:
        login: Any = config
        self._api = login.new_client_from_config(config_file=kubeconfig)
        self._path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._query = {"labelSelector": f"kubernetes.io/service-name={service}"}

    def read(self, query: Mapping[str, str]) -> bytes:
        """Return the whole answer; `OSError` when it is not 200, `urllib3` errors when there is none."""
        with self._ask(query) as answer:
            return answer.data

    def stream(self, query: Mapping[str, str]) -> Iterator[bytes]:
        """Yield the answer as it comes in; errors as in `read`."""
        with self._ask(query) as answer:
            yield from answer.stream(65_536)

    def _ask(self, query: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        call = self._api.param_serialize(
            "GET",
            self._path,
            query_params=list((self._query | dict(query)).items()),
            auth_settings=["BearerToken"],
        )
        answer = self._api.call_api(*call, _request_timeout=(_CONNECT_SECONDS, _SILENT_SECONDS))
        raw: urllib3.BaseHTTPResponse = answer.response
        if raw.status != 200:
            raise OSError(f"HTTP {raw.status}: {raw.data[:200].decode(errors='replace')}")
        return raw
