"""Helm hooks: which run in the upgrade, when, and what no rollback undoes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref
from upgrader.model.subjects import safe_hooks

RULES: Mapping[str, str] = {
    "post-upgrade-hook": "A post-upgrade hook runs while the Deployments are paused, before any new pod exists.",
    "pre-upgrade-hook": "A pre-upgrade hook runs before everything; a rollback does not undo what it did.",
    "hook-recreated": "An object in use is a hook: Helm deletes it and makes it anew at each upgrade.",
}

_RUNS = ("Job", "Pod")
_HARMLESS = (*_RUNS, "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ConfigMap")


def check(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each hook an operator should have thought about; declared safe ones are passed over."""
    safe = safe_hooks(survey.playbook)
    upgrading = survey.chart is not None
    for hook in survey.new.hooks:
        ref = Ref.of(hook)
        events = _events(hook)
        if ref.name in safe:
            continue
        if ref.kind in _RUNS:
            yield from _runs(ref, hook, _of_this_run(events, upgrading=upgrading))
        elif ref.kind not in _HARMLESS and _of_this_run(events, upgrading=upgrading):
            yield Finding(
                "hook-recreated",
                Severity.WARN,
                f"{ref} is a {', '.join(sorted(events))} hook: it is absent for a moment, and a rollback leaves the new one",
                "watch it in the run; better: take the hook annotation off in the chart",
                "https://github.com/kubevela/kubevela/issues/6919",
            )


def _runs(ref: Ref, hook: Manifest, moments: frozenset[str]) -> Iterator[Finding]:
    images = ", ".join(manifests.images(hook))
    if "post" in moments:
        yield Finding(
            "post-upgrade-hook",
            Severity.BLOCK,
            f"{ref} ({images}) would run before a single new pod exists",
            f"if it neither needs new pods nor breaks old ones, declare it: checks.safe_hooks: [{ref.name}]; "
            "else switch it off in the values and run it after the bake",
            "https://github.com/Kong/charts/issues/74",
        )
    if "pre" in moments:
        yield Finding(
            "pre-upgrade-hook",
            Severity.INFO,
            f"{ref} ({images}) runs before everything, while old pods serve",
            "see that old pods can live with what it does, and that it need not be undone",
            "https://github.com/helm/helm/issues/3549",
        )


def _events(hook: Manifest) -> frozenset[str]:
    written = manifests.annotations_of(hook).get("helm.sh/hook", "")
    return frozenset(part.strip() for part in written.split(",") if part.strip())


def _of_this_run(events: Iterable[str], *, upgrading: bool) -> frozenset[str]:
    verb = "upgrade" if upgrading else "rollback"
    return frozenset(event.removesuffix(f"-{verb}") for event in events if event.endswith(f"-{verb}"))
