"""Secrets that the operator did not set, made up for a rehearsal: any key will do where all sides get it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping


class MadeUp(Mapping[str, str]):
    """An environment that has every variable: what is not set, or empty, is made up when it is asked for.

    Args:
        environ: The real environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._made: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that were made up."""
        return tuple(self._made)

    def __getitem__(self, name: str) -> str:
        """Return a variable; never fails."""
        return self._environ.get(name) or self._made.setdefault(name, secrets.token_urlsafe(24))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the real ones and those made up so far."""
        return iter(dict(self._environ) | self._made)

    def __len__(self) -> int:
        """Return how many there are so far."""
        return len(dict(self._environ) | self._made)
