"""Can every signal see, and is what it sees well?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.reading import Reading, Weight

RULES: Mapping[str, str] = {
    "signal-none": "There is no signal to judge the new version by.",
    "signal-blind": "A signal could not be read at the trial.",
    "signal-partial": "A signal reads only part of the pods.",
    "baseline-red": "A signal reports trouble before anything was touched.",
    "signal-note": "A signal or balancer notes what is good to know before the run, such as sticky clients.",
}


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what the trial readings say."""
    if not survey.trial:
        yield Finding(
            "signal-none", Severity.BLOCK, "no signal was read", "add one to the playbook's signals"
        )
    for name, reading in survey.trial.items():
        yield from _said(name, reading)


def _said(name: str, reading: Reading) -> Iterator[Finding]:
    if reading.error:
        yield Finding(
            "signal-blind",
            Severity.BLOCK,
            f"{name} ({reading.source}): {reading.error}",
            "`upgrader doctor` finds out how it can be reached",
        )
    elif not reading.complete or reading.unread_ratio > 0:
        yield Finding(
            "signal-partial",
            Severity.WARN,
            f"{name} ({reading.source}): {reading.unread_ratio:.0%} of the pods were not read",
            "see why; what is not read cannot be judged",
        )
    for fact in reading.facts:
        text = f"{name}: {fact.rule}: {fact.text}"
        if fact.weight is Weight.NOTE:
            yield Finding("signal-note", Severity.INFO, text, "")
        elif fact.weight is not Weight.WAIT:
            remedy = "bring the gateway to health first: an upgrade never starts from red"
            yield Finding("baseline-red", Severity.BLOCK, text, remedy)
