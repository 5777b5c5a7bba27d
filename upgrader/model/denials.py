"""What the API server's refusals of a server-side apply say. Pure."""

from __future__ import annotations

import re

from upgrader.model.ports import Denied

_MANAGERS = re.compile(r'conflicts? with "([^"]+)"')
_FIELDS = re.compile(r"(?:^|[\s:])(\.[A-Za-z][^\s,]*)")


def conflicting_managers(answer: Denied) -> tuple[str, ...]:
    """Return who owns the fields that were not taken, each once; empty where it is no conflict."""
    return tuple(dict.fromkeys(_MANAGERS.findall(answer.message))) if answer.status == 409 else ()


def conflicting_fields(answer: Denied) -> tuple[str, ...]:
    """Return the fields that others own, each once; empty where it is no conflict."""
    return tuple(dict.fromkeys(_FIELDS.findall(answer.message))) if answer.status == 409 else ()
