"""Does Ready mean that the listener answers?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.subjects import Subject, on_data_path

RULES: Mapping[str, str] = {
    "readiness-missing": "A data-plane pod has no readiness probe: it gets traffic before it can answer.",
    "readiness-off-path": "No readiness probe asks a port that gets traffic: no listener, and yet ready.",
    "readiness-command": "Readiness is decided by a command: what it looks at cannot be read off.",
    "readiness-port-only": "Readiness only sees an open port, not an answer.",
}

_SOURCE = "https://github.com/kgateway-dev/kgateway/issues/5494"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield at most one finding for each data-plane Deployment, for its pods to come."""
    for one in on_data_path(survey):
        found = _said(one)
        if found:
            yield found


def _said(subject: Subject) -> Finding | None:
    probes = manifests.probes(subject.planned)
    if not probes:
        return Finding(
            "readiness-missing",
            Severity.BLOCK,
            f"{subject.ref} has no readinessProbe",
            f"add one that asks the listener ({_ports(subject)}) through the health-check filter",
            _SOURCE,
        )
    on_path = [one for one in probes if one.port in subject.ports]
    if any(one.how in ("httpGet", "grpc") for one in on_path):
        return None
    if on_path:
        return Finding(
            "readiness-port-only",
            Severity.WARN,
            f"{subject.ref}: {on_path[0].how} on {on_path[0].port}",
            "use httpGet on a path that the health-check filter answers",
            _SOURCE,
        )
    seen = ", ".join(f"{one.container} asks {one.how} {one.port or ''}{one.path}".strip() for one in probes)
    if any(one.how == "exec" for one in probes):
        return Finding(
            "readiness-command",
            Severity.WARN,
            f"{subject.ref}: {seen}",
            f"see that the command asks the listener ({_ports(subject)})",
            _SOURCE,
        )
    return Finding(
        "readiness-off-path",
        Severity.BLOCK,
        f"{subject.ref}: {seen}; traffic goes to {_ports(subject)}",
        "probe the listener through the health-check filter; an admin page says LIVE with no listener at all",
        _SOURCE,
    )


def _ports(subject: Subject) -> str:
    return f"port {', '.join(map(str, sorted(subject.ports)))}"
