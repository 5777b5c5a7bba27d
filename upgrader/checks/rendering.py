"""Does the chart render, and twice the same?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Ref
from upgrader.model.subjects import by_ref, is_locked, subjects

RULES: Mapping[str, str] = {
    "rendering-empty": "The target renders no object: everything would be deleted.",
    "rendering-unstable": "Two renderings of the same chart and values differ (random or time-based).",
    "rolls-nothing": "No pod template under upgrade changes: there is nothing to roll and nothing to judge.",
    "rolls-with-helm": "A workload outside the groups changes its pods: Helm rolls it at once, in no batch.",
}
ONLY_FOR = dict.fromkeys(("rolls-nothing", "rolls-with-helm"), ("rolling",))


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what is odd about the rendered target."""
    if is_locked(survey):
        return
    if not survey.new.objects:
        yield Finding("rendering-empty", Severity.BLOCK, "the target renders no object", "look at the values")
        return
    if not survey.new.stable:
        yield Finding(
            "rendering-unstable",
            Severity.WARN,
            "two renderings differ: what is applied will not be exactly what the plan shows",
            "take genCA, randAlphaNum, now … out of the templates or pin their values",
            "https://helm.sh/docs/chart_template_guide/function_list/",
        )
    if not any(_rolls(one.live, one.new) for one in subjects(survey)) and not _has_dependents(survey):
        yield Finding(
            "rolls-nothing", Severity.WARN, "no pod template under upgrade changes", "is chart.to right?"
        )
    yield from _outside(survey)


def _has_dependents(survey: Survey) -> bool:
    return any(one.is_dependent for one in subjects(survey))


def _rolls(live: Mapping[str, object], new: Mapping[str, object] | None) -> bool:
    if new is None:
        return False
    return manifests.pod_template(live) != manifests.pod_template(new)


def _outside(survey: Survey) -> Iterator[Finding]:
    grouped = {one.ref for one in subjects(survey)}
    old = by_ref(survey.old.objects)
    for ref, rendered in by_ref(survey.new.objects).items():
        if ref.kind not in manifests.WORKLOAD_KINDS or ref in grouped or ref not in old:
            continue
        if _rolls(old[ref], rendered):
            yield Finding(
                "rolls-with-helm",
                Severity.WARN,
                f"{ref} changes its pods and is in no group: {_images(ref, old[ref], rendered)}",
                "name it in workloads to have it upgraded in batches",
            )


def _images(ref: Ref, old: Mapping[str, object], new: Mapping[str, object]) -> str:
    before, after = manifests.images(old), manifests.images(new)
    return f"{', '.join(before)} → {', '.join(after)}" if before != after else "the same images"
