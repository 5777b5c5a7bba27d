"""What was measured before the run, as the header keeps it: all that a later process needs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from upgrader.model.fleet import Members, current_hashes, template_digest
from upgrader.model.plugins import Beside, Color, Finding, Severity, Split, Survey
from upgrader.model.ports import Chart, Denied, Manifest, Ref

ANNOTATION = "upgrader/"
"""Prefix of all our annotations; each object we touch says who, why and how to undo it."""
RUN, REASON, UNDO = (ANNOTATION + name for name in ("run", "reason", "undo"))
_SHARED = ("context", "cluster_uid", "server_version", "helm_version", "run_folder", "kubeconfig")
_TOLD = ("release", "namespace", "from", "to")


def measured(survey: Survey, run_folder: str, *, revision: int = 0) -> dict[str, Any]:
    """Return the header's ``measured`` body; ``revision`` is the one the run goes to, 0 for the chart."""
    release = survey.playbook.release
    return {
        "release": release.name,
        "namespace": release.namespace,
        "context": survey.playbook.context or "",
        "cluster_uid": survey.cluster_uid,
        "server_version": survey.server_version,
        "helm_version": survey.helm_version,
        "known_good": survey.known_good,
        "last_revision": survey.history[-1].number,
        "apply_method": survey.apply_method,
        "from": next((r.chart for r in survey.history if r.number == survey.known_good), ""),
        "to": _target(survey, revision),
        "chart": _chart(survey),
        "run_folder": run_folder,
        "workloads": [_workload(survey, name, group) for name, group in survey.groups.items()],
        "jobs": sorted({one["metadata"]["name"] for one in _jobs(survey)}),
        **({} if survey.beside is None else _beside(survey.beside)),
    }


def _beside(place: Beside) -> dict[str, Any]:
    return {
        "live": place.live.value,
        "traffic_back": place.back,
        "beside": {
            "release": place.release,
            "namespace": place.namespace,
            "existed": place.exists,
            "last_revision": place.last_revision,
            "groups": dict(place.groups),
            "delay_seconds": place.delay_seconds,
        },
    }


