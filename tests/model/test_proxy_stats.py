from __future__ import annotations

import re

import pytest

from upgrader.model.proxy_stats import FILTER, Requests, read_stats, requests_of

RECORDED = b"""cluster_manager.active_clusters: 2
cluster.service|8080.update_rejected: 1
http.admin.downstream_rq_completed: 83
http.async-client.no_route: 4
http.ingress_http.downstream_rq_1xx: 2
http.ingress_http.downstream_rq_5xx: 14
http.ingress_http.downstream_rq_completed: 33
http.ingress_http.downstream_rq_response_before_rq_complete: 7
http.ingress_http.downstream_rq_rx_reset: 20
http.ingress_http.no_route: 3
http.ingress_http.rds.local_route.update_rejected: 2
http.ingress_http.rds.local_route.update_success: 5
listener_manager.lds.update_success: 1
listener_manager.total_listeners_active: 1
server.state: 0
server.uptime: 125
server.version: "text"
"""


def test_the_stats_of_an_envoy_are_read_and_its_own_prefixes_left_out() -> None:
    stats = read_stats(RECORDED)

    assert stats is not None
    assert stats.counters == {
        "http.ingress_http.downstream_rq_1xx": 2,
        "http.ingress_http.downstream_rq_5xx": 14,
        "http.ingress_http.downstream_rq_completed": 33,
        "http.ingress_http.downstream_rq_response_before_rq_complete": 7,
        "http.ingress_http.downstream_rq_rx_reset": 20,
        "http.ingress_http.no_route": 3,
    }
    assert stats.rejected == {"cluster.service|8080": 1, "http.ingress_http.rds.local_route": 2}
    assert stats.accepted == {"http.ingress_http.rds.local_route": 5, "listener_manager.lds": 1}
    assert (stats.uptime_seconds, stats.listeners, stats.clusters) == (125, 1, 2)
    assert stats.is_connected is None


def test_a_page_that_is_no_envoys_is_not_read_as_zeros() -> None:
    assert read_stats(b"<html>404: not found</html>") is None
    assert read_stats(b"") is None


PREFIX = "http.ingress_http."


@pytest.mark.parametrize(
    ("grew", "requests", "failures"),
    [
        pytest.param({"downstream_rq_completed": 1}, 1, 0, id="answered, a 404 of the app too"),
        pytest.param(
            {"downstream_rq_completed": 2, "downstream_rq_1xx": 1}, 1, 0, id="a 100-continue is no answer"
        ),
        pytest.param({"downstream_rq_completed": 1, "downstream_rq_5xx": 1}, 1, 1, id="503"),
        pytest.param({"downstream_rq_completed": 1, "no_route": 1}, 1, 1, id="404 without a route"),
        pytest.param({"downstream_rq_completed": 1, "downstream_rq_rx_reset": 1}, 1, 1, id="half an answer"),
        pytest.param({"downstream_rq_rx_reset": 1}, 1, 1, id="no answer at all"),
        pytest.param(
            {
                "downstream_rq_completed": 2,
                "downstream_rq_1xx": 1,
                "downstream_rq_5xx": 1,
                "downstream_rq_rx_reset": 1,
                "downstream_rq_response_before_rq_complete": 1,
            },
            1,
            1,
            id="503 before the request was read whole, counted once",
        ),
        pytest.param(
            {
                "downstream_rq_completed": 1,
                "downstream_rq_rx_reset": 1,
                "downstream_rq_response_before_rq_complete": 1,
            },
            1,
            0,
            id="401 before the request was read whole",
        ),
        pytest.param(
            {
                "downstream_rq_completed": 1,
                "downstream_rq_1xx": 1,
                "downstream_rq_response_before_rq_complete": 1,
                "downstream_cx_upgrades_total": 1,
            },
            0,
            0,
            id="a WebSocket opened",
        ),
        pytest.param(
            {"downstream_rq_rx_reset": 20, "downstream_cx_upgrades_ended": 20},
            0,
            0,
            id="WebSockets that were opened before ended",
        ),
        pytest.param({"downstream_cx_upgrades_total": 1}, 0, 0, id="a WebSocket not yet answered"),
        pytest.param(
            {
                "downstream_rq_rx_reset": 3,
                "downstream_cx_upgrades_ended": 2,
                "downstream_cx_upgrades_total": 5,
                "downstream_rq_completed": 9,
                "downstream_rq_1xx": 5,
                "downstream_rq_response_before_rq_complete": 5,
            },
            4,
            1,
            id="a request broken off among WebSockets that come and go",
        ),
    ],
)
def test_each_request_fails_once(grew: dict[str, int], requests: int, failures: int) -> None:
    counted = requests_of({PREFIX + name: value for name, value in grew.items()})

    assert (counted.requests, counted.failures) == (requests, failures)


def test_upgrades_that_ended_are_counted_from_two_numbers() -> None:
    """The one Envoy has of them is a gauge, and a gauge that falls is no growth."""
    of = "http.a.downstream_cx_upgrades"
    upgrades = f"{of}_total: 40\n{of}_active: 12\nserver.uptime: 5\n".encode()

    stats = read_stats(upgrades)

    assert stats
    assert stats.counters == {
        "http.a.downstream_cx_upgrades_total": 40,
        "http.a.downstream_cx_upgrades_ended": 28,
    }
    assert all(re.search(FILTER, line.partition(": ")[0]) for line in upgrades.decode().splitlines())


def test_prefixes_add_up() -> None:
    one, other = "http.a.b.downstream_rq_", "http.c.downstream_rq_"

    counted = requests_of({one + "completed": 5, other + "completed": 3, other + "5xx": 2})

    assert counted == Requests(8, 2)


@pytest.mark.parametrize("line", RECORDED.decode().splitlines())
def test_the_filter_asks_for_what_is_read_and_no_more(line: str) -> None:
    name = line.rpartition(": ")[0]

    assert bool(re.search(FILTER, name)) == (name not in ("server.state", "server.version"))
