"""The loop: look, decide, act, write down; again, until the run is over or paused."""

from __future__ import annotations

from collections.abc import Callable

from upgrader.errors import Transient
from upgrader.flow.apply import apply, brake
from upgrader.flow.decide import Decision, decide
from upgrader.flow.observe import Rounds, observe
from upgrader.flow.preflight import preflight
from upgrader.flow.recorder import Recorder
from upgrader.flow.roll_back import roll_back
from upgrader.flow.verify import verify
from upgrader.model.fleet import Fleet
from upgrader.model.phase import TRANSITIONS, Event, Phase
from upgrader.model.record import Kind
from upgrader.model.run import Run

QUICK_SECONDS, CALM_SECONDS = 0.2, 0.5
"""Pause between two rounds: quick where pods are being replaced, for a batch is exact only if it is ended
before its first pods are available."""
STILL = frozenset({Phase.PLANNED, Phase.PREFLIGHT})
"""Phases in which nothing has been touched yet, and nothing is watched."""


class Engine:
    """Drives one run to its end."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._world = recorder.world
        self._rounds = Rounds()
        self._acts: dict[Phase, Callable[[Fleet], None]] = {
            Phase.APPLYING: self._apply,
            Phase.OBSERVING: self._observe,
            Phase.HOLDING: self._hold,
            Phase.ROLLING_BACK: lambda fleet: roll_back(recorder, fleet),
            Phase.VERIFYING: lambda fleet: verify(recorder, fleet),
        }

    @property
    def run(self) -> Run:
        """Return the run as it stands."""
        return self._recorder.run

    def drive(self) -> Run:
        """Go on until the run is over or paused, and return it.

        Raises:
            Locked: The Lease is another's; nothing more was written.
            JournalDamaged: The journal cannot be trusted.
        """
        if self.run.phase is Phase.PAUSED:
            self._recorder.event(Event.RESUMED, "resumed by the operator")
        while not self.run.is_over and self.run.phase is not Phase.PAUSED:
            self._round()
        if self.run.is_over:
            self._world.lease.release()
        return self.run

    def _round(self) -> None:
        """Do one round; what the cluster does not answer now is asked again in the next."""
        try:
            self._world.lease.renew()
            self._step()
        except Transient as error:
            self._recorder.mark(Kind.DONE, "wait", step=self.run.step.id, facts={"waits_for": error.what})
        quick = self.run.phase in (Phase.APPLYING, Phase.HOLDING, Phase.ROLLING_BACK)
        self._world.ports.clock.sleep(QUICK_SECONDS if quick else CALM_SECONDS)

    def _step(self) -> None:
        if self._asked_to_end():
            return
        if self.run.phase is Phase.PLANNED:
            self._recorder.event(Event.STARTED)
        elif self.run.phase is Phase.PREFLIGHT:
            preflight(self._recorder)
        else:
            self._acts[self.run.phase](observe(self._recorder, self._rounds))

    def _asked_to_end(self) -> bool:
        """Take up what an operator asked for: an abort goes back, an interrupt brakes and pauses."""
        aborted = self._world.lease.abort_requested()
        stopped = self._world.interrupted()
        if aborted and (self.run.phase, Event.ABORTED) in TRANSITIONS:
            self._recorder.event(Event.ABORTED, aborted)
            return True
        if stopped and self.run.phase in STILL:
            self._recorder.event(Event.ABORTED, stopped)
            return True
        if stopped and (self.run.phase, Event.HELD) in TRANSITIONS:
            self._recorder.event(Event.HELD, stopped)
        return False

    def _decide(self) -> Decision:
        """Judge what was read; write the verdict where it is a new one."""
        now = self._recorder.now()
        decision = decide(self.run, now)
        event = decision.event.value if decision.event else ""
        if event or decision.verdict.value != self.run.verdict.get("verdict"):
            said = {"verdict": decision.verdict.value, "event": event, "reasons": list(decision.reasons)}
            body = {**said, "evidence": round(self.run.evidence, 4)}
            self._recorder.write(Kind.VERDICT, body, step=self.run.step.id, at=now)
        if decision.event:
            self._recorder.event(decision.event, decision.reason)
        return decision

    def _apply(self, fleet: Fleet) -> None:
        event = self._decide().event
        if event is None:
            apply(self._recorder, fleet)
        elif event is Event.HELD:  # at once: what is under way would go on past its batch
            brake(self._recorder, fleet)

    def _observe(self, fleet: Fleet) -> None:
        self._decide()

    def _hold(self, fleet: Fleet) -> None:
        """Brake until it holds; then wait, or end if the operator wants this process to end."""
        braked = brake(self._recorder, fleet)
        stopped = self._world.interrupted()
        if stopped and braked:
            self._recorder.event(Event.EXPIRED, stopped)
        elif not stopped:
            self._decide()
