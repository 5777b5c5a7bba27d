"""The recorded run that ships: real, whole, and judged by the rule of this version."""

from __future__ import annotations

from upgrader import runs
from upgrader.model.phase import Phase
from upgrader.report.explain import explain_text
from upgrader.report.replay import replay_lines
from upgrader.testing.fakes import FakeClock


def test_the_recorded_run_replays_to_its_end() -> None:
    """A version that fails one request in five is braked and brought back."""
    run = replay_lines(runs.recorded(), lambda run, record: None, speed=float("inf"), clock=FakeClock())

    assert run.phase is Phase.ROLLED_BACK
    assert run.totals["envoy_stats"].new_failures == 333


def test_every_verdict_of_the_recorded_run_is_derived_again() -> None:
    """Where the rule changes, its version changes, and a run is recorded anew."""
    said, equal = explain_text(runs.recorded())

    assert equal, said
