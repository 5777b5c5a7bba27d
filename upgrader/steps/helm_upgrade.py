"""Have Helm write the new version (an upgrade, or a revision of the history); its undo is `helm rollback`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.measure import pinned_chart, ref_of
from upgrader.model.plugins import Progress, Scene, StepPlan
from upgrader.model.ports import Ref, ReleaseStatus, Revision
from upgrader.steps.helm_process import body_of, known_as, started_as, stop


@dataclass(frozen=True)
class HelmUpgrade:
    """One write by Helm, without Helm's own waiting: the Deployments are paused, and we watch them.

    Settings: ``run`` (the run's id), ``revision`` (go to that one instead of the chart; 0 for the chart).
    What is true is asked of Helm's history, never concluded from an exit status.
    """

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        revision = self.plan.settings["revision"]
        return (
            f"helm rollback to revision {revision}"
            if revision
            else "helm upgrade, with every Deployment paused"
        )

    def is_done(self, scene: Scene) -> bool:
        """Look whether the history holds our revision, deployed."""
        return _last(scene).status is ReleaseStatus.DEPLOYED and _is_ours(scene)

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Take our field ownership off, then start Helm; a Helm of ours that runs already is taken up."""
        known = scene.ports.helm.started("forward")
        if known is not None and (scene.ports.helm.running(known) or _is_ours(scene)):
            return {"forward": body_of(known)}
        _step_aside(scene)
        revision = self.plan.settings["revision"]
        if revision:
            return {"forward": body_of(scene.ports.helm.start_rollback(revision, as_="forward"))}
        labels = {"upgrader-run": self.plan.settings["run"]}
        return {
            "forward": body_of(scene.ports.helm.start_upgrade(pinned_chart(scene.measured), labels=labels))
        }

    def poll(self, scene: Scene) -> Progress:
        """Wait for the process, then ask the history."""
        process = started_as(scene, "forward")
        if process and scene.ports.helm.running(process):
            return Progress(False, "helm is writing")
        last = _last(scene)
        if _is_ours(scene) and last.status is ReleaseStatus.DEPLOYED:
            return Progress(True, f"revision {last.number} is deployed", facts={"revision": last.number})
        said = scene.ports.helm.output(process) if process else ""
        return Progress(
            False, "", failed=f"helm left revision {last.number} as {last.status}: {said}".strip()
        )

    def brake(self, scene: Scene) -> Progress:
        """Helm replaces no pod while the Deployments are paused, so it may end its write."""
        return Progress(True, "the Deployments are paused")

    def undo(self, scene: Scene) -> Progress:
        """Stop a Helm that still writes forward; then go back to the known-good revision, once."""
        forward = known_as(scene, scene.ports.helm, "forward")
        if forward and scene.ports.helm.running(forward):
            return stop(scene, scene.ports.helm, forward)
        back = started_as(scene, "back")
        if back and scene.ports.helm.running(back):
            _give_back_replicas(scene, only_upwards=True)  # its hooks may take minutes yet
            return Progress(False, "helm is rolling back")
        last = _last(scene)
        if _is_back(scene, last):
            _give_back_replicas(scene)
            return Progress(
                True, f"revision {last.number} holds the known-good version", facts={"back_as": last.number}
            )
        if back:
            said = scene.ports.helm.output(back)
            return Progress(
                False, "", failed=f"helm rollback left revision {last.number} as {last.status}: {said}"
            )
        return self._go_back(scene)

    def _go_back(self, scene: Scene) -> Progress:
        """Take immutable Jobs and our field ownership out of the way, then start `helm rollback`."""
        if "replicas" not in scene.facts:
            scaled = _scaled(scene)
            said = f"scaled in mid-run: {', '.join(scaled)}" if scaled else "nothing was scaled in mid-run"
            return Progress(False, said, facts={"replicas": scaled})
        known = scene.ports.helm.started("back")
        if known is None or not scene.ports.helm.running(known):
            for job in scene.measured["jobs"]:
                scene.ports.kube.delete(Ref("batch/v1", "Job", scene.measured["namespace"], job))
            _step_aside(scene)
            known = scene.ports.helm.start_rollback(scene.measured["known_good"], as_="back")
        return Progress(False, "helm rollback has begun", facts={"back": body_of(known)})


def _step_aside(scene: Scene) -> None:
    """Drop our field ownership: a strategy of another manager makes Helm's server-side apply conflict."""
    for row in scene.measured["workloads"]:
        scene.ports.kube.drop_ownership(ref_of(row))


def _scaled(scene: Scene) -> dict[str, int]:
    """Return the replicas of each Deployment that somebody scaled since the run was planned, by name.

    Helm sets the number its chart renders, also on the way back; no flag of it leaves a field alone.
    """
    found = {}
    for row in scene.measured["workloads"]:
        workload = scene.fleet.workload(row["name"])
        if workload is not None and workload.replicas != row["replicas"]:
            found[row["name"]] = workload.replicas
    return found


def _give_back_replicas(scene: Scene, *, only_upwards: bool = False) -> None:
    """Scale as it was before `helm rollback`; what is live now may be newer than what was last seen.

    Helm writes a Deployment once, so a number that fell may be raised while Helm is at what comes after it.
    Whether a higher one was set by Helm is known only at its end.
    """
    for row in scene.measured["workloads"]:
        wanted, live = scene.facts.get("replicas", {}).get(row["name"]), scene.ports.kube.get(ref_of(row))
        has = live["spec"].get("replicas") if live else None
        if wanted is None or live is None or has == wanted:
            continue
        if not only_upwards or (has is not None and has < wanted):
            scene.ports.kube.patch(ref_of(row), {"spec": {"replicas": wanted}})


def _last(scene: Scene) -> Revision:
    return scene.ports.helm.history()[-1]


def _is_ours(scene: Scene) -> bool:
    """Tell whether Helm has written since the run was planned."""
    return _last(scene).number > int(scene.measured["last_revision"])


def _is_back(scene: Scene, last: Revision) -> bool:
    """Tell whether the newest revision is the known-good one, or a finished rollback to it."""
    if last.status is not ReleaseStatus.DEPLOYED:
        return False
    known_good = int(scene.measured["known_good"])
    return last.number == known_good or last.description == f"Rollback to {known_good}"


def build(plan: StepPlan) -> HelmUpgrade:
    """Make the step."""
    return HelmUpgrade(plan)
