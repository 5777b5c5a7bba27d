"""What one signal said once: a value, or a reason why there is none. Missing data is never zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from upgrader.model.evidence import Counts


class Weight(StrEnum):
    """What a fact does to the run."""

    BREACH = "breach"
    """Proof on its own: roll back (a crash loop, no healthy new backend after its settle time)."""
    HOLD = "hold"
    """Reason to stop and look, never to go back by itself."""
    WAIT = "wait"
    """A gate does not pass before it is gone; no reason for a brake, for nothing is wrong yet."""
    NOTE = "note"
    """Worth a sentence; changes nothing."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something seen that needs no statistics.

    Args:
        weight: What it does to the run.
        rule: Short name, such as ``crash-loop``; the same fact keeps its name from look to look.
        text: A sentence with the object, the numbers and the source.
    """

    weight: Weight
    rule: str
    text: str


UNASKED: Final = "unasked_pods"
"""The value that says how many pods a look did not ask, where it takes a sample of them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One look of one signal.

    Args:
        signal: Its name in this run, such as ``envoy_stats`` or ``synthetic 401 /orders``.
        read_at: UTC seconds when it was read.
        data_time: UTC seconds the data speaks of; ``None`` when nothing was read.
        source: Where it came from, for the operator.
        window_seconds: The time it covers, > 0 where it counts requests.
        counts: Requests and failures of both sides since the last good look, if it counts requests.
        facts: What needs no statistics.
        values: Numbers for the eye and the report: units in the names.
        complete: False when part of what should have been read was not.
        unread_ratio: The share of the pods not read, 0-1.
        unread_new: True when a new pod is among them.
        error: Why there is no usable data, or the empty text.
        due_requests: Requests the new pods should have had by their share since they last had one.
    """

    signal: str
    read_at: float
    data_time: float | None
    source: str
    window_seconds: float = 0.0
    counts: Counts | None = None
    facts: tuple[Fact, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    complete: bool = True
    unread_ratio: float = 0.0
    unread_new: bool = False
    error: str = ""
    due_requests: float = 0.0

    def to_body(self) -> dict[str, Any]:
        """Return the reading as a journal body; what says nothing is left out."""
        body = {key: value for key, value in asdict(self).items() if value not in (None, "", (), {}, 0.0, [])}
        body["complete"] = self.complete
        return body

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Reading:
        """Read a journal body back; the inverse of `to_body`."""
        counts = body.get("counts")
        facts = tuple(Fact(Weight(f["weight"]), f["rule"], f["text"]) for f in body.get("facts", ()))
        rest = {key: value for key, value in body.items() if key not in ("counts", "facts")}
        rest.setdefault("data_time", None)
        return cls(**rest, counts=Counts(**counts) if counts else None, facts=facts)
