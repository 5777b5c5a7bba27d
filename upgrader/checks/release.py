"""Is the release in a state to start from, and is there a revision to go back to?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import ReleaseStatus

RULES: Mapping[str, str] = {
    "release-pending": "The last revision is pending: another Helm works on it, or one was killed.",
    "release-gone": "The release is uninstalled, or being uninstalled.",
    "release-several-deployed": "More than one revision is marked deployed: two Helms ran at once.",
    "release-failed": "The last revision failed: what is live may be half of it.",
    "known-good-missing": "No revision is marked deployed: there is none to go back to.",
    "known-good-drift": "What is live is not what the known-good revision would send.",
    "chart-from": "The known-good revision is of another chart version than the playbook's `from`.",
    "chart-to": "The pulled chart has another version than the playbook's `to`.",
}

_PENDING = {ReleaseStatus.PENDING_INSTALL, ReleaseStatus.PENDING_UPGRADE, ReleaseStatus.PENDING_ROLLBACK}
_GONE = {ReleaseStatus.UNINSTALLED, ReleaseStatus.UNINSTALLING}
_SHOWN = 5


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what is wrong with the history, the known-good revision and the chart versions."""
    yield from _last(survey)
    yield from _known_good(survey)
    yield from _versions(survey)


def _last(survey: Survey) -> Iterator[Finding]:
    last = survey.history[-1]
    words = f"revision {last.number} is {last.status}"
    if last.status in _PENDING:
        yield Finding(
            "release-pending",
            Severity.BLOCK,
            words,
            "find out whether a Helm is still at work; else `helm rollback` to known-good",
            "https://github.com/helm/helm/issues/8987",
        )
    elif last.status in _GONE:
        yield Finding(
            "release-gone",
            Severity.BLOCK,
            words,
            "install it first; an upgrade never installs",
            "helm/helm#7653",
        )
    elif last.status is ReleaseStatus.FAILED:
        drifted = ", ".join(_drifted(survey)[:_SHOWN])
        yield Finding(
            "release-failed",
            Severity.BLOCK if drifted else Severity.WARN,
            f"{words}; " + (f"not as known-good: {drifted}" if drifted else "live is as known-good"),
            f"`helm rollback` to revision {survey.known_good} first" if drifted else "",
            "helm/helm#13346",
        )


def _known_good(survey: Survey) -> Iterator[Finding]:
    deployed = [one.number for one in survey.history if one.status is ReleaseStatus.DEPLOYED]
    if not survey.known_good:
        yield Finding(
            "known-good-missing",
            Severity.BLOCK,
            f"none of {len(survey.history)} revisions is deployed",
            "bring the release to a revision that is known to be good with `helm rollback RELEASE N`",
            "helm/helm#9548",
        )
    if len(deployed) > 1:
        yield Finding(
            "release-several-deployed",
            Severity.BLOCK,
            f"revisions {', '.join(map(str, deployed))} are all deployed",
            "`helm rollback` to the one that is live: it supersedes the others",
            "https://github.com/helm/helm/issues/7274",
        )
    drifted = _drifted(survey)
    if drifted and survey.history[-1].status is not ReleaseStatus.FAILED:
        yield Finding(
            "known-good-drift",
            Severity.WARN,
            f"{len(drifted)} objects differ from revision {survey.known_good}: {', '.join(drifted[:_SHOWN])}",
            "going back will not bring these edits back; put them into the values",
            "helm/helm#13346",
        )


def _drifted(survey: Survey) -> list[str]:
    found = []
    for ref, answer in survey.dry_run_back.items():
        live = survey.live.get(ref)
        if isinstance(answer, dict) and live is not None:
            paths = manifests.changed_paths(manifests.content(live), manifests.content(answer))
            if paths:
                found.append(f"{ref} ({', '.join(paths[:3])})")
        elif live is None:
            found.append(f"{ref} (absent)")
    return found


def _versions(survey: Survey) -> Iterator[Finding]:
    if survey.chart is None:
        return
    wanted = survey.playbook.release.chart
    live = next((one.chart for one in survey.history if one.number == survey.known_good), "")
    if live and not live.endswith(f"-{wanted.from_version}"):
        yield Finding(
            "chart-from",
            Severity.BLOCK,
            f"revision {survey.known_good} is {live}, the playbook says from {wanted.from_version}",
            "correct chart.from, or upgrade to it first: playbooks are written for one step",
        )
    if survey.chart.version != wanted.to_version:
        yield Finding(
            "chart-to",
            Severity.BLOCK,
            f"the chart is {survey.chart.name}-{survey.chart.version}, the playbook says {wanted.to_version}",
            "correct chart.to or chart.ref",
        )