def joint(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the header's ``measured``: of one release its own, of several ``tiers`` and what they share.

    Args:
        blocks: What was measured of each release, in the playbook's order.
    """
    if len(blocks) == 1:
        return dict(blocks[0])
    shared = {key: blocks[0][key] for key in _SHARED if key in blocks[0]}
    told = {key: ", ".join(dict.fromkeys(str(one[key]) for one in blocks)) for key in _TOLD}
    return {**told, **shared, "tiers": [dict(one) for one in blocks]}


def tiers_of(measured: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return what was measured of each release, in the playbook's order; `joint` turned round."""
    return tuple(measured.get("tiers") or (measured,))


def locks_of(measured: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return namespace and release of each Lease that a run holds."""
    return tuple(
        (locked[0], locked[1])
        for one in tiers_of(measured)
        for locked in [one.get("locked") or (one["namespace"], one["release"])]
    )


def members(measured: Mapping[str, Any], *, tier: int = 0) -> Members:
    """Return who of a tier is under upgrade, and what counts as old."""
    rows = measured["workloads"]
    return Members(
        {row["name"]: row["group"] for row in rows},
        {row["name"]: frozenset(row["old_hashes"]) for row in rows},
        tier,
    )


def members_beside(measured: Mapping[str, Any]) -> Members | None:
    """Return who stands in the other place, every pod of it new; ``None`` where there is none."""
    beside = measured.get("beside")
    return Members(beside["groups"], {}) if beside else None


def row_of(measured: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return what was measured of one Deployment.

    Raises:
        KeyError: It is none of ours.
    """
    for row in measured["workloads"]:
        if row["name"] == name:
            return row  # type: ignore[no-any-return]
    raise KeyError(name)


def ref_of(row: Mapping[str, Any]) -> Ref:
    """Return the Deployment a measured row speaks of."""
    return Ref("apps/v1", "Deployment", row["namespace"], row["name"])


def pinned_chart(measured: Mapping[str, Any]) -> Chart:
    """Return the chart that was pulled when the run was planned."""
    said = measured["chart"]
    return Chart(Path(said["path"]), said["name"], said["version"], said["digest"])


def moved(measured: Mapping[str, Any], now: Survey) -> Iterator[Finding]:
    """Say what of the release has changed since the plan was made; then it is not carried out."""
    was, last = int(measured["last_revision"]), now.history[-1].number
    if last != was:
        seen = f"the plan was made at revision {was}; now revision {last} is the newest"
        yield _stale(seen, "look at the new revision")
    for row in measured["workloads"]:
        live = now.live.get(ref_of(row))
        if live is not None and template_digest(live) != row["template"]:
            yield _stale(f"the pod template of {row['name']} was changed after the plan was made")
    if now.beside is not None:
        yield from _place_moved(measured["beside"], now.beside)


def _place_moved(was: Mapping[str, Any], place: Beside) -> Iterator[Finding]:
    """Say what has come to the other place: the way back takes away what was not there."""
    if place.exists != was["existed"]:
        turn = "is there now, and was not" if place.exists else "is gone, and was there"
        yield _stale(f"namespace {place.namespace} {turn} when the plan was made")
    before, last = was["last_revision"], place.last_revision
    if last != before:
        yield _stale(f"release {place.release} in {place.namespace} was at revision {before}, now {last}")


def turned(measured: Mapping[str, Any], split: Split) -> Iterator[Finding]:
    """Say if another place than the plan's carries traffic by now, or if that is not known."""
    live = str(measured["live"])
    if split.green_ratio != (1.0 if live == Color.GREEN.value else 0.0):
        now = "not known" if split.green_ratio is None else f"{split.green_ratio:.2%} of it goes to green"
        seen = f"{live} had all the traffic when the plan was made; now {split.error or now}"
        yield _stale(seen, "see which place is live")


def _stale(seen: str, do: str = "find out by whom") -> Finding:
    return Finding("plan-is-stale", Severity.BLOCK, seen, remedy=f"{do}, then plan again")


def _target(survey: Survey, revision: int) -> str:
    if survey.chart is not None:
        return f"{survey.chart.name}-{survey.chart.version}"
    return next((one.chart for one in survey.history if one.number == revision), "")


def _chart(survey: Survey) -> dict[str, str] | None:
    if survey.chart is None:
        return None
    chart = survey.chart
    return {"path": str(chart.path), "name": chart.name, "version": chart.version, "digest": chart.digest}


def _workload(survey: Survey, name: str, group: str) -> dict[str, Any]:
    ref = next(one for one in survey.live if one.kind == "Deployment" and one.name == name)
    live, planned = survey.live[ref], survey.dry_run.get(ref)
    target = live if planned is None or isinstance(planned, Denied) else planned
    return {
        "name": name,
        "namespace": ref.namespace,
        "group": group,
        "dependent": ref not in {Ref.of(one, namespace=ref.namespace) for one in survey.old.objects},
        "replicas": int(live["spec"].get("replicas", 1)),
        "template": template_digest(live),
        "old_hashes": sorted(current_hashes(survey.nearby, name)),
        "strategy": live["spec"].get("strategy", {}),
        "target_strategy": target["spec"].get("strategy", {}),
        "min_ready": int(live["spec"].get("minReadySeconds") or 0),
        "target_min_ready": int(target["spec"].get("minReadySeconds") or 0),
        "target_template": template_digest(target),
    }


def _jobs(survey: Survey) -> list[Manifest]:
    """Return the plain Jobs of both versions: immutable, so Helm can neither patch nor roll them back."""
    return [one for one in (*survey.old.objects, *survey.new.objects) if one.get("kind") == "Job"]
