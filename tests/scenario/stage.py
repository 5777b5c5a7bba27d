"""A scenario: scripted steps and signals under the real engine, crashed and taken up at will."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from upgrader.engine import Engine
from upgrader.flow.recorder import Recorder
from upgrader.model.evidence import Counts
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Finding, Gate, StepPlan
from upgrader.model.policy import Policy, SignalPolicy, weighed
from upgrader.model.ports import Ports
from upgrader.model.record import RULE, SCHEMA, Record
from upgrader.model.run import Run
from upgrader.model.world import World
from upgrader.testing.fakes import (
    Cluster,
    Crash,
    FakeClock,
    FakeJournal,
    FakeLease,
    Script,
    ScriptedSignal,
    ScriptedStep,
)

STEPS = (
    StepPlan("freeze", "scripted", Gate.NONE, {}, 30.0),
    StepPlan("helm", "scripted", Gate.NONE, {}, 60.0),
    StepPlan("roll control", "scripted", Gate.SETTLE, {}, 60.0),
    StepPlan("roll proxies 1/2", "scripted", Gate.STAND, {}, 60.0, 0.1),
    StepPlan("roll proxies 2/2", "scripted", Gate.BAKE, {}, 60.0, 0.9),
    StepPlan("thaw", "scripted", Gate.SETTLE, {}, 60.0, 1.0),
)


def good(seconds: float) -> Counts:
    """Return a healthy second at 1,000 requests/s, 10 % of them on new pods."""
    return Counts(100, 0, 900, 0, 1.0)


@dataclass
class Stage:
    """What a scenario is made of; the cluster, the clock and the journal outlive a crash."""

    scripts: dict[str, Script] = field(default_factory=lambda: {"envoy_stats": good})
    fails: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    differs: tuple[str, ...] = ()
    journal: FakeJournal = field(default_factory=FakeJournal)
    clock: FakeClock = field(default_factory=FakeClock)
    cluster: Cluster = field(default_factory=Cluster)
    lease: FakeLease = field(default_factory=FakeLease)
    interrupt_at: float = float("inf")
    seen: list[str] = field(default_factory=list)

    def world(self) -> World:
        """Wire the engine's world, as a new process would."""
        nowhere = cast(Any, None)
        return World(
            ports=Ports(self.clock, nowhere, nowhere, nowhere, nowhere, nowhere),
            journal=self.journal,
            lease=self.lease,
            signals=tuple(ScriptedSignal(name, self.clock, script) for name, script in self.scripts.items()),
            fleet=lambda: Fleet((), ()),
            step=lambda plan: ScriptedStep(plan, self.cluster, fails=self.fails.get(plan.id, "")),
            preflight=lambda: self.findings,
            differences=lambda tier: self.differs,
            tell=self._see,
            interrupted=lambda: "Ctrl-C" if self.clock.time - 1_000_000.0 >= self.interrupt_at else "",
        )

    def header(self) -> dict[str, Any]:
        """Return a header as a run writes it."""
        signals = {name: SignalPolicy(1.0, weight=1.0, compares_pods=True) for name in self.scripts}
        policy = Policy(0.001, 0.001, 0.2, 0.05, 0.001, 4.0, 5.0, 60.0, 300.0, weighed(signals))
        steps = [{**_fields(step), "gate": step.gate.value} for step in STEPS]
        return {"schema": SCHEMA, "rule": RULE, "policy": policy.to_body(), "steps": steps, "measured": {}}

    def run(self) -> Run:
        """Run to the end, taking the run up again after every crash."""
        recorder = None
        for _ in range(5):
            try:
                if self.journal.lines:
                    recorder = Recorder.reopen(self.world())
                else:
                    recorder = Recorder.open(self.world(), self.header())
                return Engine(recorder).drive()
            except Crash:
                self.clock.sleep(3.0)
        raise AssertionError("the run crashed more often than it was told to")

    def _see(self, run: Run, record: Record) -> None:
        assert self.clock.time < 1_000_000.0 + 3600, f"no end in sight: {run.phase} {run.reason}"
        if not self.seen or self.seen[-1] != run.phase.value:
            self.seen.append(run.phase.value)


def _fields(step: StepPlan) -> dict[str, Any]:
    return {name: getattr(step, name) for name in StepPlan.__slots__}
