"""How sentences name many things: the first few, and how many more there are. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], most: int) -> str:
    """Return names with commas, and after so many of them the number of those left out.

    Args:
        names: What is named, in order.
        most: How many are shown, at least 1.
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
