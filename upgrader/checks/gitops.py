"""Does another tool own the release, and would it put back what we change?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model.owners import owners_of
from upgrader.model.plugins import Finding, Severity, Survey

RULES: Mapping[str, str] = {
    "gitops-owner": "Argo CD, Flux, Fleet or the k3s Helm controller owns live objects and would revert them."
}

_REMEDIES: Mapping[str, str] = {
    "Argo CD": "upgrade through its repository; or switch automated sync off for this run, and waive",
    "Flux": "upgrade through its repository; or suspend the HelmRelease for this run, and waive",
    "Fleet or the k3s Helm controller": "upgrade through the object that owns the release",
}
_SOURCES: Mapping[str, str] = {
    "Argo CD": "https://github.com/argoproj/argo-cd/issues/15588",
    "Flux": "https://github.com/fluxcd/helm-controller/issues/149",
    "Fleet or the k3s Helm controller": "https://github.com/k3s-io/helm-controller/issues/343",
}


def check(survey: Survey) -> Iterator[Finding]:
    """Yield one finding for each foreign owner, with the first object that names it."""
    seen: dict[str, list[str]] = {}
    for ref, live in survey.live.items():
        for owner, mark in owners_of(live).items():
            if owner in _REMEDIES:
                seen.setdefault(owner, []).append(f"{ref} has {mark}")
    for owner, found in seen.items():
        more = f" (and {len(found) - 1} more)" if found[1:] else ""
        yield Finding(
            "gitops-owner", Severity.BLOCK, f"{owner}: {found[0]}{more}", _REMEDIES[owner], _SOURCES[owner]
        )
