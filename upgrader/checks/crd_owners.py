"""Is the live definition ours to change? Definitions are shared by all of a cluster, and so are bundles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import definitions
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.rights import WRITE_DEFINITIONS

RULES: Mapping[str, str] = {
    "crd-owner": "A CRD that would change belongs to another Helm release or tool.",
    "crd-rights": "A CRD must be written before the second installation, and we may not write it.",
    "crd-bundle-older": "The chart has an older Gateway API bundle, or a lesser channel, than is live.",
}
_SHOWN = 5
ONLY_FOR = dict.fromkeys(("crd-rights",), ("canary", "blue_green"))


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
    names = definitions.to_apply(survey)
    missing = [one.key for one in WRITE_DEFINITIONS if not survey.rights.get(one.key, False)]
    if names and missing:
        yield Finding(
            "crd-rights",
            Severity.BLOCK,
            f"we may not: {', '.join(missing)}; to write: {', '.join(names[:_SHOWN])}",
            "grant them, or have the CRDs applied by who may, then plan again",
            "https://kubernetes.io/docs/reference/access-authn-authz/authorization/",
        )
