"""What one reading means: pass, breach, or one of five kinds of doubt. Pure functions of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from upgrader.model.backend_health import UNKNOWN, WORDS
from upgrader.model.evidence import gate_seconds, time_to_see
from upgrader.model.following import SURE
from upgrader.model.phase import Phase
from upgrader.model.plugins import Gate
from upgrader.model.policy import DUE_REQUESTS, DUE_SECONDS, LATE_READINGS, PARTIAL_RATIO
from upgrader.model.reading import Fact, Reading, Weight
from upgrader.model.run import Run, new_pods

FULL_LOOK_AHEAD_SECONDS = 1800.0
"""A gate that would need longer than this is named as such instead of computed further."""


class Verdict(StrEnum):
    """Only pass advances; only breach rolls back; everything else holds (design, section 7)."""

    PASS = "pass"
    BREACH = "breach"
    NO_TRAFFIC = "no traffic"
    TOO_LITTLE = "too little"
    STALE = "stale"
    PARTIAL = "partial"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one signal.

    Args:
        signal: Its name.
        verdict: The verdict.
        reason: A sentence with the numbers; empty for a pass.
        holds: True when the brake must go on; False when the gate just has to stand longer.
    """

    signal: str
    verdict: Verdict
    reason: str = ""
    holds: bool = False


def judge(run: Run, signal: str, now: float, gate: Gate) -> Judgement:
    """Judge the latest reading of one signal.

    Args:
        run: The run, with all readings folded in.
        signal: The signal's name.
        now: UTC seconds.
        gate: What must pass now; `Gate.NONE` while a step is still being done.
    """
    reading = run.latest.get(signal)
    for rule in _RULES:
        found = rule(run, signal, reading, now)
        if found is not None:
            return found
    return _awaits(run, signal, gate) or _stands(run, signal, gate) or Judgement(signal, Verdict.PASS)


_Rule = Callable[[Run, str, "Reading | None", float], "Judgement | None"]


def _breach(run: Run, signal: str, reading: Reading | None, now: float) -> Judgement | None:
    facts = [fact for fact in reading.facts if fact.weight is Weight.BREACH] if reading else []
    return Judgement(signal, Verdict.BREACH, facts[0].text, holds=True) if facts else None


def _blind(run: Run, signal: str, reading: Reading | None, now: float) -> Judgement | None:
    allowed = max(2.0, LATE_READINGS * run.policy.signals[signal].interval_seconds)
    late = now - run.good_at.get(signal, run.began)
    if late <= allowed:
        return None
    why = reading.error if reading and reading.error else "no reading came"
    verdict = Verdict.UNAVAILABLE if reading is None or reading.error else Verdict.STALE
    return Judgement(signal, verdict, f"{signal} has not spoken for {late:.0f} s: {why}", holds=True)


def _partial(run: Run, signal: str, reading: Reading | None, now: float) -> Judgement | None:
    if reading is None or reading.error or not (reading.unread_new or reading.unread_ratio >= PARTIAL_RATIO):
        return None
    who = "a new pod among them" if reading.unread_new else "old ones"
    text = f"{signal} could not read {reading.unread_ratio:.0%} of the pods, {who}"
    return Judgement(signal, Verdict.PARTIAL, text, holds=False)


def _silent(run: Run, signal: str, reading: Reading | None, now: float) -> Judgement | None:
    if reading is None or reading.due_requests < max(DUE_REQUESTS, _due_at_once(reading)):
        return None
    text = f"new pods got no request while {reading.due_requests:.0f} were due"
    # No wonder while a balancer has not taken them in: its own settle time judges that, and no gate passes.
    return Judgement(signal, Verdict.NO_TRAFFIC, text, holds=not backends_missing(run))


def _due_at_once(reading: Reading) -> float:
    """Return what is due before a balancer can have looked: two seconds of the old side's traffic."""
    counts = reading.counts
    return DUE_SECONDS * counts.old_requests / counts.seconds if counts else 0.0


def _doubt(run: Run, signal: str, reading: Reading | None, now: float) -> Judgement | None:
    facts = [fact for fact in reading.facts if fact.weight is Weight.HOLD] if reading else []
    if facts:
        return Judgement(signal, Verdict.TOO_LITTLE, _in_its_words(facts[0], reading), holds=True)
    meter = run.meters.get(signal)
    if meter is not None and meter.old_version_fails:
        side = "the old version" if run.policy.signals[signal].compares_pods else "the way past the gateway"
        return Judgement(signal, Verdict.TOO_LITTLE, f"{side} fails too: nothing can be compared", holds=True)
    return None


def _in_its_words(fact: Fact, reading: Reading | None) -> str:
    """Say a doubt; where a balancer does not know its backends, with the words it has for them."""
    notes = reading.facts if reading and fact.rule == UNKNOWN else ()
    return "; ".join((fact.text, *(note.text for note in notes if note.rule in WORDS)))


