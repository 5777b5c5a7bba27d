"""Install the new version beside the old one, in a place of its own; its undo takes it away again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.fleet import Side, Workload
from upgrader.model.measure import pinned_chart
from upgrader.model.plugins import Progress, Scene, StepPlan
from upgrader.model.ports import Helm, Ref, ReleaseStatus, Revision
from upgrader.steps.deployments import is_whole
from upgrader.steps.helm_process import body_of, known_as, started_as, stop


@dataclass(frozen=True)
class HelmInstall:
    """One ``helm install`` without CRDs, done when every Deployment of it is whole.

    Settings: ``run`` (the run's id). Nothing of the old version is touched, and no traffic comes yet: a
    balancer gives the new place its share in steps of their own, which are undone before this one is.
    """

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        return "helm install of the new version beside the old one, without traffic"

    def is_done(self, scene: Scene) -> bool:
        """Look whether our installation is there, whole."""
        last = _last(scene)
        return last is not None and last.status is ReleaseStatus.DEPLOYED and not list(_missing(scene))

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Start Helm; one of ours that runs already is taken up."""
        helm = _helm(scene)
        known = helm.started("forward")
        if known is None or not (helm.running(known) or _last(scene)):
            labels = {"upgrader-run": self.plan.settings["run"]}
            known = helm.start_install(pinned_chart(scene.measured), labels=labels)
        return {"forward": body_of(known)}

    def poll(self, scene: Scene) -> Progress:
        """Wait for the process, ask the history, then wait for the pods."""
        helm, process, last = _helm(scene), started_as(scene, "forward"), None
        if process and helm.running(process):
            return Progress(False, "helm is installing")
        last = _last(scene)
        if last is None or last.status is not ReleaseStatus.DEPLOYED:
            said = helm.output(process) if process else ""
            left = f"left revision {last.number} as {last.status}" if last else "left no revision"
            return Progress(False, "", failed=f"helm {left}: {said}".strip())
        missing = "; ".join(_missing(scene))
        if missing:
            return Progress(False, missing, facts={"revision": last.number})
        place = scene.measured["beside"]
        return Progress(True, f"{place['release']} in {place['namespace']} is whole")

    def brake(self, scene: Scene) -> Progress:
        """It gets no traffic, so it may go on."""
        return Progress(True, "the new version has no traffic yet")

    def undo(self, scene: Scene) -> Progress:
        """Stop a Helm that still installs; uninstall; take the namespace away if we made it."""
        helm = _helm(scene)
        forward, back = known_as(scene, helm, "forward"), known_as(scene, helm, "back")
        if forward and helm.running(forward):
            return stop(scene, helm, forward)
        if back and helm.running(back):
            return Progress(False, "helm is uninstalling")
        if _last(scene) is None:
            return _clear(scene)
        if back and started_as(scene, "back"):
            return Progress(False, "", failed=f"helm did not uninstall it: {helm.output(back)}")
        keeps = bool(scene.measured["beside"]["last_revision"])
        return Progress(
            False,
            "helm uninstalls it",
            facts={"back": body_of(helm.start_uninstall(as_="back", keep_history=keeps))},
        )


def _helm(scene: Scene) -> Helm:
    assert scene.ports.beside is not None, "a second installation is planned with a second place"
    return scene.ports.beside


def _last(scene: Scene) -> Revision | None:
    """Return the newest revision this run made in the other place, unless it was uninstalled."""
    history = _helm(scene).history()
    ours = [one for one in history if one.number > scene.measured["beside"]["last_revision"]]
    return ours[-1] if ours and ours[-1].status is not ReleaseStatus.UNINSTALLED else None


def _new(scene: Scene) -> dict[str, Workload]:
    namespace = scene.measured["beside"]["namespace"]
    return {one.ref.name: one for one in scene.fleet.workloads if one.ref.namespace == namespace}


def _missing(scene: Scene) -> Iterator[str]:
    """Say which Deployments are not there or not whole."""
    found = _new(scene)
    for name in scene.measured["beside"]["groups"]:
        one = found.get(name)
        if one is None:
            yield f"{name}: not seen yet"
        elif not is_whole(one):
            yield f"{name}: {one.available} of {one.replicas} pods available"


def _clear(scene: Scene) -> Progress:
    """Wait for the last pods; then delete the namespace, where it was not there before."""
    left = [pod.name for pod in scene.fleet.of_side(Side.NEW)]
    if left:
        return Progress(False, f"{len(left)} pods of the new version are leaving")
    place = scene.measured["beside"]
    namespace = Ref("v1", "Namespace", "", place["namespace"])
    if not place["existed"] and scene.ports.kube.get(namespace) is not None:
        scene.ports.kube.delete(namespace)
        return Progress(False, f"namespace {place['namespace']} is going")
    return Progress(True, "the new version is gone")


def build(plan: StepPlan) -> HelmInstall:
    """Make the step."""
    return HelmInstall(plan)
