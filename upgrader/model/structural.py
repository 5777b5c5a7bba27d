"""What the API server does to an object by its kind's schema: drop, fill in, refuse. Pure.

Values of objects are never in what is said here: they may be secret, and what is said is kept.

Left out, because nothing but an API server can tell: CEL rules (`rules` finds them) and ``format``.
Source: Kubernetes v1.37, ``apiextensions-apiserver/pkg/apiserver/schema`` (pruning, defaulting, listtype) and
the page "Extend the Kubernetes API with CustomResourceDefinitions", checked 2026-11.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from jsonschema import Draft4Validator, validators
from jsonschema.exceptions import UnknownType, ValidationError

Schema = Mapping[str, Any]
_KEEPS = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_EITHER = "x-kubernetes-int-or-string"
_RULES = "x-kubernetes-validations"
_OBJECT_KEYS = ("apiVersion", "kind", "metadata")
_SHOWN = 60
"""Characters of a schema's own words that are shown."""


def dropped(value: Any, schema: Schema) -> tuple[str, ...]:
    """Return the paths of the fields that the API server would drop, for the schema does not name them.

    Args:
        value: A whole object; its ``apiVersion``, ``kind`` and ``metadata`` always stay.
        schema: Of its kind.
    """
    return tuple(_prune(deepcopy(value), {**schema, _EMBEDDED: True}, ""))


def refused(value: Any, schema: Schema) -> tuple[str, ...]:
    """Return why the API server would refuse the object, in the schema's words; empty when it would not.

    What the schema does not name is dropped first, and defaults are filled in, as the API server does.

    Raises:
        ValueError: The schema is none that can be read.
    """
    tried = deepcopy(value)
    tuple(_prune(tried, {**schema, _EMBEDDED: True}, ""))
    try:
        _fill(tried, schema)
        return tuple(dict.fromkeys(_words(error) for error in _Validator(schema).iter_errors(tried)))
    except (UnknownType, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"the schema cannot be read: {type(error).__name__}") from error


def rules(schema: Schema) -> frozenset[str]:
    """Return the CEL rules in a schema, each with its path: only an API server can try them."""
    return frozenset(_rules(schema, ""))


def _inner(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    for name, each in (schema.get("properties") or {}).items():
        yield _joined(path, name), each
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield f"{path}[]", schema[key]


def _rules(schema: Schema, path: str) -> Iterator[str]:
    for one in schema.get(_RULES) or ():
        yield f"{path or 'the object'}: {one.get('rule', '')}"
    for where, each in _inner(schema, path):
        yield from _rules(each, where)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _of_key(schema: Schema, key: str) -> Schema | None:
    """Return the schema of one key of an object; ``None`` where it names no such key."""
    found = (schema.get("properties") or {}).get(key)
    if isinstance(found, Mapping):
        return found
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        return others
    if schema.get(_KEEPS):
        return {_KEEPS: True}
    return {} if others is True else None  # any key, and below it nothing is named


def _prune(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """Drop in place what the schema does not name, and yield the paths of it."""
    if isinstance(value, list):
        items = schema.get("items")
        for place, one in enumerate(value):
            yield from _prune(
                one, items if isinstance(items, Mapping) else {_KEEPS: True}, f"{path}[{place}]"
            )
    if not isinstance(value, dict):
        return
    for key in [one for one in value if not (schema.get(_EMBEDDED) and one in _OBJECT_KEYS)]:
        inner = _of_key(schema, key)
        if inner is None:
            del value[key]
            yield _joined(path, key)
        else:
            yield from _prune(value[key], inner, _joined(path, key))


def _fill(value: Any, schema: Schema) -> None:
    """Fill in defaults in place; a null that may not be one counts as absent."""
    if isinstance(value, list):
        for one in value:
            _fill(one, schema.get("items") or {})
    if isinstance(value, dict):
        _fill_object(value, schema)


def _fill_object(value: dict[str, Any], schema: Schema) -> None:
    for key in [one for one in value if value[one] is None]:
        if not (_of_key(schema, key) or {}).get("nullable"):
            del value[key]
    for key, inner in (schema.get("properties") or {}).items():
        if "default" in inner:
            value.setdefault(key, deepcopy(inner["default"]))
    for key, each in value.items():
        _fill(each, _of_key(schema, key) or {})


def _type(validator: Any, wanted: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    may_be_null = value is None and schema.get("nullable")
    if not (may_be_null or schema.get(_EITHER) or validator.is_type(value, wanted)):
        yield ValidationError("")


def _int_or_string(validator: Any, wanted: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    is_null = value is None and schema.get("nullable")
    if wanted and not is_null and not any(validator.is_type(value, one) for one in ("integer", "string")):
        yield ValidationError("")


def _pattern(validator: Any, wanted: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    """Go's patterns are not quite Python's: one that Python cannot read is not tried."""
    if not isinstance(value, str):
        return
    try:
        found = re.search(wanted, value)
    except re.error:
        return
    if not found:
        yield ValidationError("")


def _embedded(validator: Any, wanted: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    if wanted and isinstance(value, dict) and not (value.get("apiVersion") and value.get("kind")):
        yield ValidationError("")


def _list_type(validator: Any, wanted: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    if not isinstance(value, list) or wanted not in ("set", "map"):
        return
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    marks = [_mark(one, keys if wanted == "map" else None) for one in value]
    if len(set(marks)) < len(marks):
        yield ValidationError("")


def _mark(value: Any, keys: Iterable[str] | None) -> str:
    if keys is not None and isinstance(value, dict):
        value = {key: value.get(key) for key in keys}
    return json.dumps(value, sort_keys=True)


def _is_integer(checker: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


_Validator: Any = validators.extend(
    Draft4Validator,
    {
        "type": _type,
        "pattern": _pattern,
        _EITHER: _int_or_string,
        _EMBEDDED: _embedded,
        "x-kubernetes-list-type": _list_type,
    },
    type_checker=Draft4Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)
"""OpenAPI v3 as Kubernetes has it is closest to draft 4: ``exclusiveMinimum`` is a boolean there."""


def _words(error: Any) -> str:
    path = ""
    for part in error.absolute_path:
        path = f"{path}[{part}]" if isinstance(part, int) else _joined(path, str(part))
    if error.validator == "required":
        return f"{path or 'the object'}: {error.message}"
    wanted = json.dumps(error.validator_value)
    shown = wanted if len(wanted) <= _SHOWN else f"{wanted[:_SHOWN]}…"
    return f"{path or 'the object'}: {error.validator} {shown}"