def _unfollowed(run: Run, signal: str, reading: Reading | None, now: float) -> Judgement | None:
    """Traffic that does not have the share which the balancer tells as set: no gate passes on it."""
    odds = run.following.get(signal, 0.0)
    gating = run.phase is Phase.OBSERVING or (run.phase is Phase.HOLDING and run.came_from is Phase.OBSERVING)
    if not gating or odds >= 0 or reading is None or reading.counts is None:
        return None
    new, both = reading.counts.new_requests, reading.counts.new_requests + reading.counts.old_requests
    text = (
        f"traffic does not follow the balancer: {new:.0f} of {both:.0f} requests reached new pods, "
        f"and {100 * run.step.new_share:.4g} % is set"
    )
    return Judgement(signal, Verdict.TOO_LITTLE, text, holds=odds <= -SURE)


def _ceiling(run: Run, signal: str, reading: Reading | None, now: float) -> Judgement | None:
    """With no old pod left, a failure rate above the ceiling is proof of its own."""
    meter = run.ceilings.get(signal)
    if meter is None or not meter.breached:
        return None
    limit = f"{run.policy.ceiling:.1%} of requests"
    text = f"new pods fail more than {limit}, and no old pod is left to compare with"
    return Judgement(signal, Verdict.BREACH, text, holds=True)


_RULES: tuple[_Rule, ...] = (_breach, _ceiling, _blind, _partial, _silent, _doubt, _unfollowed)


def _awaits(run: Run, signal: str, gate: Gate) -> Judgement | None:
    """Tell what a gate waits for by name: requests on each new pod, a balancer to let go of an old one."""
    text = _awaited(run, signal)
    if gate is Gate.NONE or not text:
        return None
    counts = run.policy.signals[signal].weight > 0
    return Judgement(signal, Verdict.NO_TRAFFIC if counts else Verdict.TOO_LITTLE, text)


def _awaited(run: Run, signal: str) -> str:
    """Return what the signal's last reading says a gate must wait for, or the empty text."""
    reading = run.latest.get(signal)
    found = (fact.text for fact in (reading.facts if reading else ()) if fact.weight is Weight.WAIT)
    return "; ".join(found)


def lacking(run: Run) -> tuple[str, ...]:
    """Return what a gate waits for beside its time, in words; nothing where it lacks nothing."""
    found = (backends_missing(run), *(_awaited(run, name) for name in run.policy.signals))
    return tuple(filter(None, found))


def _stands(run: Run, signal: str, gate: Gate) -> Judgement | None:
    """Tell what the gate still lacks of good looks, or ``None``."""
    if gate is Gate.NONE or signal not in run.meters:
        return None
    stood, least = run.gate_seconds.get(signal, 0.0), _least(run, gate)
    if stood < least:  # looking ahead is dear, and not needed before
        return Judgement(signal, Verdict.TOO_LITTLE, f"{signal}: {stood:.0f} of {least:.0f} s of good looks")
    needed = needed_seconds(run, signal, gate)
    if stood >= needed:
        return None
    if needed > FULL_LOOK_AHEAD_SECONDS:
        text = f"{signal}: too little traffic on both sides to rule out a fault of {run.policy.exclude:.1%}"
    else:
        text = f"{signal}: {stood:.0f} of {needed:.0f} s of good looks"
    return Judgement(signal, Verdict.TOO_LITTLE, text)


def needed_seconds(run: Run, signal: str, gate: Gate) -> float:
    """Return the seconds of good looks a gate needs of a counting signal; infinite when it never can.

    Pods compared with pods must rule out a fault of ``exclude``; probes, and gates without a baseline,
    stand the playbook's time only. A baseline is also gone where a batch went on to the last pod while no
    process of ours was there to end it; the ceiling meter judges then.
    """
    stand, (new, wanted) = _least(run, gate), new_pods(run)
    no_baseline = run.step.new_share >= 1.0 or 0 < wanted <= new
    if gate is Gate.SETTLE or not _rules_out(run, signal) or no_baseline:
        return stand
    reading = run.latest.get(signal)
    if reading is None or reading.counts is None:
        return float("inf")
    counts = reading.counts
    both = counts.new_requests + counts.old_requests
    seen = time_to_see(
        run.meters[signal],
        fault=run.policy.exclude,
        share=counts.new_requests / both if both else 0.0,
        rate=both / counts.seconds,
        at_most_seconds=FULL_LOOK_AHEAD_SECONDS,
    )
    return gate_seconds(seen, stand)


def _least(run: Run, gate: Gate) -> float:
    return run.policy.bake_seconds if gate is Gate.BAKE else run.policy.stand_seconds


def _rules_out(run: Run, signal: str) -> bool:
    pods = [name for name in run.meters if run.policy.signals[name].compares_pods]
    return signal in pods or not pods


def backends_missing(run: Run) -> str:
    """Say which new pods no balancer has taken in yet, or the empty text.

    A batch counts as replaced only when the balancer says healthy for each new pod.
    """
    for name, policy in run.policy.signals.items():
        reading = run.latest.get(name)
        if not policy.speaks_of_backends or reading is None or reading.error:
            continue
        healthy, total = reading.values.get("new_healthy", 0), reading.values.get("new_total", 0)
        if healthy < total:
            return f"{name} calls {healthy:.0f} of {total:.0f} new pods healthy"
    return ""
