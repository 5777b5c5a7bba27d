"""What an operator reads: one sentence a change, with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.report.journals import after, bad, blind, chapters, opened, record, told
from tests.scenario.stage import Stage
from upgrader.model.phase import TRANSITIONS, Event, Phase
from upgrader.model.plugins import Finding, Severity
from upgrader.model.record import Kind
from upgrader.report.sentences import sentence


def said_of(stage: Stage) -> list[str]:
    return [said for run, each in chapters(stage.journal.lines) if (said := sentence(run, each))]


GOOD = [
    "Run gateway-20261103-031502-ab12 takes edge/gateway in prod-eu gateway-1.11.28 → gateway-1.11.30 in 6",
    "Planned → preflight: checking once more that the cluster and the release are fit, nothing is touched",
    "Preflight → applying: 0 findings, none blocks.",
    "All signals pass, odds 0.",
    "Step 1/6 freeze begins: scripted freeze.",
    "Applying → observing: step 1/6 freeze is done after 0.6 s (done), no gate follows.",
    "Step 2/6 helm begins: scripted helm.",
    "Applying → observing: step 2/6 helm is done after 0.6 s (done), no gate follows.",
    "Step 3/6 roll control begins: scripted roll control.",
    "Applying → observing: step 3/6 roll control is done after 0.6 s (done), the gate takes at least 4 s.",
    "The gate waits (too little): envoy_stats: 0 of 4 s of good looks; the gate has stood 0 of 4 s.",
    "Observing → applying: step 3/6 roll control: gate passed after 4 s, odds 0.",
]
"""How the sentences of a good run begin; odds that depend on the beat of the engine are cut off."""


def test_a_good_run_is_told_from_its_begin_to_its_proof() -> None:
    """Each change is said once: no verdict that an event repeats, no gate that is none."""
    said = said_of(told())

    assert [text[: len(start)] for text, start in zip(said, GOOD, strict=False)] == GOOD
    assert said[-1].startswith("Observing → completed: the new version is proven good after ")
    assert "; 0 of 6,000 requests failed on new pods, 0 of 54,000 on old ones; gate passed" in said[-1]


def test_a_bad_run_says_why_it_braked_went_back_and_how_many_failed() -> None:
    """The numbers that woke the operator are in the sentence that did."""
    stage = told(bad)
    said = "\n".join(said_of(stage))
    total = after(stage, lambda run: run.phase is Phase.ROLLED_BACK).totals["envoy_stats"]

    assert "Observing → holding: brake on, nothing more is replaced and nothing goes back; odds of " in said
    assert "Holding → rolling back: bringing the old version back; odds of " in said
    assert said.index("Undoing step 4/6") < said.index("Step 4/6 roll proxies 1/2 is undone.")
    assert "Verifying → rolled back: the old version is back after 14 s; " in said
    assert (
        f"; {total.new_failures:.0f} of {total.new_requests:,.0f} requests failed on new pods, 0 of" in said
    )


def test_a_blind_run_says_since_when_and_how_it_goes_on() -> None:
    """Paused at 03:00: what stands, and the one command that follows."""
    said = said_of(told(blind))

    assert said[-1].startswith(
        "Holding → paused: the brake stays on, old and new pods serve side by side, `upgrader resume` goes"
    )
    assert said[-1].endswith("s: connection refused.")


def test_a_refused_run_says_that_nothing_was_touched() -> None:
    """A refusal names its rule and what was seen."""
    said = said_of(told(findings=(Finding("replicas", Severity.BLOCK, "gateway has one replica"),)))

    assert said[-1] == "Preflight → refused: nothing was touched; replicas: gateway has one replica."


MARKS: dict[str, tuple[Kind, Mapping[str, Any], Phase, str]] = {
    "a step that was started": (Kind.DONE, {"act": "started", "ended": True}, Phase.APPLYING, ""),
    "a look at a step": (Kind.DONE, {"act": "start", "facts": {"polls": 1}}, Phase.APPLYING, ""),
    "an undo under way": (Kind.DONE, {"act": "undo", "facts": {"back": {}}}, Phase.ROLLING_BACK, ""),
    "a dry run that differs in nothing": (
        Kind.DONE,
        {"act": "verify", "facts": {"asked_at": 1.0, "differs": []}},
        Phase.VERIFYING,
        "",
    ),
    "a dry run that still differs as before": (
        Kind.DONE,
        {"act": "verify", "facts": {"asked_at": 1.0}},
        Phase.VERIFYING,
        "",
    ),
    "a reading": (Kind.READING, {"signal": "envoy_stats"}, Phase.APPLYING, ""),
    "a verdict that an event repeats": (
        Kind.VERDICT,
        {"verdict": "breach", "event": "breached", "reasons": ["odds"]},
        Phase.OBSERVING,
        "",
    ),
    "a cluster that does not answer": (
        Kind.DONE,
        {"act": "wait", "facts": {"waits_for": "the API server did not answer in 5 s"}},
        Phase.APPLYING,
        "Nothing can be done at the moment, trying again: the API server did not answer in 5 s.",
    ),
    "what a signal saw": (
        Kind.DONE,
        {"act": "see", "facts": {"scaled-to-30": "gateway was scaled from 20 to 30 in mid-run"}},
        Phase.APPLYING,
        "Seen: gateway was scaled from 20 to 30 in mid-run.",
    ),
    "differences from the known-good revision": (
        Kind.DONE,
        {"act": "verify", "facts": {"differs": ["a", "b", "c", "d\nd", "e"]}},
        Phase.VERIFYING,
        "The old version is not whole yet: a; b; c; and 2 more.",
    ),
    "a step that is undone": (
        Kind.DONE,
        {"act": "undo", "ended": True},
        Phase.ROLLING_BACK,
        "Step 2/6 helm is undone.",
    ),
    "a doubt while a step is done": (
        Kind.VERDICT,
        {"verdict": "partial", "event": "", "reasons": ["envoy_stats could not read 20% of the pods"]},
        Phase.APPLYING,
        "Not clear yet (partial): envoy_stats could not read 20% of the pods.",
    ),
    "a doubt while the brake is on": (
        Kind.VERDICT,
        {"verdict": "stale", "event": "", "reasons": ["no news for 9 s"]},
        Phase.HOLDING,
        "Still held (stale): no news for 9 s.",
    ),
}


@pytest.mark.parametrize(("kind", "body", "phase", "expected"), MARKS.values(), ids=MARKS)
def test_a_mark_is_said_only_when_it_is_news(
    kind: Kind, body: Mapping[str, Any], phase: Phase, expected: str
) -> None:
    """What a crash must find again need not wake anyone."""
    run = replace(opened(), phase=phase)

    assert sentence(run, record(run, kind, body, phase=phase, step="helm")) == expected


@pytest.mark.parametrize(("phase", "event"), TRANSITIONS, ids=lambda one: str(one.value))
def test_every_row_of_the_phase_table_has_a_sentence(phase: Phase, event: Event) -> None:
    """Old phase, new phase and the reason are in it; a row without one would be a silent change."""
    before = replace(opened(), phase=phase, index=2)
    written = record(
        before,
        Kind.EVENT,
        {"event": event.value, "reason": "because of\nthis."},
        phase=phase,
        step="roll control",
    )
    run = before.with_record(written)

    said = sentence(run, written)

    names = [name.replace("_", " ") for name in (phase.value, run.phase.value)]
    assert said.lower().startswith(f"{names[0]} → {names[1]}: ")
    assert event is Event.STARTED or "because of this" in said
    assert said.endswith(".")
    assert not said.endswith("..")
    assert "\n" not in said


def test_a_step_without_a_gate_passes_it_in_silence() -> None:
    """The next step says that it begins; two sentences for one change would be one too many."""
    before = replace(opened(), phase=Phase.OBSERVING, index=0)
    written = record(
        before, Kind.EVENT, {"event": "advanced", "reason": "gate passed"}, phase=Phase.OBSERVING
    )

    assert sentence(before.with_record(written), written) == ""
