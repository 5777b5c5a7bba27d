"""Is there a place for a second installation beside the first, and can the balancer part the traffic so?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from upgrader.model import definitions, manifests
from upgrader.model.plugins import Beside, Finding, Severity, Survey
from upgrader.model.ports import Ref, ReleaseStatus
from upgrader.model.strategy import BlueGreen, Canary
from upgrader.model.subjects import by_ref, on_data_path

RULES = {
    "beside-taken": "A release stands in the other place already: it would be overwritten.",
    "beside-smaller": "The new version would have fewer pods on the data path than the old one has now.",
    "beside-shared-object": "Both installations hold an object of one name outside their own namespaces.",
    "beside-crds-templated": "The old version holds CRDs as plain objects: retiring it would delete them.",
    "beside-resources-go": "The old version holds custom resources: they go when it is retired.",
    "rung-too-fine": "The balancer cannot part traffic as finely as a rung of the playbook.",
    "beside-not-asked": "Nobody asks the new version before it gets traffic.",
    "beside-crd-new": "A CRD of the chart's crds/ is new: it is made first, and its resources are untried.",
    "beside-admission-unseen": "The other namespace is not there yet: what its admission says is not known.",
}
_HELM = "https://helm.sh/docs/helm/helm_uninstall (read 2026-11-24)"
_GONE = (ReleaseStatus.UNINSTALLED, ReleaseStatus.SUPERSEDED)
_KEEP = "helm.sh/resource-policy"


def check(survey: Survey) -> Iterable[Finding]:
    """Look at both places and at the balancer; nothing where there is only one place."""
    if survey.beside is None:
        return
    yield from _taken(survey.beside)
    yield from _smaller(survey, survey.beside)
    yield from _shared(survey)
    yield from _goes_with_the_old(survey)
    yield from _rungs(survey, survey.beside)
    yield from _new_kinds(survey)
    if not survey.beside.exists:
        seen = f"namespace {survey.beside.namespace} is made by the run; its quotas and policies come with it"
        yield Finding("beside-admission-unseen", Severity.INFO, seen)


def _taken(beside: Beside) -> Iterator[Finding]:
    last = beside.history[-1] if beside.history else None
    if last is not None and last.status not in _GONE:
        yield Finding(
            "beside-taken",
            Severity.BLOCK,
            f"release {beside.release} in {beside.namespace} is {last.status}: {last.chart}, without traffic",
            remedy=f"see what it is; then `helm -n {beside.namespace} uninstall {beside.release}`",
            source=_HELM,
        )


def _smaller(survey: Survey, beside: Beside) -> Iterator[Finding]:
    """Compare pods on the data path, group by group."""
    new: dict[str, int] = {}
    for one in survey.new.objects:
        name = one["metadata"]["name"]
        if one.get("kind") == "Deployment" and name in beside.groups:
            replicas = int((one.get("spec") or {}).get("replicas", 1))
            new[beside.groups[name]] = new.get(beside.groups[name], 0) + replicas
    old: dict[str, int] = {}
    for subject in on_data_path(survey):
        old[subject.group] = old.get(subject.group, 0) + subject.replicas
    for group, count in old.items():
        if new.get(group, 0) < count:
            seen = f"{group}: {count} pods carry the traffic now, and {new.get(group, 0)} would"
            remedy = "render as many replicas as are live; an autoscaler there starts from the chart's number"
            yield Finding("beside-smaller", Severity.BLOCK, seen, remedy=remedy)


def _shared(survey: Survey) -> Iterator[Finding]:
    """Say it before Helm does, which refuses to install what another release owns."""
    old = {_named(ref) for ref in by_ref(survey.old.objects)}
    shared = sorted({name for ref in by_ref(survey.new.objects) if (name := _named(ref)) in old})
    if shared:
        yield Finding(
            "beside-shared-object",
            Severity.BLOCK,
            f"both versions hold {', '.join(shared[:5])}{' …' if len(shared) > 5 else ''}",
            remedy="have the chart name it by its release, or keep it out of one of them by a values file",
            source="helm v4.3.1 pkg/action/install.go existingResourceConflict (read 2026-11-24)",
        )


def _named(ref: Ref) -> str:
    """Name an object whatever version of its API it is written in."""
    return f"{ref.kind} {ref.name}" + (f" in {ref.namespace}" if ref.namespace else "")


def _goes_with_the_old(survey: Survey) -> Iterator[Finding]:
    held = [one for one in survey.old.objects if manifests.annotations_of(one).get(_KEEP) != "keep"]
    crds = [one["metadata"]["name"] for one in held if one.get("kind") == "CustomResourceDefinition"]
    if crds:
        seen = (
            f"{', '.join(crds[:3])}{' …' if len(crds) > 3 else ''}: with a CRD every object of its kind goes"
        )
        remedy = f"set the annotation {_KEEP}: keep in the old version's chart first, by an upgrade in place"
        yield Finding("beside-crds-templated", Severity.BLOCK, seen, remedy=remedy, source=_HELM)
    own = {(one["spec"]["group"], one["spec"]["names"]["kind"]) for one in survey.crds if "spec" in one}
    custom = [one for one in held if (one["apiVersion"].partition("/")[0], one["kind"]) in own]
    if custom:
        names = ", ".join(f"{one['kind']} {one['metadata']['name']}" for one in custom[:3])
        seen = f"{names}: what still needs them must find them in the new version's place"
        remedy = "see that the new version renders its own; others' custom resources are not touched"
        yield Finding("beside-resources-go", Severity.WARN, seen, remedy=remedy, source=_HELM)


def _new_kinds(survey: Survey) -> Iterator[Finding]:
    """Name each definition that is made first, and what waits for it; nobody could try those before."""
    coming = definitions.coming(survey)
    untried: dict[str, list[str]] = {name: [] for name in sorted(set(coming.values()))}
    for one in (*survey.new.objects, *survey.new.hooks):
        name = coming.get((str(one.get("apiVersion")), str(one.get("kind"))))
        if name:
            untried[name].append(f"{one['kind']} {one['metadata']['name']}")
    for name, found in untried.items():
        versions = ", ".join(sorted(what[0] for what, owner in coming.items() if owner == name))
        seen = f"CRD {name}: {versions} is not served yet, and the step `crds` makes it first"
        if found:
            more = " …" if len(found) > 3 else ""
            seen += f"; before that nobody can try {', '.join(found[:3])}{more}"
        yield Finding("beside-crd-new", Severity.INFO, seen)


def _rungs(survey: Survey, beside: Beside) -> Iterator[Finding]:
    strategy = survey.playbook.strategy
    rungs = strategy.rungs if isinstance(strategy, Canary | BlueGreen) else ()
    fine = [rung for rung in rungs if rung < beside.finest_ratio]
    if fine:
        wished = ", ".join(f"{rung:.4g}" for rung in fine)
        seen = (
            f"{wished} was wished, and the finest share that the balancer gives is {beside.finest_ratio:.4g}"
        )
        yield Finding("rung-too-fine", Severity.INFO, seen)
    if not survey.playbook.asks_directly(beside.live.other):
        color = beside.live.other.value
        lacks = "no synthetic request" if color in strategy.direct else f"no strategy.direct.{color}"
        seen = f"the first to ask the new version would be clients, at the first rung: there is {lacks}"
        remedy = "say under strategy.direct where each place answers past the balancer, and what to ask there"
        yield Finding("beside-not-asked", Severity.WARN, seen, remedy=remedy)
