"""What every view calls a run, and how it writes its numbers. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from upgrader.model.measure import tiers_of
from upgrader.model.run import Run

LARGEST_ODDS = 1e9
"""Odds above this are written as "over"; no one reads more digits."""


def run_id(run: Run) -> str:
    """Return the run's id."""
    return str(run.header.get("run", "?"))


def release_name(run: Run) -> str:
    """Return ``NAMESPACE/RELEASE``; of several, each."""
    named = ((one.get("namespace", ""), one.get("release", "release")) for one in tiers_of(run.measured))
    return ", ".join("/".join(str(name) for name in names if name) for names in named)


def route(run: Run) -> str:
    """Return from which chart to which, such as ``gateway-1.11.28 → gateway-1.11.30``."""
    start = run.measured.get("from") or "the known-good revision"
    revision = run.header.get("revision")
    end = f"revision {revision}" if revision else run.measured.get("to") or "the target"
    return f"{start} → {end}"


def spoken(name: str) -> str:
    """Return a phase's name as words: ``rolling back``."""
    return name.replace("_", " ")


def step_place(run: Run, step: str) -> str:
    """Return a step with its place, such as ``step 4/6 roll proxies 1/2``; an unknown one by its id."""
    ids = [each.id for each in run.steps]
    return f"step {ids.index(step) + 1}/{len(ids)} {step}" if step in ids else step


def seconds(value: float) -> str:
    """Write a span of time: ``0.4 s``, ``42 s``, ``2 min 5 s``, ``1 h 2 min``; ``for ever`` when infinite."""
    if math.isinf(value):
        return "for ever"
    whole = round(max(0.0, value))
    if whole < 60:
        return f"{value:.1f} s" if 0 < value < 1 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def ticking(value: float) -> str:
    """Write a span of time as a clock that runs: ``0:42``, ``12:05``, ``1:02:05``; ``-:--`` when infinite."""
    if math.isinf(value):
        return "-:--"
    minutes, left = divmod(int(max(0.0, value)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def count(value: float) -> str:
    """Write a number of requests or pods: ``12,345``."""
    return f"{value:,.0f}"


def ratio(part: float, whole: float) -> str:
    """Write a share: ``0 %``, ``0.003 %``, ``12 %``; ``-`` of nothing."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    if percent in (0, 100) or percent >= 10:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent >= 1 else f"{percent:.2g} %"


def odds(evidence: float) -> str:
    """Write an evidence: ``0.98``, ``18``, ``1,234``, ``over 1,000,000,000``."""
    if evidence > LARGEST_ODDS:
        return f"over {LARGEST_ODDS:,.0f}"
    return f"{evidence:.2f}" if evidence < 10 else f"{evidence:,.0f}"


def clock_time(at: float) -> str:
    """Write a time of day in UTC: ``14:02:11``."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def timestamp(at: float) -> str:
    """Write a moment as ISO 8601 in UTC, to the millisecond: ``2026-11-03T14:02:11.250Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def one_line(text: str) -> str:
    """Return a text without line breaks and without a full stop at its end."""
    return " ".join(text.split()).removesuffix(".")


def began_step_at(run: Run, step: str) -> float:
    """Return when a step was begun; the begin of the phase where no record says."""
    return float(run.facts.get(step, {}).get("begun_at", run.since))


def failed_of(run: Run) -> str:
    """Say how many requests failed on each side, by the signal that compares pods (else by the first).

    Returns:
        Such as ``3 of 12,345 requests failed on new pods, 5 of 98,765 on old ones``; empty when nothing was
        counted.
    """
    compared = [name for name in run.totals if run.policy.signals[name].compares_pods]
    for name in (*compared, *run.totals):
        total = run.totals[name]
        if total.new_requests or total.old_requests:
            new, old = ("new pods", "old ones") if name in compared else ("the way through", "the way past")
            return (
                f"{count(total.new_failures)} of {count(total.new_requests)} requests failed on {new}, "
                f"{count(total.old_failures)} of {count(total.old_requests)} on {old}"
            )
    return ""


def drain_slack(run: Run, step: str) -> str:
    """Say how much slack the drains of a step's pods had, by the balancer with the least; empty for none."""
    drained = run.drained(step)
    if drained is None:
        return ""
    pods = f"{count(drained.pods)} {'pod' if drained.pods == 1 else 'pods'}"
    if drained.slack_seconds is None:
        return f"drain slack of {pods} not seen"
    return f"drain slack of {pods} at least {drained.slack_seconds:.1f} s"
