"""Preflight: with the Lease in hand, look once more whether the cluster and the release are fit."""

from __future__ import annotations

from dataclasses import asdict

from upgrader.flow.recorder import Recorder
from upgrader.model.phase import Event
from upgrader.model.plugins import Severity


def preflight(recorder: Recorder) -> None:
    """Run all checks; a blocking finding that is not waived refuses the run."""
    findings = recorder.world.preflight()
    blocking = [one for one in findings if one.severity is Severity.BLOCK and not one.waived]
    said = [asdict(one) for one in findings]
    if blocking:
        reason = "; ".join(f"{one.rule}: {one.seen}" for one in blocking)
        recorder.event(Event.REFUSED, reason, findings=said)
    else:
        recorder.event(Event.CLEARED, f"{len(findings)} findings, none blocks", findings=said)
