"""What `plan` shows before anything is touched: the steps, the findings, the worst case and the way back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from upgrader.model.evidence import Meter, gate_seconds, time_to_see
from upgrader.model.findings import blocking
from upgrader.model.measure import joint, measured, tiers_of
from upgrader.model.plugins import Finding, Gate, Severity, StepPlan, Survey
from upgrader.model.policy import Policy
from upgrader.model.tiers import names
from upgrader.model.undo import whole_way_back

FAULTS = (0.01, 0.05, 0.2, 1.0)
"""Sizes of fault the plan prints a detection time for."""


@dataclass(frozen=True)
class Shown:
    """All that a plan shows.

    Args:
        surveys: What was read of each tier, in the playbook's order.
        findings: What the checks said.
        steps: What will be done.
        policy: How it will be judged.
        commands: Helm's own command line for each tier.
        revisions: The revision each tier goes to; 0 for the chart.
        kubeconfig: Named on the command line; empty for kubectl's default.
    """

    surveys: Sequence[Survey]
    findings: Sequence[Finding]
    steps: Sequence[StepPlan]
    policy: Policy
    commands: Sequence[str]
    revisions: Sequence[int] = (0,)
    kubeconfig: str = ""

    @property
    def order(self) -> tuple[int, ...]:
        """Return the tiers in the order of the run."""
        return tuple(dict.fromkeys(step.tier for step in self.steps))

    @property
    def measured(self) -> dict[str, Any]:
        """Return what the journal's header will say was measured."""
        pairs = zip(self.surveys, self.revisions, strict=True)
        return joint([measured(survey, "", revision=revision) for survey, revision in pairs])


def plan_text(shown: Shown) -> str:
    """Return the plan for people."""
    tiers = [{**one, "kubeconfig": shown.kubeconfig} for one in tiers_of(shown.measured)]
    lines = [
        *(_tier(tiers[tier]) for tier in shown.order),
        f"Kubernetes {tiers[0]['server_version']}, Helm {tiers[0]['helm_version']}, {_known_good(tiers)}",
        "",
        "Steps",
        *_steps(shown),
        "",
        "Helm",
        *(f"  {shown.commands[tier]}" for tier in shown.order),
        "",
        "Findings",
        *(_finding(one) for one in shown.findings),
        *([] if shown.findings else ["  none"]),
        "",
        "Worst case, with the traffic seen now",
        *_worst(shown),
        "",
        "The way back without this tool",
        *(f"  {line}" for line in whole_way_back(joint(tiers), order=shown.order)),
    ]
    return "\n".join(lines)


def _tier(said: Mapping[str, Any]) -> str:
    return f"{said['release']} in {said['namespace']}: {said['from']} → {said['to']}"


def _known_good(tiers: Sequence[Mapping[str, Any]]) -> str:
    if len(tiers) == 1:
        return f"known-good: {tiers[0]['known_good']}"
    return "known-good: " + ", ".join(f"{one['release']} {one['known_good']}" for one in tiers)


def plan_body(shown: Shown) -> dict[str, Any]:
    """Return the plan for pipelines; JSON values."""
    return {
        "measured": shown.measured,
        "steps": [{**asdict(step), "gate": step.gate.value} for step in shown.steps],
        "findings": [asdict(one) for one in shown.findings],
        "policy": shown.policy.to_body(),
        "helm": "\n".join(shown.commands[tier] for tier in shown.order),
        "detection": [dict(row) for row in detection(shown)],
        "refused": bool(blocking(shown.findings)),
    }


def _steps(shown: Shown) -> Iterator[str]:
    for number, step in enumerate(shown.steps, start=1):
        gate = {
            Gate.NONE: "",
            Gate.STAND: f", then stands at least {shown.policy.stand_seconds:.0f} s",
            Gate.SETTLE: f", then probes and facts for {shown.policy.stand_seconds:.0f} s",
            Gate.BAKE: f", then bakes at least {shown.policy.bake_seconds:.0f} s",
        }[step.gate]
        yield f"  {number}. {step.id}{_what(step)}{gate}"


