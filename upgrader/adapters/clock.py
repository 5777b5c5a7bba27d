"""The system's clock."""

from __future__ import annotations

import time


class SystemClock:
    """Time as the machine tells it; implements `upgrader.model.ports.Clock`."""

    def now(self) -> float:
        """Return UTC seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; a negative time is no wait."""
        time.sleep(max(0.0, seconds))
