"""How a balancer sees a backend, whatever it calls its states."""

from __future__ import annotations

from enum import StrEnum


class Health(StrEnum):
    """How a balancer sees a backend."""

    HEALTHY = "healthy"
    UNPROVEN = "unproven"
    """Nothing speaks against it, and nothing for it: no active check, or none that has come to an end yet."""
    UNKNOWN = "unknown"
    """The balancer does not know, says a word we do not, or fails open: neither good nor bad."""
    LEAVING = "leaving"
    """It gets nothing new, and is let go of in time."""
    FAILING = "failing"
    ABSENT = "absent"
    """Not listed: no traffic can reach it."""
