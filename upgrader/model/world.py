"""Everything a run is driven with: the ports, and what was made from the playbook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Finding, Signal, Step, StepPlan
from upgrader.model.ports import Journal, Lease, Ports
from upgrader.model.record import Record
from upgrader.model.run import Run


@dataclass(frozen=True)
class World:
    """The world of one run.

    Args:
        ports: The outside.
        journal: Where the run is written down.
        lease: What keeps others out.
        signals: All signals and balancers.
        fleet: Gives the gateway at this moment.
        step: Makes the step of a plan.
        preflight: Runs the checks; called once the Lease is ours.
        differences: Says in sentences what of a tier, from 0, is not as its known-good revision has it.
        tell: Is told of each record and the run after it; renders the live view.
        interrupted: Why the operator wants this process to end, or the empty text.
    """

    ports: Ports
    journal: Journal
    lease: Lease
    signals: tuple[Signal, ...]
    fleet: Callable[[], Fleet]
    step: Callable[[StepPlan], Step]
    preflight: Callable[[], tuple[Finding, ...]]
    differences: Callable[[int], tuple[str, ...]]
    tell: Callable[[Run, Record], None]
    interrupted: Callable[[], str]
