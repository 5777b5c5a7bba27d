"""Roll back: undo what was begun, newest first; then verify that the old version is whole again."""

from __future__ import annotations

from upgrader.flow.apply import scene_of
from upgrader.flow.recorder import Recorder
from upgrader.model.fleet import Fleet, Side
from upgrader.model.phase import Event
from upgrader.model.plugins import StepPlan
from upgrader.model.record import Kind

UNDO_SECONDS = 900.0
"""How long the whole way back may take before a human is called; Helm's own timeout lies within."""
VERIFY_SECONDS = 90.0
"""How long the old version may take to be found whole."""
VERIFY_EVERY_SECONDS = 2.0
"""A dry run of every object is dear; it is asked for no oftener than this."""


def roll_back(recorder: Recorder, fleet: Fleet) -> None:
    """Bring the newest step that is not undone nearer to its undoing."""
    left = [step for step in recorder.run.begun() if f"undo {step.id}" not in recorder.run.ended]
    if not left:
        recorder.event(Event.UNDONE, "all that was begun is undone")
    elif recorder.now() - recorder.run.since > UNDO_SECONDS:
        recorder.event(Event.EXPIRED, f"{left[0].id} could not be undone in {UNDO_SECONDS:.0f} s")
    else:
        _undo(recorder, fleet, left[0])


def _undo(recorder: Recorder, fleet: Fleet, plan: StepPlan) -> None:
    recorder.world.lease.renew()
    if f"undo {plan.id}" not in recorder.run.intents:
        recorder.mark(Kind.INTENT, "undo", step=plan.id)
    progress = recorder.world.step(plan).undo(scene_of(recorder, fleet, plan))
    recorder.mark(Kind.DONE, "undo", step=plan.id, ended=progress.done, facts=progress.facts)
    if progress.failed:
        recorder.event(Event.FAILED, progress.failed)


def verify(recorder: Recorder, fleet: Fleet) -> None:
    """Compare the cluster with the known-good revision, and the pods with what they shall run."""
    run, now = recorder.run, recorder.now()
    wrong = _pods_wrong(fleet)
    if not wrong and now - float(run.facts.get("verify", {}).get("asked_at", 0.0)) >= VERIFY_EVERY_SECONDS:
        wrong = recorder.world.differences()
        recorder.mark(Kind.DONE, "verify", step="verify", facts={"asked_at": now, "differs": list(wrong)})
        if not wrong:
            recorder.event(
                Event.FINISHED, "every object equals the known-good revision, every pod is an old one"
            )
            return
    if now - run.since > VERIFY_SECONDS:
        left = wrong or tuple(run.facts.get("verify", {}).get("differs", ()))
        recorder.event(Event.EXPIRED, "the old version is not whole: " + "; ".join(left))


def _pods_wrong(fleet: Fleet) -> tuple[str, ...]:
    """Say which pods and workloads are not as they were."""
    said = [f"{pod.name} runs the new version" for pod in fleet.of_side(Side.NEW) if not pod.terminating]
    said += [
        f"{pod.name} is not Ready" for pod in fleet.of_side(Side.OLD) if not pod.ready and not pod.terminating
    ]
    said += [f"{one.ref.name} is paused" for one in fleet.workloads if one.paused]
    said += [
        f"{one.ref.name} has {one.available} of {one.replicas} available"
        for one in fleet.workloads
        if one.available < one.replicas
    ]
    return tuple(said)
