"""Autoscalers of the Deployments under upgrade."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Beside, Finding, Severity, Survey
from upgrader.model.ports import Manifest, Ref
from upgrader.model.subjects import Subject, by_ref, nearby, on_data_path, subjects

RULES: Mapping[str, str] = {
    "hpa-and-replicas": "The chart renders replicas for a Deployment that an autoscaler scales.",
    "hpa-growth": "An autoscaler may add pods in mid-run: new ones too, beyond what was gated.",
    "hpa-no-headroom": "An autoscaler is at its maximum: it cannot answer a rise in load.",
    "hpa-blind": "An autoscaler has no metrics: it does not scale at all.",
    "hpa-shrinks": "An autoscaler takes pods away from the place without traffic, and all of it may come at "
    "once.",
}
ONLY_FOR = {
    **dict.fromkeys(("hpa-and-replicas", "hpa-growth"), ("rolling",)),
    "hpa-shrinks": ("canary", "blue_green"),
}

_SOURCE = "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what autoscalers may do to the run."""
    new = by_ref(survey.new.objects)
    for one in subjects(survey):
        for scaler in nearby(survey, "HorizontalPodAutoscaler"):
            if _scales(scaler, one.ref):
                yield from _said(one, scaler, rendered=manifests.replicas(new.get(one.ref, {})))
    if survey.beside is not None:
        yield from _shrinks(survey, survey.beside)


def _shrinks(survey: Survey, beside: Beside) -> Iterator[Finding]:
    """Compare the least number of each autoscaler, in both places, with what carries the traffic now."""
    needed: dict[str, int] = {}
    for one in on_data_path(survey):
        needed[one.group] = needed.get(one.group, 0) + one.replicas
    new = [one for one in survey.new.objects if one.get("kind") == "HorizontalPodAutoscaler"]
    places = ((survey.groups, nearby(survey, "HorizontalPodAutoscaler")), (beside.groups, new))
    for groups, scaler in ((groups, scaler) for groups, scalers in places for scaler in scalers):
        spec = scaler.get("spec") or {}
        count = needed.get(groups.get((spec.get("scaleTargetRef") or {}).get("name", ""), ""), 0)
        least = int(spec.get("minReplicas") or 1)
        if least < count:
            yield Finding(
                "hpa-shrinks",
                Severity.WARN,
                f"{Ref.of(scaler)} may go down to {least} pods while no traffic comes; {count} carry it now",
                f"set minReplicas to {count} until the run is over: a bake is long enough for that, and "
                "the last rung or the way back brings all traffic at once",
                _SOURCE,
            )


def _scales(scaler: Manifest, ref: Ref) -> bool:
    target = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
    return (target.get("kind"), target.get("name"), scaler["metadata"].get("namespace")) == (
        ref.kind,
        ref.name,
        ref.namespace,
    )


def _said(subject: Subject, scaler: Manifest, *, rendered: int | None) -> Iterator[Finding]:
    name, live = Ref.of(scaler), subject.replicas
    most = int((scaler.get("spec") or {}).get("maxReplicas") or 0)
    if rendered is not None:
        yield Finding(
            "hpa-and-replicas",
            Severity.WARN,
            f"{name} scales {subject.ref} (now {live}) and the chart renders replicas {rendered}",
            "have the chart leave replicas out, in a step of its own: each Helm write fights the autoscaler",
            "https://github.com/helm/helm/issues/7090",
        )
    if most > live:
        yield Finding(
            "hpa-growth",
            Severity.INFO,
            f"{name} may take {subject.ref} from {live} to {most} pods in mid-run",
            "nothing: the run brakes when the new share passes what was gated; a quiet hour avoids it",
            _SOURCE,
        )
    else:
        yield Finding(
            "hpa-no-headroom",
            Severity.WARN,
            f"{name} is at its maximum: {live} of {most} pods",
            "raise maxReplicas, or upgrade in a quieter hour",
            _SOURCE,
        )
    conditions = {one["type"]: one for one in (scaler.get("status") or {}).get("conditions") or ()}
    active = conditions.get("ScalingActive") or {}
    if active.get("status") == "False":
        yield Finding(
            "hpa-blind",
            Severity.WARN,
            f"{name}: {active.get('reason')}: {active.get('message', '')}",
            "repair its metrics, or fix the number of pods for the run",
            _SOURCE,
        )
