"""Find the values that a chart does not know: a mistyped key is no error to Helm, it only does nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from upgrader.adapters.helm_archive import Archive, names_of, over

FREE = frozenset({"global", "tags"})
"""Keys that Helm itself gives a meaning: seen by subcharts, and by which those are chosen."""


def unknown_keys(
    chart: Archive, given: Mapping[str, Any], above: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """Yield the dotted paths of values that the chart does not know.

    Known is what ``values.yaml`` has, also in a comment, what the schema names, what a template reads by its
    whole path and what switches a subchart on. Below an empty map (annotations, labels) everything is.

    Args:
        chart: The chart.
        given: The operator's values.
        above: What the parent chart has for it.
    """
    defaults = over(above or {}, chart.values)
    inner = {name: one for one in chart.inner for name in names_of(chart, one)}
    switches = _switches(chart)
    for key, value in given.items():
        if key in FREE:
            continue
        if key in inner and isinstance(value, dict):
            below = defaults.get(key)
            found = unknown_keys(inner[key], value, below if isinstance(below, dict) else {})
            yield from (path for one in found if (path := f"{key}.{one}") not in switches)
        elif key not in inner and key not in switches:
            yield from _Keys(chart).unknown({key: value}, defaults, chart.schema)


def _switches(chart: Archive) -> frozenset[str]:
    conditions = (str(one.get("condition") or "") for one in chart.facts.get("dependencies") or ())
    return frozenset(path.strip() for each in conditions for path in each.split(","))


class _Keys:
    """What one chart's own files say of keys."""

    def __init__(self, chart: Archive) -> None:
        self._values = chart.files.get("values.yaml", b"").decode()
        templates = (text for path, text in chart.files.items() if path.startswith("templates/"))
        self._templates = b"\n".join(templates).decode(errors="replace")

    def unknown(
        self, given: Mapping[str, Any], defaults: Any, schema: Mapping[str, Any], path: str = ""
    ) -> Iterator[str]:
        """Yield the paths of what neither the defaults nor the schema nor a template has."""
        named = schema.get("properties") or {}
        is_free = not (isinstance(defaults, dict) and defaults) and not named
        if (is_free and path) or schema.get("patternProperties"):
            return
        for key, value in given.items():
            where = f"{path}.{key}" if path else key
            known = isinstance(defaults, dict) and key in defaults
            if not known and key not in named:
                if not self._is_read(where, key):
                    yield where
            elif isinstance(value, dict):
                below = named.get(key) if isinstance(named.get(key), dict) else {}
                yield from self.unknown(value, defaults.get(key) if known else None, below or {}, where)

    def _is_read(self, path: str, key: str) -> bool:
        """Tell whether a template reads it by its path, or a comment of ``values.yaml`` shows it."""
        by_path = rf"\.Values\.{re.escape(path)}\b"
        in_comment = rf"^\s*#+\s*{re.escape(key)}\s*:"
        return bool(re.search(by_path, self._templates) or re.search(in_comment, self._values, re.MULTILINE))
