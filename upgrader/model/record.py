"""One line of a journal, and the chain that makes a missing or changed line show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from upgrader.model.phase import Phase

SCHEMA = 1
"""Version of the journal's form; another one is refused."""
RULE = 1
"""Version of the decision rule; a verdict is re-derived only under the rule it was made by."""


class Kind(StrEnum):
    """What a record says."""

    HEADER = "header"
    INTENT = "intent"
    """Written before an act."""
    DONE = "done"
    """What an act, or a further look at it, brought: facts for those who come after."""
    READING = "reading"
    """Written before it is judged."""
    VERDICT = "verdict"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Args:
        seq: From 0, without a gap.
        at: UTC seconds.
        kind: What it says.
        phase: The phase it was written in.
        step: The id of the step it concerns, or the empty text.
        body: JSON values.
        prev: Hash of the record before; empty in the first.
    """

    seq: int
    at: float
    kind: Kind
    phase: Phase
    step: str
    body: Mapping[str, Any] = field(default_factory=dict)
    prev: str = ""

    def to_line(self) -> dict[str, Any]:
        """Return it as the journal holds it."""
        return {
            "seq": self.seq,
            "at": round(self.at, 3),
            "kind": self.kind.value,
            "phase": self.phase.value,
            "step": self.step,
            "body": dict(self.body),
            "prev": self.prev,
        }

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> Record:
        """Read it back; `ValueError` or `KeyError` when it is no record of ours."""
        return cls(
            int(line["seq"]),
            float(line["at"]),
            Kind(line["kind"]),
            Phase(line["phase"]),
            str(line["step"]),
            line["body"],
            str(line["prev"]),
        )

    def digest(self) -> str:
        """Return the hash the next record carries as ``prev``."""
        text = json.dumps(self.to_line(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:24]
