from __future__ import annotations

import pytest

from upgrader.model.proxy_stats import Requests
from upgrader.model.reading import Weight
from upgrader.model.route_loss import RouteLoss

USUAL = Requests(100, no_route=1)


def weights(*looks: Requests) -> list[Weight]:
    loss = RouteLoss()
    for one in looks:
        loss = loss.look(one)
    return [fact.weight for fact in loss.facts()]


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        pytest.param([USUAL] * 9, [], id="as usual"),
        pytest.param([USUAL, Requests(100, no_route=90)], [], id="one look may be a scanner"),
        pytest.param([USUAL] + [Requests(100, no_route=90)] * 2, [Weight.BREACH], id="most requests"),
        pytest.param([USUAL] + [Requests(100, no_route=10)] * 2, [Weight.HOLD], id="some requests"),
        pytest.param([USUAL] + [Requests(100, no_route=3)] * 9, [], id="a little more than usual"),
        pytest.param([Requests(100, no_route=90)] * 9, [], id="it was always so"),
        pytest.param([USUAL] + [Requests(2, no_route=2)] * 3, [], id="too few requests to tell"),
        pytest.param([USUAL] + [Requests(2, no_route=2)] * 10, [Weight.BREACH], id="few, but enough by now"),
        pytest.param(
            [USUAL, Requests(100, no_route=90), Requests(), Requests(100, no_route=90)],
            [Weight.BREACH],
            id="a look without requests says nothing",
        ),
        pytest.param([USUAL] + [Requests(100, no_route=90)] * 9 + [USUAL], [], id="the routes are back"),
        pytest.param([USUAL] + [Requests(100, server_errors=90)] * 9, [], id="an upstream that fails"),
    ],
)
def test_routes_lost_on_old_proxies(looks: list[Requests], expected: list[Weight]) -> None:
    assert weights(*looks) == expected


def test_the_fact_has_the_numbers() -> None:
    loss = RouteLoss().look(USUAL).look(Requests(50, no_route=50)).look(Requests(50, no_route=50))

    (fact,) = loss.facts()

    assert "100% of their requests (100 of 100; before 1.00%)" in fact.text
