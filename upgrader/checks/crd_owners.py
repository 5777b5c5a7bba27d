"""Is the live definition ours to change? Definitions are shared by all of a cluster, and so are bundles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import definitions
from upgrader.model.plugins import Finding, Severity, Survey

RULES: Mapping[str, str] = {
    "crd-owner": "A CRD that would change belongs to another Helm release or tool.",
    "crd-bundle-older": "The chart has an older Gateway API bundle, or a lesser channel, than is live.",
}


def check(survey: Survey) -> Iterator[Finding]:
    """Yield the definitions that would change and are somebody else's, or newer than the chart's."""
    for change in definitions.changes(survey):
        owner = definitions.other_owner(survey, change)
        if owner:
            yield Finding(
                "crd-owner",
                Severity.BLOCK,
                f"{change.ref} belongs to {owner}, and the chart has another",
                "have its owner upgrade it; waive when the new version works with the live one",
                "https://github.com/envoyproxy/gateway/issues/7582",
            )
        ahead = definitions.newer_bundle(change)
        if ahead:
            yield Finding(
                "crd-bundle-older",
                Severity.BLOCK,
                f"{change.ref}: {ahead}",
                "leave the newer one in place; waive when the new version works with it",
                "https://gateway-api.sigs.k8s.io/concepts/versioning/",
            )
