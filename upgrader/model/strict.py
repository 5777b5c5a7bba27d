"""The base of every part of a playbook: frozen, and nothing in it is ever passed over in silence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

UNKNOWN_KEY = "unknown_key"
"""Error type of a key that does not exist; its context holds ``key``."""
MISPLACED = "misplaced"
"""Error type of a rule between several keys; its context holds ``at``, the path of the key at fault."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` for the most similar known word, or the empty text."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def at_fault(path: tuple[str | int, ...], what: str) -> PydanticCustomError:
    """Make the error of a rule between several keys, that names the one to change.

    Args:
        path: From the model that raises it, such as ``("releases", 1)``.
        what: What is wrong and what is allowed; no braces.
    """
    return PydanticCustomError(MISPLACED, "{what}", {"what": what, "at": path})


class Strict(BaseModel):
    """A frozen part of the playbook that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    not_yet: ClassVar[frozenset[str]] = frozenset()
    """Keys the design has a meaning for that this version has not."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Write defaults the way a playbook does (``10m``), not as Python holds them."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        defaults = cls.model_construct().model_dump(mode="json", by_alias=True)
        for key, value in defaults.items():
            schema["properties"][key]["default"] = value
        return schema

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if cls.model_config.get("extra") == "forbid" and isinstance(data, Mapping):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in data:
                if key not in known:
                    raise PydanticCustomError(
                        UNKNOWN_KEY, "{what}", {"what": cls._why(key, known), "key": key}
                    )
        return data

    @classmethod
    def _why(cls, key: object, known: list[str]) -> str:
        if key in cls.not_yet:
            return f"{key} is not in this version; allowed here: {', '.join(known)}"
        return f"unknown key; allowed here: {', '.join(known)}{nearest(str(key), known)}"


def matching(pattern: str, words: str, *, longest: int = 253) -> tuple[AfterValidator, WithJsonSchema]:
    """Return what makes a text a type of its own: the rule it must match whole, and its JSON Schema.

    Args:
        pattern: A regular expression.
        words: What is allowed, for the operator.
        longest: Characters.
    """

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value) or len(value) > longest:
            raise ValueError(f"{value!r} is not allowed: {words}, at most {longest} characters")
        return value

    schema = {"type": "string", "pattern": f"^({pattern})$", "maxLength": longest}
    return AfterValidator(check), WithJsonSchema(schema)


def _check_text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME: Final = matching(_LABEL, "small letters, digits and - inside", longest=63)
_RELEASE: Final = matching(rf"{_LABEL}(\.{_LABEL})*", "small letters, digits, - and . inside", longest=53)
_GROUP: Final = matching(
    r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?", "small letters, digits, - and _ inside", longest=53
)
_ENV: Final = matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")

Name = Annotated[str, _NAME[0], _NAME[1]]
"""A Kubernetes name: a DNS label (RFC 1123)."""
ReleaseName = Annotated[str, _RELEASE[0], _RELEASE[1]]
"""A Helm release's name. Source: Helm 3, ``pkg/chartutil/validate_name.go``."""
GroupName = Annotated[str, _GROUP[0], _GROUP[1]]
"""The playbook's own name for a group of workloads."""
EnvName = Annotated[str, _ENV[0], _ENV[1]]
"""The name of an environment variable, never its value."""
Text = Annotated[str, AfterValidator(_check_text), WithJsonSchema({"type": "string", "minLength": 1})]
"""Any text that is not empty."""


def not_empty(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse an empty list; asked after its entries, so that their mistakes are told first."""
    if not value:
        raise ValueError("needs at least one entry")
    return value
