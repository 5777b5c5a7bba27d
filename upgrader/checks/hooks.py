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
    "delete-hook": "A delete hook runs when one of two versions is uninstalled, while the other one serves.",
}
ONLY_FOR = {
    **dict.fromkeys(("post-upgrade-hook", "hook-recreated"), ("rolling",)),
    "delete-hook": ("canary", "blue_green"),
}

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
    verb = _verb(survey)
    yield from _at_uninstall(survey)
    for hook in survey.new.hooks:
        ref = Ref.of(hook)
        events = _events(hook)
        if ref.kind in _RUNS:
            yield from _runs(ref, hook, _of_this_run(events, verb), is_safe=ref.name in safe)
        elif ref.kind not in _HARMLESS and _of_this_run(events, verb):
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


def _at_uninstall(survey: Survey) -> Iterator[Finding]:
    """Yield what Helm runs besides at the retirement of the old version, or when the new one goes again."""
    if survey.beside is None:
        return
    for hooks, moment in (
        (survey.old.hooks, "the old version is retired, while the new one serves"),
        (survey.new.hooks, "the new version is taken away again, while the old one serves"),
    ):
        for hook in hooks:
            if Ref.of(hook).kind in _RUNS and _of_this_run(_events(hook), "delete"):
                yield Finding(
                    "delete-hook",
                    Severity.WARN,
                    f"{Ref.of(hook)} ({', '.join(manifests.images(hook))}) runs when {moment}",
                    "see that it deletes nothing that both share: CRDs, custom resources, webhooks; else "
                    "switch it off in the values",
                    "https://helm.sh/docs/topics/charts_hooks/",
                )


def _verb(survey: Survey) -> str:
    if survey.beside is not None:
        return "install"
    return "upgrade" if survey.chart is not None else "rollback"


def _of_this_run(events: Iterable[str], verb: str) -> frozenset[str]:
    return frozenset(event.removesuffix(f"-{verb}") for event in events if event.endswith(f"-{verb}"))
