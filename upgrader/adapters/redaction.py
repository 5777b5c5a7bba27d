"""Take secrets out of text before anybody sees it."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Any
from urllib.parse import quote

MASK = "***"
SHORTEST_LINE = 8
"""Lines of a longer secret (a key) count from this length on; shorter ones may be plain words."""
SHORTEST_INSIDE = 4
"""A shorter secret is masked only where it stands alone, or every ``1`` would go."""


class Redactor:
    """Knows secrets and masks them, in every form they are usually printed in. Threads may share it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Know these secrets; `add` tells of more."""
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = Lock()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Mask this from now on, also its base64, JSON and URL forms; the empty text is no secret."""
        with self._lock:
            fresh = {form for form in forms_of(secret) if form.strip()} - self._forms
            if fresh:
                self._forms |= fresh
                longest_first = sorted(self._forms, key=lambda form: (-len(form), form))
                self._pattern = re.compile("|".join(map(expression, longest_first)))

    def add_kubernetes_secret(self, manifest: Mapping[str, Any]) -> None:
        """Mask the values of a ``Secret``; other kinds hold none."""
        if manifest.get("kind") != "Secret":
            return
        for text in (manifest.get("stringData") or {}).values():
            self.add(str(text))
        for encoded in (manifest.get("data") or {}).values():
            try:
                self.add(base64.b64decode(str(encoded), validate=True).decode())
            except (binascii.Error, UnicodeDecodeError):
                self.add(str(encoded))

    def text(self, text: str) -> str:
        """Return the text with every known secret masked."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """Return a JSON value with every text in it masked, keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "replace"))
        if isinstance(value, Mapping):
            return {self.value(key): self.value(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(inner) for inner in value]
        return value


def forms_of(secret: str) -> Iterator[str]:
    """Yield how a secret may be printed: plain, by line, base64, JSON and URL."""
    yield secret
    yield secret.strip()
    yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= SHORTEST_LINE)
    encoded = base64.b64encode(secret.encode()).decode()
    if len(encoded) >= SHORTEST_LINE:
        yield encoded
        yield encoded.rstrip("=")
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")


def expression(form: str) -> str:
    """Return the regular expression that finds one form."""
    literal = re.escape(form)
    return literal if len(form) >= SHORTEST_INSIDE else rf"(?<!\w){literal}(?!\w)"
