"""Apply: do the step at hand; write the intent, then act; ask `is_done` before acting."""

from __future__ import annotations

from upgrader.errors import Transient
from upgrader.flow.recorder import Recorder
from upgrader.model.fleet import Fleet
from upgrader.model.measure import tiers_of
from upgrader.model.phase import Event
from upgrader.model.plugins import Scene, Step, StepPlan
from upgrader.model.record import Kind


def scene_of(recorder: Recorder, fleet: Fleet, step: StepPlan) -> Scene:
    """Return what a step acts in, of its own tier alone, with what its own records said so far."""
    run, ports = recorder.run, recorder.world.ports.of_tier(step.tier)
    measured = tiers_of(run.measured)[step.tier]
    return Scene(ports, fleet.of_tier(step.tier), measured, run.facts.get(step.id, {}), run.latest)


def apply(recorder: Recorder, fleet: Fleet) -> None:
    """Bring the current step nearer to its end, and say so when it is there or can never be."""
    plan = recorder.run.step
    step = recorder.world.step(plan)
    if f"started {plan.id}" not in recorder.run.ended:
        _begin(recorder, step, fleet)
        return
    progress = step.poll(scene_of(recorder, fleet, plan))
    recorder.mark(Kind.DONE, "start", step=plan.id, facts=progress.facts)
    if progress.failed:
        recorder.event(Event.FAILED, progress.failed)
    elif progress.done:
        recorder.mark(Kind.DONE, "start", step=plan.id, ended=True)
        recorder.event(Event.APPLIED, progress.detail)
    elif (late := _late(recorder, plan)) > 0:
        why = f"{plan.id} is not done after {late:.0f} s: {progress.detail}"
        recorder.event(Event.FAILED, why)


def _begin(recorder: Recorder, step: Step, fleet: Fleet) -> None:
    """Start a step once; also after a crash between the intent and its act."""
    plan = step.plan
    recorder.world.lease.renew()
    if f"start {plan.id}" not in recorder.run.intents:
        facts = {"begun_at": recorder.now()}
        recorder.mark(Kind.INTENT, "start", step=plan.id, says=step.describe(), facts=facts)
    scene = scene_of(recorder, fleet, plan)
    facts = {} if step.is_done(scene) else dict(step.start(scene))
    recorder.mark(Kind.DONE, "started", step=plan.id, ended=True, facts=facts)


def _late(recorder: Recorder, plan: StepPlan) -> float:
    """Return how long a step that is over its deadline has taken, or 0; holds do not count.

    One that waits for somebody else's API never fails by being late: `decide` holds it.
    """
    if plan.patient:
        return 0.0
    begun = float(recorder.run.facts.get(plan.id, {}).get("begun_at", 0.0))
    taken = recorder.now() - max(begun, recorder.run.since)
    return taken if taken > plan.deadline_seconds else 0.0


def brake(recorder: Recorder, fleet: Fleet) -> bool:
    """Have nothing more replaced, and tell whether that holds; called again until it does."""
    plan = recorder.run.step
    if f"start {plan.id}" not in recorder.run.intents:
        return True
    try:
        progress = recorder.world.step(plan).brake(scene_of(recorder, fleet, plan))
    except Transient:
        return False
    recorder.mark(Kind.DONE, "brake", step=plan.id, facts=progress.facts)
    return progress.done
