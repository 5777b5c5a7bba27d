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
_LISTENERS = "http_connection_manager"
_SOURCE = "https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/health_check_filter"


def check(survey: Survey) -> Iterator[Finding]:
    """Yield a finding where the drain needs the filter and nothing the chart renders holds it."""
    failing = [one.ref.name for one in on_data_path(survey) if _fails_health(one.planned)]
    if not failing or not detection(survey.playbook).asks_pods or _renders(survey, _FILTER):
        return
    words = (
        f"{', '.join(failing)}: preStop posts /healthcheck/fail, and {_FILTER} is nowhere in the new version"
    )
    if _renders(survey, _LISTENERS):
        remedy = "add it to the listener's filters, or the balancer never hears of the drain"
        yield Finding("health-filter-unseen", Severity.WARN, words, remedy, _SOURCE)
    else:
        remedy = "nothing, if it comes by xDS as the listeners do"
        yield Finding("health-filter-unseen", Severity.INFO, f"{words}, nor is any listener", remedy, _SOURCE)


def _renders(survey: Survey, text: str) -> bool:
    return any(manifests.mentions(one, text) for one in survey.new.objects)


def _fails_health(workload: Mapping[str, object]) -> bool:
    return any("healthcheck/fail" in one.text for one in manifests.pre_stops(workload))
