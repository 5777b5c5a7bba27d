"""Where a run stands, for someone who just came: phase, reason, numbers, and the way back. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from upgrader.model.phase import EXIT_CODES, TERMINAL, Phase
from upgrader.model.policy import BRAKE_EVIDENCE
from upgrader.model.run import Run
from upgrader.report.standing import Split, Wait, facts, is_gating, needs, silence, splits, waits_for
from upgrader.report.wording import (
    count,
    odds,
    one_line,
    release_name,
    route,
    run_id,
    seconds,
    spoken,
    step_place,
    timestamp,
)

_LABEL = 10


def status_text(run: Run, *, undo: Sequence[str] = (), lease: str = "") -> str:
    """Return it as lines for a terminal.

    Args:
        run: The run as its journal tells it.
        undo: The commands that bring the old version back from here without the tool.
        lease: Who holds the release's Lease, or why that is not known; empty when it was not asked.
    """
    context = run.measured.get("context")
    head = f"{run_id(run)}  {release_name(run)}  {route(run)}" + (f"  in {context}" if context else "")
    rows: list[tuple[str, Sequence[str]]] = [
        ("phase", [_phase(run)]),
        ("step", [] if run.phase in TERMINAL else [_step(run)]),
        ("why", [one_line(run.reason)] if run.reason else []),
        ("waits for", [_wait(wait) for wait in _waits(run)]),
        ("pods", [_split(split) for split in splits(run)]),
        ("requests", [_requests(run, name) for name in run.totals]),
        ("evidence", [_evidence(run)] if run.meters else []),
        ("noted", [one_line(fact.text) for fact in facts(run)]),
        ("lease", [one_line(lease)] if lease else []),
        ("next", [_next(run)]),
        ("undo", list(undo)),
    ]
    return "\n".join([head, *(line for name, texts in rows for line in _row(name, texts))])


def _row(name: str, texts: Sequence[str]) -> Iterator[str]:
    """Yield lines with one name at the left of the first."""
    for number, text in enumerate(texts):
        yield f"  {'' if number else name:<{_LABEL}}{text}"


def _phase(run: Run) -> str:
    code = EXIT_CODES.get(run.phase)
    end = "" if code is None else f" (exit {code.value})"
    came = f", came from {spoken(run.came_from)}" if run.phase in (Phase.HOLDING, Phase.PAUSED) else ""
    late = f"; the last record is of {timestamp(run.at)}" if run.phase not in TERMINAL else ""
    return f"{spoken(run.phase)}{end} since {timestamp(run.since)}{came}{late}"


def _step(run: Run) -> str:
    where = "its gate stands" if is_gating(run) else "it is not done yet"
    place = step_place(run, run.step.id).removeprefix("step ")
    return f"{place}: {where}" if f"start {run.step.id}" in run.intents else f"{place}: it is not begun yet"


def _waits(run: Run) -> tuple[Wait, ...]:
    wait = waits_for(run, run.at, needs(run))
    return () if wait is None else (wait,)


def _wait(wait: Wait) -> str:
    return f"{wait.what}: {seconds(wait.done)} of {seconds(wait.of)} ({wait.detail})"


def _split(split: Split) -> str:
    if split.error:
        return f"{split.name}: {split.error}"
    sides = " · ".join(
        f"{name} {count(good)} of {count(total)} {split.word}"
        for name, (good, total) in (("old", split.old), ("new", split.new))
    )
    return f"{split.name}: {sides}"


def _requests(run: Run, name: str) -> str:
    total = run.totals[name]
    pods = run.policy.signals[name].compares_pods
    new, old = ("new pods", "old ones") if pods else ("the way through", "the way past")
    blind = silence(run, name, run.at)
    return (
        f"{name}: {count(total.new_failures)} of {count(total.new_requests)} failed on {new}, "
        f"{count(total.old_failures)} of {count(total.old_requests)} on {old}; "
        f"E {odds(run.meters[name].evidence)}" + (f"; {blind}" if blind else "")
    )


def _evidence(run: Run) -> str:
    proof = 1 / run.policy.false_alarm
    return (
        f"odds of {odds(run.evidence)} to 1 that new is worse; brake at {count(BRAKE_EVIDENCE)}, "
        f"rolls back at {count(proof)}"
    )


def _next(run: Run) -> str:
    name = run_id(run)
    if run.phase is Phase.NEEDS_HUMAN:
        return "go on by the undo commands; then look at every object"
    if run.phase in TERMINAL:
        return "nothing: the run is over"
    if run.phase is Phase.PAUSED:
        return f"`upgrader resume {name}` goes on, `upgrader abort {name}` brings the old version back"
    return f"if no process drives it any more: `upgrader resume {name}`; to go back: `upgrader abort {name}`"


def status_body(run: Run, *, undo: Sequence[str] = (), lease: str = "") -> dict[str, Any]:
    """Return it as JSON values, units in the names; arguments as in `status_text`."""
    code = EXIT_CODES.get(run.phase)
    return {
        "run": run_id(run),
        **{key: run.measured.get(key, "") for key in ("release", "namespace", "context", "from", "to")},
        "phase": run.phase.value,
        "came_from": run.came_from.value,
        "exit_code": None if code is None else code.value,
        "since": timestamp(run.since),
        "began": timestamp(run.began),
        "last_record_at": timestamp(run.at),
        "step": {"id": run.step.id, "number": run.index + 1, "of": len(run.steps)},
        "reason": run.reason,
        "verdict": dict(run.verdict),
        "waits_for": [_wait_body(wait) for wait in _waits(run)],
        "evidence_odds": run.evidence,
        "evidence_odds_needed": 1 / run.policy.false_alarm,
        "signals": {name: _signal_body(run, name) for name in run.totals},
        "pods": [_split_body(split) for split in splits(run)],
        "facts": [asdict(fact) for fact in facts(run)],
        "phase_seconds": dict(run.seconds_in),
        "lease": lease,
        "next": _next(run),
        "undo": list(undo),
    }


def _wait_body(wait: Wait) -> dict[str, Any]:
    needed = None if math.isinf(wait.of) else wait.of
    return {"what": wait.what, "done_seconds": wait.done, "needed_seconds": needed, "detail": wait.detail}


def _signal_body(run: Run, name: str) -> dict[str, Any]:
    reading = run.latest.get(name)
    error = reading.error if reading else "no reading yet"
    return {**asdict(run.totals[name]), "evidence_odds": run.meters[name].evidence, "error": error}


def _split_body(split: Split) -> dict[str, Any]:
    return {
        "name": split.name,
        "counted": split.word,
        **{
            f"{side}_{split.word if part == 0 else 'total'}_pods": pair[part]
            for side, pair in (("old", split.old), ("new", split.new))
            for part in (0, 1)
        },
        "error": split.error,
    }
