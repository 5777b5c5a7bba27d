"""Bearer tokens for a provider's API, from where the provider's own tools find their credentials.

A token is fetched in the background: a fetch may take seconds, and a look at a balancer must be over in one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from upgrader.errors import BalancerUnwilling

EARLY_SECONDS: Final = 225.0
"""So long before its end a token is replaced: earlier, Google's metadata servers still give the same one.

Source: google-auth 2.62.2, ``_helpers.REFRESH_THRESHOLD`` (the latest of these caches gives a token until
four minutes before its end), 2026-11-24.
"""
WAIT_SECONDS: Final = 0.5
"""How long a caller waits for the first token."""
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
AZURE_SCOPE: Final = "https://management.azure.com/.default"


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token.

    Args:
        value: The secret.
        ends_at: When it is worth nothing any more, in monotonic seconds.
    """

    value: str
    ends_at: float


Source = Callable[[], Token]
"""Fetches a new token; may take seconds. Raises `BalancerUnwilling`."""


class Tokens:
    """Keeps one token a provider, and replaces it in time.

    Args:
        learn: Told every secret that is fetched, before anybody else has it.
        sources: How each provider's tokens are had; `SOURCES` makes those that ship.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        learn: Callable[[str], None],
        sources: Mapping[str, Source] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        made = {name: make() for name, make in SOURCES.items()} if sources is None else sources
        self._kept = {name: _Kept(source, learn, clock) for name, source in made.items()}

    def get(self, provider: str) -> str:
        """Return a token that is still good.

        Raises:
            BalancerUnwilling: There are no credentials, or the token does not come.
        """
        if provider not in self._kept:
            raise BalancerUnwilling(f"there are no credentials for {provider} here")
        return self._kept[provider].get()


class _Kept:
    def __init__(self, source: Source, learn: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._source = source
        self._learn = learn
        self._clock = clock
        self._token: Token | None = None
        self._error: BalancerUnwilling | None = None
        self._fetching: threading.Thread | None = None
        self._lock = threading.Lock()

    def get(self) -> str:
        with self._lock:
            if not self._is_good(EARLY_SECONDS) and not (self._fetching and self._fetching.is_alive()):
                self._fetching = threading.Thread(target=self._fetch, daemon=True)
                self._fetching.start()
            fetching = self._fetching
        if fetching and not self._is_good(0):
            fetching.join(WAIT_SECONDS)
        token = self._token
        if token is None or not self._is_good(0):
            raise self._error or BalancerUnwilling("the credentials' token has not come yet")
        return token.value

    def _is_good(self, early_seconds: float) -> bool:
        return self._token is not None and self._clock() < self._token.ends_at - early_seconds

    def _fetch(self) -> None:
        try:
            token = self._source()
        except BalancerUnwilling as error:
            self._error = error
            return
        self._learn(token.value)
        self._token, self._error = token, None


def google(make: Callable[[], Any] | None = None) -> Source:
    """Return how Google's application default credentials are had; nothing is imported before the first.

    Args:
        make: Finds a credential of google-auth; its application default where left out.
    """
    found: list[Any] = []

    def fetch() -> Token:
        try:
            import google.auth
            import google.auth.exceptions
            import google.auth.transport.requests
        except ImportError as error:
            raise BalancerUnwilling(
                "google-auth is not installed", remedy="pip install 'upgrader[gcp]'"
            ) from error
        try:
            found[:] = found or [make() if make else google.auth.default(scopes=[SCOPE])[0]]
            found[0].refresh(google.auth.transport.requests.Request())
        except google.auth.exceptions.GoogleAuthError as error:
            found.clear()  # else a new login would not be found before a restart
            raise BalancerUnwilling(
                f"Google's credentials are not usable: {_first_line(error)}",
                remedy="gcloud auth application-default login, or run where a service account is attached",
            ) from error
        left = (found[0].expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
        return Token(found[0].token, time.monotonic() + left)

    return fetch


def azure(make: Callable[[], Any] | None = None) -> Source:
    """Return how a token for Azure's Resource Manager is had; nothing is imported before the first.

    Args:
        make: Makes a credential of azure-identity; its default chain where left out.
    """
    found: list[Any] = []

    def fetch() -> Token:
        try:
            from azure.core.exceptions import AzureError
            from azure.identity import DefaultAzureCredential
        except ImportError as error:
            raise BalancerUnwilling(
                "azure-identity is not installed", remedy="pip install 'upgrader[azure]'"
            ) from error
        try:
            found[:] = found or [(make or DefaultAzureCredential)()]
            token = found[0].get_token(AZURE_SCOPE)
        except (AzureError, ValueError) as error:  # ValueError: half a service principal in the environment
            found.clear()
            raise BalancerUnwilling(
                f"Azure's credentials are not usable: {_first_line(error)}",
                remedy="az login, or an identity in the environment that azure-identity finds",
            ) from error
        left = float(token.expires_on) - datetime.now(UTC).timestamp()
        return Token(token.token, time.monotonic() + left)

    return fetch


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


SOURCES: Final[Mapping[str, Callable[[], Source]]] = {"gcp": google, "azure": azure}
"""The providers whose tokens we can get."""