def _what(step: StepPlan) -> str:
    counts: Mapping[str, int] = step.settings.get("counts", {})
    of: Mapping[str, int] = step.settings.get("of", {})
    said = ", ".join(f"{count} of {of[name]} {name}" for name, count in counts.items())
    if "new_ratio" in step.settings:
        return f": {100 * step.settings['new_ratio']:.4g} % of the requests new"
    names = ", ".join(step.settings.get("workloads", ()))
    return f": {said} new" if said else f": {names}" if names else ""


def _finding(one: Finding) -> str:
    mark = f"waived ({one.waived})" if one.waived else one.severity.value
    remedy = (
        f"\n      → {one.remedy}"
        if one.remedy and not one.waived and one.severity is not Severity.INFO
        else ""
    )
    return f"  {mark:5} {one.rule}: {one.seen}{remedy}"


def traffic(shown: Shown, tier: int = 0) -> float:
    """Return the requests a second seen at the trial of a tier, or 0 when none were."""
    rates = [
        (counts.new_requests + counts.old_requests) / counts.seconds
        for name, reading in shown.surveys[tier].trial.items()
        if (counts := reading.counts) is not None and shown.policy.signals[name].compares_pods
    ]
    return max(rates, default=0.0)


def detection(shown: Shown) -> Iterator[Mapping[str, float | str]]:
    """Yield for each gated batch and size of fault how long it takes to see, and what fails meanwhile."""
    signal = next((n for n in shown.policy.counting if shown.policy.signals[n].compares_pods), "")
    if not signal:
        return
    meter = Meter(shown.policy.meter(signal))
    for step in shown.steps:
        rate = traffic(shown, step.tier)
        if not (rate and 0 < step.new_share < 1):
            continue
        for fault in FAULTS:
            seconds = time_to_see(meter, fault=fault, share=step.new_share, rate=rate)
            failed = rate * step.new_share * fault * seconds
            yield {"step": step.id, "fault": fault, "seconds": seconds, "failed": failed}


def _worst(shown: Shown) -> Iterator[str]:
    rates = {tier: traffic(shown, tier) for tier in shown.order}
    called = names(shown.surveys)
    for tier, rate in rates.items():
        whose = f"{called[tier]}: " if called[tier] else ""
        if rate:
            yield f"  {whose}{rate:,.0f} requests/s"
        else:
            yield f"  {whose}no traffic was seen on the proxies: what a batch can see cannot be said"
    rows = list(detection(shown))
    for step in dict.fromkeys(str(row["step"]) for row in rows):
        mine = [row for row in rows if row["step"] == step]
        told = ", ".join(_fault(row) for row in mine)
        yield f"  {step}: {told}"
        excluded = _gate_length(shown, step)
        yield f"    its gate must rule out {shown.policy.exclude:.1%}: at least {excluded}"


def _fault(row: Mapping[str, float | str]) -> str:
    seconds, fault = float(row["seconds"]), float(row["fault"])
    if math.isinf(seconds):
        return f"{fault:.0%} is never seen"
    return f"{fault:.0%} seen after {seconds:.0f} s ({float(row['failed']):,.0f} failed)"


def _gate_length(shown: Shown, step_id: str) -> str:
    step = next(one for one in shown.steps if one.id == step_id)
    signal = next(n for n in shown.policy.counting if shown.policy.signals[n].compares_pods)
    meter = Meter(shown.policy.meter(signal))
    seen = time_to_see(
        meter, fault=shown.policy.exclude, share=step.new_share, rate=traffic(shown, step.tier)
    )
    seconds = gate_seconds(seen, shown.policy.stand_seconds)
    return "for ever, there is too little traffic" if math.isinf(seconds) else f"{seconds:.0f} s"
