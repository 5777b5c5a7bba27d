"""The commands that bring the old version back without this tool, for where a run stands. Pure."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from upgrader.model.measure import REASON, RUN, UNDO, locks_of, tiers_of
from upgrader.model.run import Run

_PROGRAMS = {"helm": "--kube-context", "kubectl": "--context"}
TAKE_FIELDS = " --force-conflicts"
"""Helm 4 stops at fields that others own, and the rollout strategy was set by us. Only for a revision that
was applied server-side: on others Helm fails before it touches anything, and Helm 3 does not know it."""


def undo_commands(run: Run) -> tuple[str, ...]:
    """Return the kubectl and helm commands, in order; empty when nothing is left to undo."""
    begun: dict[int, set[str]] = {}
    for step in run.begun():
        if f"undo {step.id}" not in run.ended:
            begun.setdefault(step.tier, set()).add(step.kind)
    if run.is_over and run.phase.value != "needs_human":
        begun = {}
    return tuple(_commands(run.measured, begun)) if begun else ()


def whole_way_back(measured: Mapping[str, Any], *, order: Sequence[int] = ()) -> tuple[str, ...]:
    """Return all commands of the way back from a run that was begun, for `plan` to show.

    Args:
        measured: What was measured.
        order: The tiers in the order of the run; the playbook's where it is empty.
    """
    whole = (
        {"retire", "shift_traffic", "helm_install"} if "beside" in measured else {"helm_upgrade", "freeze"}
    )
    forth = order or range(len(tiers_of(measured)))
    return tuple(_commands(measured, dict.fromkeys(reversed(forth), whole)))


def _commands(measured: Mapping[str, Any], begun: Mapping[int, set[str]]) -> Iterator[str]:
    """Yield what undoes the steps begun of each tier, in the order given; the Leases go last."""
    for tier, kinds in begun.items():
        one = tiers_of(measured)[tier]
        yield from (_of_two_places if "beside" in one else _in_place)(one, kinds)
    for namespace, release in locks_of(measured):
        kubectl = f"kubectl{_flags(measured, '--context')} -n {namespace}"
        yield f"{kubectl} delete lease {lease_name(release)} --ignore-not-found"


def _of_two_places(measured: Mapping[str, Any], begun: set[str]) -> Iterator[str]:
    """The old version back where it was retired, then the traffic, and only then the new version away.

    Pasted together, no line may be too early: what the balancer still sends to the new version is waited for.
    """
    helm, kubectl = (f"{it}{_flags(measured, flag)}" for it, flag in _PROGRAMS.items())
    beside, namespace = measured["beside"], measured["namespace"]
    if "retire" in begun:
        yield f"{helm} -n {namespace} rollback {measured['release']} {measured['known_good']}"
        for row in measured["workloads"]:
            of = f"deployment {row['name']}"
            yield f"{kubectl} -n {namespace} scale {of} --replicas={row['replicas']}"
            yield f"{kubectl} -n {namespace} rollout status {of}"
    if "shift_traffic" in begun:
        yield str(measured["traffic_back"])
        if delay := math.ceil(beside.get("delay_seconds", 0.0)):
            yield f"sleep {delay}"
    if "helm_install" in begun:
        yield f"{helm} -n {beside['namespace']} uninstall {beside['release']}"
        if not beside["existed"]:
            yield f"{kubectl} delete namespace {beside['namespace']}"


def _in_place(measured: Mapping[str, Any], begun: set[str]) -> Iterator[str]:
    namespace, release = measured["namespace"], measured["release"]
    kubectl = f"kubectl{_flags(measured, '--context')} -n {namespace}"
    helm, rows = f"helm{_flags(measured, '--kube-context')} -n {namespace}", measured["workloads"]
    if "helm_upgrade" in begun:
        for job in measured["jobs"]:
            yield f"{kubectl} delete job {job} --ignore-not-found"
        force = TAKE_FIELDS if measured["apply_method"] == "ssa" else ""
        yield f"{helm} rollback {release} {measured['known_good']}{force}"
    for row in rows:
        yield f"{kubectl} patch deployment {row['name']} --type=merge -p '{_let_go(row)}'"
    for row in rows:
        yield f"{kubectl} rollout status deployment {row['name']}"


def _flags(measured: Mapping[str, Any], context_flag: str) -> str:
    """Return the flags that say which cluster; the one a shell talks to may be another by then."""
    named = (("--kubeconfig", measured.get("kubeconfig")), (context_flag, measured.get("context")))
    return "".join(f" {flag} {shlex.quote(value)}" for flag, value in named if value)


def _let_go(row: Mapping[str, Any]) -> str:
    spec = {"paused": None, "minReadySeconds": row.get("min_ready", 0), "strategy": row["strategy"]}
    notes = dict.fromkeys((RUN, REASON, UNDO))
    return json.dumps({"metadata": {"annotations": notes}, "spec": spec}, separators=(",", ":"))


def lease_name(release: str) -> str:
    """Return the name of a release's Lease."""
    return f"upgrader-{release}"
