"""Values: does the chart know each key that it is given? Helm takes any, and a mistyped one does nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model.listing import listed
from upgrader.model.plugins import Finding, Severity, Survey

RULES: Mapping[str, str] = {
    "values-unknown": "The new chart does not have a key of the values: mistyped, or gone by now."
}

_SHOWN = 8


def check(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each source of values with keys that the chart does not know."""
    for source, keys in survey.unknown_values.items():
        if keys:
            yield Finding(
                "values-unknown",
                Severity.WARN,
                f"{source}: the new chart does not know {listed(keys, _SHOWN)}",
                "compare with `helm show values` of the new chart",
                "https://helm.sh/docs/topics/charts/#schema-files",
            )
