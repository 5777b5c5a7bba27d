"""What stands in front of a rehearsal: what is missing is said before anything starts, and words are one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from upgrader.errors import Refused
from upgrader.lab.front import traefik
from upgrader.lab.rehearse.access_logs import read_line
from upgrader.lab.rehearse.fronts import CLOUDS, require_front
from upgrader.lab.traffic.kinds import Kind
from upgrader.model.haproxy_pages import read_taken
from upgrader.model.lab_settings import Lab

METRICS = """\
# TYPE traefik_entrypoint_requests_total counter
traefik_entrypoint_requests_total{code="200",entrypoint="web",method="GET",protocol="http"} 1.2e+06
traefik_entrypoint_requests_total{code="401",entrypoint="web",method="GET",protocol="http"} 34
traefik_entrypoint_requests_total{code="200",entrypoint="traefik",method="GET",protocol="http"} 7
traefik_entrypoint_requests_tls_total{entrypoint="web"} 9
"""
STAT = "# pxname,svname,type,req_tot\nfront,FRONTEND,0,1234\ngateways,pod1,2,\ngateways,BACKEND,1,99\n"


def test_a_cloud_is_played_before_the_envoy_front_alone() -> None:
    with pytest.raises(ValidationError, match="leave front out"):
        Lab(front="haproxy", cloud="gcp")

    assert Lab(cloud="gcp").front == "envoy"


def test_gateway_api_without_its_definitions_starts_nothing(tmp_path: Path) -> None:
    """The lab has no network to fetch them from, and no Go is asked of anybody."""
    (tmp_path / "route.yaml").write_text("kind: HTTPRoute")

    with pytest.raises(Refused, match=r"standard-install\.yaml"):
        require_front(Lab(front="gateway_api", manifests=("route.yaml",)), tmp_path, kinds=[Kind.HTTP1])


def test_gateway_api_with_its_definitions_may_start(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(f"metadata: {{name: {traefik.ROUTES}}}")

    require_front(Lab(front="gateway_api", manifests=("all.yaml",)), tmp_path, kinds=[Kind.HTTP1])


def test_http2_needs_a_front_that_has_a_door_for_it(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"--traffic"):
        require_front(Lab(front="haproxy"), tmp_path, kinds=[Kind.HTTP1, Kind.H2])


def test_the_operators_own_credentials_are_never_sent_to_the_labs_aws() -> None:
    """Neither variables nor files nor a profile of theirs is looked at."""
    told = CLOUDS["aws"].environment

    assert {"AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} <= told.keys()


@pytest.mark.parametrize(
    ("line", "outcome", "answered"),
    [
        ('"DownstreamStatus":200,"origin_Server":"envoy","downstream_Server":"envoy"', "ok", True),
        ('"DownstreamStatus":503,"origin_Server":"envoy"', "http_503", True),
        ('"DownstreamStatus":502', "http_502", False),
        ('"DownstreamStatus":499', "broken", False),
        ('"DownstreamStatus":0', "broken", False),
    ],
    ids=["whole", "a gateway's own 503", "Traefik's own", "a client that left", "nothing at all"],
)
def test_a_line_of_traefiks_is_read_as_an_envoys(line: str, outcome: str, answered: bool) -> None:
    read = read_line("{" + line + ',"request_User-Agent":"upgrader-traffic","level":"info"}')

    assert read
    assert (read.agent, read.outcome, read.answered) == ("upgrader-traffic", outcome, answered)


def test_only_the_front_doors_requests_are_counted_of_traefiks_metrics() -> None:
    assert traefik.taken(METRICS) == 1_200_034


def test_gateways_are_counted_that_traefik_would_send_to() -> None:
    raw = '{"services": {"edge": {"serverStatus": {"http://10.0.0.1:8080": "UP", "b": "DOWN"}}, "api": {}}}'

    assert traefik.servers(raw) == 1
    assert traefik.servers("{}") == 0


def test_a_haproxys_front_door_is_told_from_its_backends() -> None:
    assert read_taken(STAT, "front") == 1234
    assert read_taken(STAT, "gateways") is None
