"""Does an old pod keep answering until the balancer has stopped sending to it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from upgrader.model import manifests
from upgrader.model.detection import Detection, detection
from upgrader.model.manifests import PreStop
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.ports import Manifest
from upgrader.model.subjects import Subject, on_data_path

RULES: Mapping[str, str] = {
    "prestop-missing": "A data-plane pod has no preStop hook: it closes while it still gets traffic.",
    "drain-budget": "preStop ends sooner than the balancer notices (interval by unhealthy threshold).",
    "drain-unknown": "How long preStop takes cannot be read off the manifest.",
    "drain-stays-healthy": "preStop only sleeps: a balancer that asks for health keeps sending to the end.",
    "drain-grace": "The grace period ends before preStop and the end of the proxy: SIGKILL in mid-drain.",
}

STOP_SLACK_SECONDS = 5.0
"""What a proxy may take to end after SIGTERM (helm research 5.1, K)."""
_MARGIN_RATIO, _MOST_MARGIN_SECONDS = 0.25, 5.0
_SOURCE = "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/2131"
_BESIDE = "; this upgrade takes the traffic away first, but a drained node or an HPA does not"
_HINT = (
    "preStop: POST /healthcheck/fail, sleep, POST /drain_listeners?graceful, sleep for the longest request"
)


def check(survey: Survey) -> Iterator[Finding]:
    """Yield what is wrong with the drain of old pods (on the way there) and new ones (on the way back).

    Where the balancer moves the traffic between two places, a version leaves when it is seen to get nothing:
    then it is no reason to refuse, but still one to mend, for pods that a node's drain or an HPA takes.
    """
    noticed = detection(survey.playbook)
    for one in on_data_path(survey):
        said: dict[str, Finding] = {}
        for whose, manifest in one.versions:
            for finding in _pods(one, whose, manifest, noticed):
                key = f"{finding.rule} {finding.seen.partition(':')[2]}"
                said.setdefault(key, _without_traffic(finding) if survey.beside else finding)
        yield from said.values()


def _without_traffic(finding: Finding) -> Finding:
    """Return what is left of it for a version that leaves only once it gets no traffic."""
    if finding.severity is not Severity.BLOCK:
        return finding
    return replace(finding, severity=Severity.WARN, seen=f"{finding.seen}{_BESIDE}")


def _pods(subject: Subject, whose: str, manifest: Manifest, noticed: Detection) -> Iterator[Finding]:
    words = f"{subject.ref}, {whose}"
    hooks = manifests.pre_stops(manifest)
    if not hooks:
        yield Finding("prestop-missing", Severity.BLOCK, f"{words}: no preStop hook", _HINT, _SOURCE)
        return
    longest = max(hooks, key=lambda one: one.serving_seconds)
    yield from _budget(words, longest, noticed)
    grace, seconds = manifests.grace_seconds(manifest), max(one.seconds for one in hooks)
    if grace < seconds + STOP_SLACK_SECONDS:
        yield Finding(
            "drain-grace",
            Severity.BLOCK,
            f"{words}: terminationGracePeriodSeconds {grace}, preStop {seconds:g} s, "
            f"slack {grace - seconds - STOP_SLACK_SECONDS:g} s",
            f"set it to {seconds + STOP_SLACK_SECONDS:g} or more",
            "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination",
        )


def _budget(words: str, hook: PreStop, noticed: Detection) -> Iterator[Finding]:
    if not hook.known:
        yield Finding(
            "drain-unknown",
            Severity.WARN,
            f"{words}: preStop is `{hook.text}`; the balancer notices after {noticed.seconds:g} s "
            f"({noticed.words})",
            "see that it keeps the listener open that long",
            _SOURCE,
        )
        return
    slack = hook.serving_seconds - noticed.seconds
    margin = min(_MARGIN_RATIO * noticed.seconds, _MOST_MARGIN_SECONDS)
    if slack < margin:
        yield Finding(
            "drain-budget",
            Severity.BLOCK if slack < 0 else Severity.WARN,
            f"{words}: preStop serves for {hook.serving_seconds:g} s, the balancer notices after "
            f"{noticed.seconds:g} s ({noticed.words}): slack {slack:g} s",
            f"let it serve for {noticed.seconds + margin:g} s or more",
            _SOURCE,
        )
    if hook.only_sleeps and noticed.asks_pods:
        yield Finding(
            "drain-stays-healthy",
            Severity.BLOCK,
            f"{words}: preStop is `{hook.text}` and the balancer goes by health checks ({noticed.words})",
            _HINT,
            _SOURCE,
        )
