"""Helm hooks: which run in the upgrade, when, and what no rollback undoes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref

RULES: Mapping[str, str] = {
    "post-upgrade-hook": "A post-upgrade hook runs while all is paused, before any new pod exists.",
    "pre-upgrade-hook": "A pre-upgrade hook runs before everything; a rollback does not undo what it did.",
    "hook-recreated": "An object in use is a hook: Helm deletes it and makes it anew at each upgrade.",
}
ONLY_FOR = dict.fromkeys(("post-upgrade-hook", "hook-recreated"), ("rolling",))

_RUNS = ("Job", "Pod")
_HARMLESS = (
    *_RUNS,
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
)


def check(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each hook an operator should have thought about."""
    safe = survey.playbook.checks.declare.hooks_safe
    upgrading = survey.chart is not None
    for hook in survey.new.hooks:
        ref = Ref.of(hook)
        events = _events(hook)
        if ref.kind in _RUNS:
            yield from _runs(ref, hook, _of_this_run(events, upgrading=upgrading), is_safe=ref.name in safe)
        elif ref.kind not in _HARMLESS and _of_this_run(events, upgrading=upgrading):
            yield Finding(
                "hook-recreated",
                Severity.WARN,
                f"{ref} is a {', '.join(sorted(events))} hook: absent for a moment, never rolled back",
                "watch it in the run; better: take the hook annotation off in the chart",
                "https://github.com/kubevela/kubevela/issues/6919",
            )


def _runs(ref: Ref, hook: Manifest, moments: frozenset[str], *, is_safe: bool) -> Iterator[Finding]:
    images = ", ".join(manifests.images(hook))
    if "post" in moments:
        yield Finding(
            "post-upgrade-hook",
            Severity.INFO if is_safe else Severity.BLOCK,
            f"{ref} ({images}) runs before a single new pod exists{'; declared safe' if is_safe else ''}",
            ""
            if is_safe
            else f"if it needs no new pods and breaks no old ones: checks.declare.hooks_safe: [{ref.name}]; "
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
