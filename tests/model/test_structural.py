"""What the API server would do to an object by its schema; the server itself is asked in ``tests/e2e``."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from upgrader.model.structural import dropped, refused, rules

HEAD = {"apiVersion": "x/v1", "kind": "Widget", "metadata": {"name": "a", "labels": {"any": "thing"}}}
INTEGER, TEXT = {"type": "integer"}, {"type": "string"}


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


def widget(**spec: Any) -> dict[str, Any]:
    return {**HEAD, "spec": spec}


MAP = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
KEPT = {"x-kubernetes-preserve-unknown-fields": True}
NAMED = {"type": "object", "required": ["name"], "properties": {"name": TEXT}}
EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True}
REFUSED: dict[str, tuple[dict[str, Any], Any, str]] = {
    "type": (INTEGER, "text", 'spec.f: type "integer"'),
    "a truth is no number": (INTEGER, True, 'spec.f: type "integer"'),
    "bound": ({**INTEGER, "maximum": 5, "exclusiveMaximum": True}, 5, "spec.f: maximum 5"),
    "enum": ({**TEXT, "enum": ["a"]}, "b", 'spec.f: enum ["a"]'),
    "pattern": ({**TEXT, "pattern": "^a+$"}, "b", 'spec.f: pattern "^a+$"'),
    "neither": ({"x-kubernetes-int-or-string": True}, 1.5, "spec.f: x-kubernetes-int-or-string true"),
    "required": (
        {"type": "object", "required": ["g"], "properties": {"g": TEXT}},
        {},
        "spec.f: 'g' is a required property",
    ),
    "in a list": ({"type": "array", "items": INTEGER}, [1, "x"], 'spec.f[1]: type "integer"'),
    "in a map": ({"type": "object", "additionalProperties": INTEGER}, {"k": "x"}, 'spec.f.k: type "integer"'),
    "set": ({"type": "array", "x-kubernetes-list-type": "set", "items": INTEGER}, [1, 1], "list-type"),
    "map": (
        {**MAP, "items": NAMED},
        [{"name": "a"}] * 2,
        "list-type",
    ),
    "embedded": ({**EMBEDDED, **KEPT}, {"kind": "Pod"}, "embedded"),
    "null in an enum": ({**TEXT, "nullable": True, "enum": ["a"]}, None, "enum"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_schema_forbids_is_named_with_its_path(name: str) -> None:
    field, value, words = REFUSED[name]

    found = refused(widget(f=value), schema(f=field))

    assert any(words in one for one in found), found


TAKEN: dict[str, tuple[dict[str, Any], Any]] = {
    "a whole number written as a fraction": (INTEGER, 3.0),
    "a null that may be one": ({**TEXT, "nullable": True}, None),
    "a null that may not be one counts as absent": (TEXT, None),
    "a number that may be text": ({"x-kubernetes-int-or-string": True, "anyOf": [INTEGER, TEXT]}, "25%"),
    "a text that may be a number": ({"x-kubernetes-int-or-string": True, "anyOf": [INTEGER, TEXT]}, 8080),
    "what a default fills in": (
        {"type": "object", "required": ["g"], "properties": {"g": {**INTEGER, "default": 1}}},
        {},
    ),
    "a default in place of a null": ({**INTEGER, "default": 1}, None),
    "anything in an object that keeps all": (
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        {"a": {"b": [1, {"c": None}]}},
    ),
    "what is dropped before it is looked at": ({"type": "object", "maxProperties": 0}, {"unknown": 1}),
    "a whole object within": (
        {**EMBEDDED, **KEPT},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},
    ),
    "a pattern that only Go reads": ({**TEXT, "pattern": r"^\pL+$"}, "a"),
    "a property called id": ({"type": "object", "properties": {"id": TEXT}}, {"id": "7"}),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_the_api_server_takes_is_not_refused(name: str) -> None:
    field, value = TAKEN[name]

    assert refused(widget(f=value), schema(f=field)) == ()


KEEPING = {
    "type": "object",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {"f": {"type": "object"}},
}
DROPPED: dict[str, tuple[dict[str, Any], Any, tuple[str, ...]]] = {
    "unnamed": ({"type": "object", "properties": {"g": TEXT}}, {"g": "a", "h": 1}, ("spec.f.h",)),
    "unnamed in a list": ({"type": "array", "items": {"type": "object"}}, [{}, {"h": 1}], ("spec.f[1].h",)),
    "nothing in a map": ({"type": "object", "additionalProperties": TEXT}, {"k": "v"}, ()),
    "no key of an open map, but all below it": (
        {"type": "object", "additionalProperties": True},
        {"k": {"l": 1}, "m": 1},
        ("spec.f.k.l",),
    ),
    "below what keeps all, what is named is strict": (KEEPING, {"any": 1, "f": {"h": 1}}, ("spec.f.f.h",)),
    "an object's head stays": (
        {**EMBEDDED, "properties": {"status": TEXT}},
        {**HEAD, "spec": {}},
        ("spec.f.spec",),
    ),
}


@pytest.mark.parametrize("name", DROPPED)
def test_what_the_schema_does_not_name_is_dropped(name: str) -> None:
    field, value, paths = DROPPED[name]

    assert dropped(widget(f=value), schema(f=field)) == paths


def test_the_object_is_left_as_it_is_and_its_values_are_never_said() -> None:
    one = widget(f="s3cret", g=1)
    before = deepcopy(one)

    said = refused(one, schema(f={**TEXT, "maxLength": 3, "enum": ["a"], "pattern": "^a$"}))

    assert one == before
    assert len(said) == 3
    assert "s3cret" not in "".join(said)


def test_a_schema_that_is_none_is_said_to_be_none() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        refused(widget(f=1), schema(f={"type": "whole"}))


def test_rules_are_found_wherever_they_are() -> None:
    rule = {"x-kubernetes-validations": [{"rule": "self > 1"}]}
    nested = {"type": "array", "items": {**INTEGER, **rule}}

    assert rules(schema(f=nested)) == {"spec.f[]: self > 1"}
