"""Take the old version away after the bake; Helm keeps its records, so that the undo brings it back whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.fleet import Side, Workload
from upgrader.model.plugins import Progress, Scene, StepPlan
from upgrader.model.ports import ReleaseStatus, Revision
from upgrader.steps.deployments import is_whole, set_spec
from upgrader.steps.helm_process import body_of, known_as, started_as
from upgrader.steps.shift_traffic import is_set

_GOING = (ReleaseStatus.UNINSTALLED, ReleaseStatus.UNINSTALLING)


@dataclass(frozen=True)
class Retire:
    """One ``helm uninstall --keep-history`` of the old version; CRDs stay, and what no manifest of it holds.

    It is not begun unless the balancer says, asked once more, that the new version has all the traffic. Its
    way back is of its own: ``helm rollback`` of the uninstalled release to the known-good revision, as many
    pods as before the run, whole, and only then the traffic.
    """

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        return "helm uninstall of the old version, which has had no traffic for the whole bake; records stay"

    def is_done(self, scene: Scene) -> bool:
        """Look whether it is gone."""
        return _last(scene).status is ReleaseStatus.UNINSTALLED and not scene.fleet.of_side(Side.OLD)

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Nothing to begin: `poll` looks at the traffic once more first."""
        return {}

    def poll(self, scene: Scene) -> Progress:
        """Uninstall once, and wait until the last old pod is gone."""
        helm, process, last = scene.ports.helm, started_as(scene, "forward"), _last(scene)
        if process and helm.running(process):
            return Progress(False, "helm is uninstalling")
        if last.status is ReleaseStatus.UNINSTALLED:
            left = len(scene.fleet.of_side(Side.OLD))
            return Progress(not left, f"{left} old pods are leaving" if left else "the old version is gone")
        if process:
            return Progress(
                False, "", failed=f"helm left revision {last.number} as {last.status}: {helm.output(process)}"
            )
        if not is_set(scene, 1.0):
            said = "the balancer does not say that the new version has all the traffic"
            return Progress(False, said, facts={"waits_for": said})
        known = helm.started("forward")
        if known is None or not helm.running(known):
            known = helm.start_uninstall(as_="forward", keep_history=True)
        facts = {"forward": body_of(known), "waits_for": "the old version is not gone yet"}
        return Progress(False, "helm uninstalls the old version", facts=facts)

    def brake(self, scene: Scene) -> Progress:
        """What is left of the old version has no traffic, so Helm may end."""
        return Progress(True, "the old version has no traffic")

    def undo(self, scene: Scene) -> Progress:
        """Bring the old version back whole, where it is gone or going; no traffic moves before that."""
        helm = scene.ports.helm
        forward, back = known_as(scene, helm, "forward"), known_as(scene, helm, "back")
        if any(one and helm.running(one) for one in (forward, back)):
            return Progress(False, "waiting for helm to end")
        last = _last(scene)
        if last.status in _GOING:
            if back and started_as(scene, "back"):
                return Progress(False, "", failed=f"helm did not bring it back: {helm.output(back)}")
            known = helm.start_rollback(scene.measured["known_good"], as_="back")
            return Progress(False, "helm brings the old version back", facts={"back": body_of(known)})
        if back and (small := _smaller(scene)):
            return _grow(scene, small)
        missing = [name for name in _names(scene) if not _is_whole(scene, name)]
        said = f"waiting for {', '.join(missing)}" if missing else "the old version is whole"
        return Progress(not missing, said)


def _last(scene: Scene) -> Revision:
    return scene.ports.helm.history()[-1]


def _names(scene: Scene) -> list[str]:
    return [row["name"] for row in scene.measured["workloads"]]


def _found(scene: Scene, name: str) -> Workload | None:
    place = (scene.measured["namespace"], name)
    return next((one for one in scene.fleet.workloads if (one.ref.namespace, one.ref.name) == place), None)


def _is_whole(scene: Scene, name: str) -> bool:
    found = _found(scene, name)
    return found is not None and is_whole(found)


def _smaller(scene: Scene) -> dict[str, tuple[Workload, int]]:
    """Return what came back with fewer pods than it had before the run, and that number, by name.

    Helm makes it anew with the number the chart renders; somebody, or an autoscaler, may have set a higher
    one. It is given back once: whoever lowers it again then means it.
    """
    before = {row["name"]: int(row["replicas"]) for row in scene.measured["workloads"]}
    left = {name: _found(scene, name) for name in before if name not in scene.facts.get("grown", ())}
    return {name: (one, before[name]) for name, one in left.items() if one and one.replicas < before[name]}


def _grow(scene: Scene, small: Mapping[str, tuple[Workload, int]]) -> Progress:
    for one, replicas in small.values():
        set_spec(scene, one, {"replicas": replicas})
    said = ", ".join(f"{name} from {one.replicas} to {wanted}" for name, (one, wanted) in small.items())
    return Progress(False, f"scaled {said}", facts={"grown": [*scene.facts.get("grown", ()), *small]})


def build(plan: StepPlan) -> Retire:
    """Make the step."""
    return Retire(plan)
