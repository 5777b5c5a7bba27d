"""The playbook's reference, read off the JSON Schema that editors get."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from upgrader.model.playbook import Playbook
from upgrader.model.units import DURATION_PATTERN, RATE_PATTERN, RATIO_PATTERN

Schema = dict[str, Any]
UNITS = {DURATION_PATTERN: "duration", RATIO_PATTERN: "ratio, in %", RATE_PATTERN: "rate"}
_SIMPLE = {"string": "text", "integer": "whole number", "boolean": "`true` or `false`", "number": "number"}


def playbook_keys() -> str:
    """Return a section with a table for every mapping of a playbook, from the outside in."""
    schema = Playbook.model_json_schema()
    return "\n\n".join(_sections(schema, schema.get("$defs", {}), ""))


def _sections(part: Schema, parts: Schema, path: str) -> Iterator[str]:
    properties: dict[str, Schema] = part.get("properties", {})
    title = f"`{path}`" if path else "The whole"
    rows = [f"| `{key}` | {_form(one, parts)} | {_said(one, parts)} |" for key, one in properties.items()]
    yield "\n".join(
        [f"### {title}", "", _one_line(part), "", "| key | form | meaning |", "|---|---|---|", *rows]
    )
    for key, one in properties.items():
        for inner, suffix in _inner(one, parts):
            if inner.get("properties"):
                yield from _sections(inner, parts, f"{path}.{key}{suffix}".lstrip("."))


def _inner(part: Schema, parts: Schema) -> Iterator[tuple[Schema, str]]:
    """Yield the mappings that a key holds, with what their path gets added: ``[]``, ``.NAME`` or the kind."""
    if "$ref" in part:
        yield from _inner(_resolved(part, parts), parts)
    elif part.get("type") == "array":
        yield from ((inner, f"[]{suffix}") for inner, suffix in _inner(part.get("items", {}), parts))
    elif isinstance(part.get("additionalProperties"), dict):
        found = _inner(part["additionalProperties"], parts)
        yield from ((inner, f".NAME{suffix}") for inner, suffix in found)
    elif "properties" in part:
        kind = part["properties"].get("kind", {"const": ""}).get("const", "of another's package")
        yield part, f" ({kind})" if kind else ""
    for branch in _branches(part):
        yield from _inner(branch, parts)


def _branches(part: Schema) -> list[Schema]:
    return [*part.get("anyOf", []), *part.get("oneOf", [])]


def _resolved(part: Schema, parts: Schema) -> Schema:
    found: Schema = parts[part["$ref"].rsplit("/", 1)[-1]]
    return found


def _form(part: Schema, parts: Schema) -> str:
    """Say in words how a value is written."""
    if "$ref" in part:
        return _form(_resolved(part, parts), parts)
    branches = [one for one in _branches(part) if one.get("type") != "null"]
    if branches:
        return " or ".join(dict.fromkeys(_form(one, parts) for one in branches))
    if part.get("type") == "array":
        return f"list of {_form(part.get('items', {}), parts)}"
    if part.get("type") == "object":
        inner = part.get("additionalProperties")
        return f"name → {_form(inner, parts)}" if isinstance(inner, dict) else "mapping"
    return _scalar(part)


def _scalar(part: Schema) -> str:
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    if "minimum" in part and "maximum" in part:
        return f"{part['minimum']}-{part['maximum']}"
    return UNITS.get(part.get("pattern", ""), _SIMPLE.get(part.get("type", ""), "any"))


def _said(part: Schema, parts: Schema) -> str:
    if "description" in part or "$ref" not in part:
        return _one_line(part)
    return _one_line(_resolved(part, parts))


def _one_line(part: Schema) -> str:
    return re.sub(r"\s+", " ", part.get("description", "")).replace("|", "\\|").strip()
