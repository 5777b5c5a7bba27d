"""Several releases in one run: their steps in one plan, their findings in one list. Pure.

A tier is one release of the playbook. Each has its own survey, checks, Helm and steps, and is numbered from 0
in the playbook's order. A playbook with one release has one tier, of which nobody speaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from upgrader.errors import Refused
from upgrader.model.plugins import Finding, Severity, StepPlan, Survey
from upgrader.model.ports import Ref
from upgrader.model.subjects import by_ref

_ORDER = {severity: place for place, severity in enumerate(Severity)}


def names(surveys: Sequence[Survey]) -> tuple[str, ...]:
    """Return what each tier is called: by its release, and its namespace where two have the same name.

    Of one release the empty text.
    """
    if len(surveys) == 1:
        return ("",)
    found = [survey.playbook.release for survey in surveys]
    plain = [one.name for one in found]
    return tuple(one.name if plain.count(one.name) == 1 else f"{one.namespace}/{one.name}" for one in found)


def in_one(plans: Mapping[int, Sequence[StepPlan]], called: Sequence[str]) -> tuple[StepPlan, ...]:
    """Return the steps of all tiers, one tier after the other.

    Args:
        plans: Tier → its steps, in the order of the run.
        called: What each tier is called, as `names` says.
    """
    return tuple(
        replace(step, tier=tier, id=f"{called[tier]}: {step.id}" if called[tier] else step.id)
        for tier, steps in plans.items()
        for step in steps
    )


def findings_of_all(found: Sequence[Sequence[Finding]], called: Sequence[str]) -> tuple[Finding, ...]:
    """Return the findings of all tiers, the gravest first; what is said of every tier alike is said once.

    Args:
        found: What the checks said of each tier.
        called: What each tier is called, as `names` says.
    """
    alike = {one for one in found[0] if all(one in others for others in found[1:])}
    told = [
        one if one in alike or not called[tier] else replace(one, seen=f"{called[tier]}: {one.seen}")
        for tier, findings in enumerate(found)
        for one in findings
    ]
    return tuple(sorted(dict.fromkeys(told), key=lambda one: _ORDER[one.severity]))


def require_apart(surveys: Sequence[Survey]) -> None:
    """Refuse tiers that would upgrade the same Deployment: the second one would find it new already.

    Raises:
        Refused: There is one; its name and the releases are said.
    """
    owners: dict[Ref, str] = {}
    for survey, called in zip(surveys, names(surveys), strict=True):
        for ref in _deployments(survey):
            if (other := owners.setdefault(ref, called)) != called:
                raise Refused(
                    f"{ref} would be upgraded with release {other} and again with release {called}",
                    remedy="narrow the selectors of their workloads, so that each Deployment is in but one",
                )


def _deployments(survey: Survey) -> Iterator[Ref]:
    """Yield the Deployments under upgrade, and all that the release holds."""
    namespace = survey.playbook.release.namespace
    yield from (Ref("apps/v1", "Deployment", namespace, name) for name in survey.groups)
    yield from (ref for ref in by_ref(survey.old.objects) if ref.kind == "Deployment")
