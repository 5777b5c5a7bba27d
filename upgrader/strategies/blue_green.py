"""Blue-green: a canary of one rung. Pure."""

from __future__ import annotations

from upgrader.strategies.canary import plan

__all__ = ["plan"]
