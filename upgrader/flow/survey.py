"""Survey: read all that checks and strategies need, once, before a run. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from upgrader.errors import ProgramFailed, Refused
from upgrader.flow.beside import dry_runnable, survey_beside
from upgrader.flow.definitions import with_chart
from upgrader.flow.look import ask_rights, chosen, dry_run, live_objects, nearby, services, trial
from upgrader.model.fleet import Fleet, Members, current_hashes, fleet_of
from upgrader.model.playbook import Playbook, Release
from upgrader.model.plugins import Color, Signal, Survey
from upgrader.model.ports import Chart, Manifest, Ports, Ref, ReleaseStatus, Rendered, Revision
from upgrader.model.rights import needed_rights
from upgrader.model.subjects import LOCKED, by_ref, grouped


def survey(
    playbook: Playbook,
    ports: Ports,
    signals: Sequence[Signal],
    *,
    target_revision: int | None = None,
    live: Color | None = None,
) -> Survey:
    """Read the release, the cluster around it and one reading of each signal.

    Args:
        playbook: What to upgrade.
        ports: The world.
        signals: All signals and balancers.
        target_revision: A revision of the history to go to, instead of the playbook's chart.
        live: The color that carries the traffic, where the new version goes to a place beside it.

    Raises:
        Refused: Helm is missing or too old, there is no such release or revision, or the chart does not
            render.
    """
    release, kube, helm = playbook.release, ports.kube, ports.helm
    helm_version = helm.version()  # first: an old one fails at what it does not know, with other words
    plan = _plan(ports, release, target_revision)
    beside = survey_beside(playbook, ports, plan.new, live) if live else None
    sent = (*plan.old.objects, *plan.new.objects)
    deployments = kube.list("apps/v1", "Deployment", namespace=release.namespace)
    found_services = services(kube, release, plan.old, deployments)
    groups = grouped(
        chosen(kube, release, plan.old, deployments), found_services, deployments, frozenset(by_ref(sent))
    )
    rights = ask_rights(kube, needed_rights(sent, playbook=playbook, beside=beside))
    near = nearby(kube, release.namespace, rights)
    found = live_objects(kube, (*sent, *plan.old.hooks, *plan.new.hooks))
    members = {Ref.of(one): one for one in deployments if one["metadata"]["name"] in groups}
    seen = Survey(
        playbook=playbook,
        server_version=kube.server_version(),
        cluster_uid=kube.cluster_uid(),
        helm_version=helm_version,
        history=plan.history,
        known_good=plan.known_good,
        apply_method=plan.method,
        chart=plan.chart,
        old=plan.old,
        new=plan.new,
        live=found | members,
        dry_run=dry_run(kube, dry_runnable(plan.new, beside), method=plan.method),
        dry_run_back={} if beside else dry_run(kube, plan.old.objects, method=plan.method),
        groups=groups,
        services=found_services,
        nearby=near,
        rights=rights,
        trial=trial(ports.clock, signals, _fleet(groups, (*deployments, *near), release.namespace)),
        beside=beside,
    )
    return with_chart(seen, kube, ports.beside or helm)


@dataclass(frozen=True)
class _Plan:
    """From what to what."""

    history: tuple[Revision, ...]
    known_good: int
    method: str
    chart: Chart | None
    old: Rendered
    new: Rendered


def _plan(ports: Ports, release: Release, target: int | None) -> _Plan:
    """Find out from which revision to which target; nothing is rendered where Helm is locked.

    Helm refuses even a dry run then, and a check says why.
    """
    helm = ports.helm
    history = helm.history()
    _require(history, release, target)
    known_good = max((one.number for one in history if one.status is ReleaseStatus.DEPLOYED), default=0)
    old = helm.rendered(known_good) if known_good else Rendered(())
    method = helm.apply_method(known_good) if known_good else ""
    if target is not None:
        return _Plan(history, known_good, method, None, old, helm.rendered(target))
    chart = helm.pull()
    new = Rendered(()) if history[-1].status in LOCKED else _rendered(ports, chart)
    return _Plan(history, known_good, method, chart, old, new)


def _rendered(ports: Ports, chart: Chart) -> Rendered:
    try:
        return ports.beside.plan_install(chart) if ports.beside else ports.helm.plan_upgrade(chart)
    except ProgramFailed as failure:
        raise Refused(
            f"Helm cannot plan the upgrade to {chart.name} {chart.version}: {failure.output or failure.what}",
            remedy=failure.remedy
            or "correct the chart or its values; a kind that is not served needs its CRD first",
        ) from failure


def _require(history: Sequence[Revision], release: Release, target: int | None) -> None:
    where = f"--namespace {release.namespace}"
    if not history:
        raise Refused(
            f"there is no Helm release {release.name} in namespace {release.namespace}",
            remedy=f"correct it under releases (`helm list {where}` shows what there is), or install it",
        )
    numbers = [one.number for one in history]
    if target is not None and target not in numbers:
        raise Refused(
            f"release {release.name} has no revision {target}; it has {', '.join(map(str, numbers))}",
            remedy=f"`helm history {release.name} {where}` says what each of them is",
        )


def _fleet(groups: dict[str, str], objects: Iterable[Manifest], namespace: str) -> Fleet:
    near = [one for one in objects if one["metadata"].get("namespace") == namespace]
    return fleet_of(near, Members(groups, {name: current_hashes(near, name) for name in groups}))
