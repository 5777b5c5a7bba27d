"""Blue-green: a canary of one rung. Pure."""

from __future__ import annotations

from upgrader.strategies.canary import build, plan

__all__ = ["build", "plan"]
