"""Roll back: undo what was begun, newest first."""

from __future__ import annotations

from upgrader.flow.apply import scene_of
from upgrader.flow.recorder import Recorder
from upgrader.model.fleet import Fleet
from upgrader.model.phase import Event
from upgrader.model.plugins import StepPlan
from upgrader.model.record import Kind
from upgrader.model.run import Run

UNDO_SECONDS = 900.0
"""How long the way back of one tier may take before a human is called; Helm's own timeout lies within."""


def undo_seconds(run: Run) -> float:
    """Return how long the whole way back may take: of each tier begun, and what others' APIs may on top.

    That is the deadline of the slowest step begun that waits for one.
    """
    others = max((step.deadline_seconds for step in run.begun() if step.patient), default=0.0)
    return UNDO_SECONDS * len(run.touched()) + others


def roll_back(recorder: Recorder, fleet: Fleet) -> None:
    """Bring the newest step that is not undone nearer to its undoing."""
    left = [step for step in recorder.run.begun() if f"undo {step.id}" not in recorder.run.ended]
    if not left:
        recorder.event(Event.UNDONE, "all that was begun is undone")
    elif (late := recorder.now() - recorder.run.since) > undo_seconds(recorder.run):
        recorder.event(Event.EXPIRED, f"{left[0].id} could not be undone in {late:.0f} s")
    else:
        _undo(recorder, fleet, left[0])


def _undo(recorder: Recorder, fleet: Fleet, plan: StepPlan) -> None:
    recorder.world.lease.renew()
    scene = scene_of(recorder, fleet, plan)  # before the intent: what it says was begun by an earlier call
    if f"undo {plan.id}" not in recorder.run.intents:
        recorder.mark(Kind.INTENT, "undo", step=plan.id, facts={"undo_at": recorder.now()})
    progress = recorder.world.step(plan).undo(scene)
    recorder.mark(Kind.DONE, "undo", step=plan.id, ended=progress.done, facts=progress.facts)
    if progress.failed:
        recorder.event(Event.FAILED, progress.failed)
