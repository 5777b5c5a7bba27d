"""Follow the journal of the run that is being rehearsed, from outside the room."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from upgrader.model.record import Kind

NAME = "journal.jsonl"


class RunJournal:
    """The journal of the one run below a state folder; it need not be there yet.

    Args:
        state: The folder the run was told to keep its state in; it holds no other run.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        self._read = 0
        self.records: list[Mapping[str, Any]] = []

    @property
    def path(self) -> Path | None:
        """The journal's file; ``None`` before it is there."""
        return next(self.state.glob(f"runs/*/{NAME}"), None)

    @property
    def run(self) -> str:
        """The run's id; empty before it has a journal."""
        return self.path.parent.name if self.path else ""

    def look(self) -> None:
        """Read the records that are new; half a line is left for the next look."""
        path = self.path
        if path is None:
            return
        with path.open("rb") as file:
            file.seek(self._read)
            *whole, _rest = file.read().split(b"\n")
        self.records += map(json.loads, whole)
        self._read += sum(len(line) + 1 for line in whole)

    def batches(self) -> list[str]:
        """Return the ids of the steps that put new pods before clients, in order."""
        steps = self.records[0]["body"]["steps"] if self.records else []
        kinds = ("roll_batch", "shift_traffic")
        return [step["id"] for step in steps if step["kind"] in kinds and step["new_share"] > 0]

    def share(self, step: str) -> float:
        """Return the new version's share of the requests after a step, 0-1."""
        steps = self.records[0]["body"]["steps"]
        return next(float(one["new_share"]) for one in steps if one["id"] == step)

    def has_begun(self, step: str) -> bool:
        """Tell whether a step was begun."""
        return any(_is_begin(record) and record["step"] == step for record in self.records)

    def is_done(self, step: str) -> bool:
        """Tell whether a step is done, so that its gate stands."""
        return any(_is_applied(record) and record["step"] == step for record in self.records)


def _is_begin(record: Mapping[str, Any]) -> bool:
    return bool(record["kind"] == Kind.INTENT.value and record["body"]["act"] == "start")


def _is_applied(record: Mapping[str, Any]) -> bool:
    return bool(record["kind"] == Kind.EVENT.value and record["body"]["event"] == "applied")
