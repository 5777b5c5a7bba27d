"""Does the listener answer the balancer's health check, and can it say that it is leaving?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from upgrader.model import manifests
from upgrader.model.detection import detection
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.subjects import on_data_path

RULES: Mapping[str, str] = {
    "health-filter-unseen": "preStop fails Envoy's health check, and no health-check filter is rendered."
}

_FILTER = "envoy.filters.http.health_check"
_SOURCE = "https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/health_check_filter"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield a finding where the drain needs the filter and nothing the chart renders holds it."""
    failing = [one.ref.name for one in on_data_path(survey) if _fails_health(one.planned)]
    noticed = detection(survey.playbook)
    if (
        not failing
        or not noticed.asks_pods
        or any(manifests.mentions(one, _FILTER) for one in survey.new.objects)
    ):
        return
    yield Finding(
        "health-filter-unseen",
        Severity.WARN,
        f"{', '.join(failing)}: preStop posts /healthcheck/fail, and no object of the new version "
        f"mentions {_FILTER}",
        "see that the listener has it (it may come by xDS), or the balancer never hears of the drain",
        _SOURCE,
    )


def _fails_health(workload: Mapping[str, object]) -> bool:
    return any("healthcheck/fail" in one.text for one in manifests.pre_stops(workload))
