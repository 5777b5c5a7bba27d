"""Apply the definitions of the chart's ``crds/``, which an installation beside the old one skips.

They are shared by both installations and stay on the way back: a definition that serves the new version
serves the old one too (checks refuse where it would not), and none is ever deleted, for every object of its
kind would go with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.model.definitions import definition_ref, name_of, served
from upgrader.model.denials import conflicting_fields, conflicting_managers
from upgrader.model.measure import pinned_chart
from upgrader.model.plugins import Progress, Scene, StepPlan
from upgrader.model.ports import Denied, Manifest

MANAGER = "upgrader"
MAY_FORCE = frozenset(
    {"helm", "kubectl", "kubectl-client-side-apply", "kubectl-create", "kubectl-replace", MANAGER}
)
"""Managers whose fields are taken: all that write a chart's definitions whole, as its own instructions say.
Not ``kubectl-edit`` and ``kubectl-patch``, by which somebody meant one field, and no controller."""
BACKUP = "crds-before.yaml"
ACT_SECONDS = 0.5
"""How long one poll goes on to the next definition: no call may block over a second."""


@dataclass(frozen=True)
class Crds:
    """Definitions, written one after the other until each is established.

    Settings: ``names`` (see `upgrader.model.definitions.to_apply`). Before the first write
    the live ones are kept in the run's folder. A crash between two writes does no harm: an apply can be
    repeated.
    """

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        names = self.plan.settings["names"]
        return f"apply {len(names)} CRDs of the chart, server-side: {', '.join(names)}"

    def is_done(self, scene: Scene) -> bool:
        """Look whether each is established and as the chart has it: a dry run shows no difference."""
        wanted = self._wanted(scene)
        return not self._missing(wanted) and all(_stands(scene, one) for one in wanted.values())

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Keep the live ones in a file; one that is there is from before the first write, and stays."""
        found = (scene.ports.kube.get(definition_ref(name)) for name in self.plan.settings["names"])
        live = [_restorable(one) for one in found if one]
        return {"kept": scene.ports.keep(BACKUP, live) if live else ""}

    def poll(self, scene: Scene) -> Progress:
        """Write what is not written yet, as far as half a second goes, and wait until all are established."""
        wanted = self._wanted(scene)
        missing = self._missing(wanted)
        if missing:
            return Progress(False, "", failed=f"the chart's crds/ has no {', '.join(missing)}")
        written = dict.fromkeys(scene.facts.get("written", ()))
        until = scene.ports.clock.monotonic() + ACT_SECONDS
        for name in [one for one in wanted if one not in written]:
            refusal = "" if _stands(scene, wanted[name]) else _write(scene, wanted[name])
            if refusal:
                return Progress(False, "", failed=refusal, facts={"written": list(written)})
            written[name] = None
            if scene.ports.clock.monotonic() >= until:
                break
        return _progress(wanted, list(written), dict(_waiting(scene, wanted, written)))

    def brake(self, scene: Scene) -> Progress:
        """No pod is replaced by it."""
        return Progress(True, "nothing is being replaced")

    def undo(self, scene: Scene) -> Progress:
        """Leave them: the old version works with the new definitions, and objects may need them by now."""
        kept = scene.facts.get("kept", "")
        return Progress(
            True,
            "the CRDs stay: they serve the old version too" + (f"; as they were: {kept}" if kept else ""),
        )

    def _wanted(self, scene: Scene) -> dict[str, Manifest]:
        helm = scene.ports.beside or scene.ports.helm
        found = {name_of(one): one for one in helm.crds(pinned_chart(scene.measured))}
        return {name: found[name] for name in self.plan.settings["names"] if name in found}

    def _missing(self, wanted: Mapping[str, Manifest]) -> list[str]:
        return [name for name in self.plan.settings["names"] if name not in wanted]


def _progress(wanted: Mapping[str, Manifest], written: list[str], waiting: Mapping[str, str]) -> Progress:
    left = [*(f"{name}: not written yet" for name in wanted if name not in written), *waiting.values()]
    said = f"{len(wanted) - len(left)} of {len(wanted)} CRDs are established"
    return Progress(not left, f"{said}; {left[0]}" if left else said, facts={"written": written})


def _waiting(
    scene: Scene, wanted: Mapping[str, Manifest], written: Mapping[str, None]
) -> Iterator[tuple[str, str]]:
    for name in written:
        live = scene.ports.kube.get(definition_ref(name))
        why = _unready(live, wanted[name])
        if why:
            yield name, f"{name}: {why}"


def _unready(live: Manifest | None, new: Manifest) -> str:
    """Say why a definition cannot be used yet, or return the empty text."""
    if live is None:
        return "it is gone"
    conditions = {one["type"]: one for one in (live.get("status") or {}).get("conditions") or ()}
    for kind in ("NamesAccepted", "Established"):
        found = conditions.get(kind, {})
        if found.get("status") != "True":
            return f"not {kind} yet {found.get('message', '')}".strip()
    late = sorted(served(new) - served(live))
    return f"{', '.join(late)} not served" if late else ""


def _stands(scene: Scene, new: Manifest) -> bool:
    """Tell whether the live definition is established and an apply would change nothing."""
    live = scene.ports.kube.get(definition_ref(name_of(new)))
    if live is None or _unready(live, new):
        return False
    answer = scene.ports.kube.apply(new, manager=MANAGER, dry_run=True)
    return not isinstance(answer, Denied) and _said(answer) == _said(live)


def _said(definition: Manifest) -> tuple[Any, ...]:
    metadata = definition["metadata"]
    return definition["spec"], metadata.get("labels") or {}, metadata.get("annotations") or {}


def _write(scene: Scene, new: Manifest) -> str:
    """Apply one definition; by force only over those who write it whole. Return why it was not taken."""
    answer = scene.ports.kube.apply(new, manager=MANAGER)
    if isinstance(answer, Denied) and (owners := conflicting_managers(answer)):
        strangers = [owner for owner in owners if owner not in MAY_FORCE]
        if strangers:
            fields = ", ".join(conflicting_fields(answer))
            return f"{answer.ref}: {', '.join(strangers)} owns {fields}; it is not taken by force"
        answer = scene.ports.kube.apply(new, manager=MANAGER, force=True)
    return f"{answer.ref}: {answer.message}" if isinstance(answer, Denied) else ""


def _restorable(live: Manifest) -> Manifest:
    """Return a live object as it can be applied again, without what the API server writes itself."""
    own = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation")
    kept = {key: value for key, value in live["metadata"].items() if key not in own}
    return {key: value for key, value in live.items() if key != "status"} | {"metadata": kept}


def build(plan: StepPlan) -> Crds:
    """Make the step."""
    return Crds(plan)
