"""Rows of the rule tables: a change to the good gateway, and whether a rule speaks of it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

import upgrader.checks
from upgrader.model.plugins import Check, Severity
from upgrader.model.ports import Manifest
from upgrader.testing.surveys import SurveyBuilder

Change = Callable[[SurveyBuilder], None]

BLOCK, WARN, INFO = Severity.BLOCK, Severity.WARN, Severity.INFO
GONE = object()
"""Value of `edit` that takes a field away."""


def all_checks() -> Mapping[str, Check]:
    """Return every check that ships with us, by its file's name."""
    names = [one.name for one in pkgutil.iter_modules(upgrader.checks.__path__)]
    return {name: cast(Check, import_module(f"upgrader.checks.{name}")) for name in names}


@dataclass(frozen=True)
class Row:
    """One row: what a rule says of a change; ``None`` for silence."""

    rule: str
    case: str
    severity: Severity | None
    change: Change
    says: str = ""

    @property
    def id(self) -> str:
        """Name the row in test output."""
        return f"{self.rule}: {self.case}"


def edit(kind: str, name: str, path: str, value: Any, where: str = "old new") -> Change:
    """Set a field, by its dotted path, in the old or new manifest, or only live."""

    def how(manifest: Manifest) -> None:
        *steps, last = path.split(".")
        found: Any = manifest
        for step in steps:
            found = found[int(step)] if step.isdigit() else found.setdefault(step, {})
        key: Any = int(last) if last.isdigit() else last
        if value is GONE:
            found.pop(key, None)
        else:
            found[key] = deepcopy(value)

    return lambda builder: builder.change(kind, name, how, where=where)


def proxy(path: str, value: Any, where: str = "old new") -> Change:
    """Set a field of the data plane's container."""
    return edit("Deployment", "gateway", f"spec.template.spec.containers.0.{path}", value, where)


def proxies(path: str, value: Any, where: str = "old new") -> Change:
    """Set a field of the data plane's Deployment."""
    return edit("Deployment", "gateway", path, value, where)


def playbook(path: str, value: Any) -> Change:
    """Set a key of the playbook."""

    def change(builder: SurveyBuilder) -> None:
        *steps, last = path.split(".")
        found: Any = builder.playbook
        for step in steps:
            found = found[int(step)] if step.isdigit() else found.setdefault(step, {})
        found[last] = value

    return change


def add(*objects: Manifest, to: str) -> Change:
    """Add objects to one list of the builder: ``old``, ``new``, ``near``, ``others``, ``new_hooks`` …"""

    def change(builder: SurveyBuilder) -> None:
        for place in to.split():
            getattr(builder, place).extend(deepcopy(list(objects)))

    return change


def put(**parts: Any) -> Change:
    """Replace whole parts of the builder."""

    def change(builder: SurveyBuilder) -> None:
        for name, value in parts.items():
            setattr(builder, name, deepcopy(value))

    return change


def drop(kind: str, name: str, where: str = "old new") -> Change:
    """Take an object out of the manifests."""
    return lambda builder: builder.drop(kind, name, where=where)


def all_of(*changes: Change) -> Change:
    """Make several changes, in their order."""

    def change(builder: SurveyBuilder) -> None:
        for one in changes:
            one(builder)

    return change


def nothing(builder: SurveyBuilder) -> None:
    """Leave the good gateway as it is."""
