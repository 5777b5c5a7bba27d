"""Run the pre-flight checks over a survey, and waive what the playbook waives. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from upgrader.errors import PlaybookInvalid, Refused
from upgrader.model.plugins import Check, Finding, Severity, Survey
from upgrader.model.ports import ReleaseStatus, Revision

_ORDER = {severity: place for place, severity in enumerate(Severity)}


def run_all(survey: Survey, modules: Iterable[Check]) -> tuple[Finding, ...]:
    """Return what all checks found, the blocking ones first, each with the playbook's reason if it is waived.

    Raises:
        PlaybookInvalid: ``checks.waive`` names a rule that no check has.
    """
    found_modules = tuple(modules)
    reasons = _reasons(survey, frozenset(chain.from_iterable(module.RULES for module in found_modules)))
    found = chain.from_iterable(_applicable(module, survey) for module in found_modules)
    waived = (replace(finding, waived=reasons.get(finding.rule, "")) for finding in found)
    return tuple(sorted(waived, key=lambda finding: _ORDER[finding.severity]))


def _applicable(module: Check, survey: Survey) -> Iterable[Finding]:
    """Return what a check found, without the rules that speak of other strategies."""
    only: Mapping[str, tuple[str, ...]] = getattr(module, "ONLY_FOR", {})
    book = survey.playbook
    spoken_of = {book.strategy.kind} if book.is_beside else {book.strategy.kind, "rolling"}
    return (one for one in module.check(survey) if spoken_of & {*only.get(one.rule, spoken_of)})


def blocking(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that refuse the run: those that block and are not waived."""
    return tuple(one for one in findings if one.severity is Severity.BLOCK and not one.waived)


def previous_good(history: Sequence[Revision]) -> int:
    """Return the newest revision before the deployed one that Helm once called deployed.

    Raises:
        Refused: There is none.
    """
    last = max((one.number for one in history if one.status is ReleaseStatus.DEPLOYED), default=0)
    once = [one.number for one in history if one.number < last and one.status is ReleaseStatus.SUPERSEDED]
    if not once:
        raise Refused(
            f"the history holds no good revision before {last}",
            remedy="name one with --to; see `helm history`",
        )
    return once[-1]


def catalogue(modules: Mapping[str, Check]) -> str:
    """Return the rules of all checks as a Markdown page, one section a subject."""
    sections = (_section(subject, modules[subject].RULES) for subject in sorted(modules))
    return "\n".join((_INTRODUCTION, *sections))


_INTRODUCTION = """\
# Pre-flight checks

Before anything is touched, `upgrader plan` and `upgrader run` survey the release and the cluster and let each
check speak. A finding that blocks refuses the run (exit 3). Any rule can be waived in the playbook, with a
reason that goes into the journal and the report:

```yaml
checks:
  waive:
    - {rule: drain-budget, reason: "CHG-1234: the balancer drains by itself"}
```

This page is generated from the `RULES` of `upgrader/checks/`; a test compares them.
"""


def _section(subject: str, rules: Mapping[str, str]) -> str:
    rows = "\n".join(f"| `{rule}` | {rules[rule]} |" for rule in rules)
    return f"## {subject.replace('_', ' ')}\n\n| rule | speaks when |\n|---|---|\n{rows}\n"


def _reasons(survey: Survey, known: frozenset[str]) -> dict[str, str]:
    waivers = survey.playbook.checks.waive
    for place, waiver in enumerate(waivers):
        if waiver.rule not in known:
            near = difflib.get_close_matches(waiver.rule, sorted(known), n=1)
            raise PlaybookInvalid(
                f"there is no rule {waiver.rule!r}",
                key=f"checks.waive[{place}].rule",
                remedy=f"did you mean {near[0]!r}?" if near else "docs/checks.md lists all rules",
            )
    return {waiver.rule: waiver.reason for waiver in waivers}
