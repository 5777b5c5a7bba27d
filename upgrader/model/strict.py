"""The base of every part of a playbook: frozen, and nothing in it is ever passed over in silence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

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
