"""Acme upgrades only what is named by its convention."""

from __future__ import annotations

from collections.abc import Iterable

from upgrader.model.plugins import Finding, Severity, Survey

RULES = {"acme-unowned": "The playbook's name does not begin with the team that owns the gateway."}
TEAMS = ("edge", "core")


def check(survey: Survey) -> Iterable[Finding]:
    """Look at the playbook's name."""
    name = survey.playbook.name
    if not name.startswith(TEAMS):
        seen = f"{name} names no team"
        yield Finding("acme-unowned", Severity.WARN, seen, remedy=f"begin it with {' or '.join(TEAMS)}")
