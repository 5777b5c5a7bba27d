"""The front balancer as a HAProxy: what it is told, and what its log says; the program: tests/e2e."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from upgrader.lab.front.bootstrap import Address
from upgrader.lab.front.haproxy_setup import BLUE, SLOTS, HaproxyFront, Slots, as_json, told
from upgrader.lab.rehearse.access_logs import Line, read_line

A, B = Address("10.244.0.5", 8080), Address("10.244.0.6", 8080)


def line(state: str, code: int = 200, server: str = "pod1") -> str:
    """Return a request as HAProxy 2.6.12 logs it by the front's format."""
    said: dict[str, Any] = {
        "at": "1795518308.939", "path": "/a", "code": code, "state": state, "milliseconds": 3,
        "gateway": "10.244.0.5:8080", "server": server, "agent": "upgrader-traffic", "id": "i",
    }  # fmt: skip
    return json.dumps(said) + "\n"


def test_a_new_gateway_is_down_until_its_first_check() -> None:
    assert Slots(BLUE).commands([A]) == [
        "set server gateways/pod1 addr 10.244.0.5 port 8080",
        "set server gateways/pod1 state ready",
        "set server gateways/pod1 health down",
    ]


def test_a_gateway_that_stays_is_left_alone_and_a_place_is_used_again() -> None:
    slots = Slots(BLUE)
    slots.commands([A, B])

    assert slots.commands([B]) == ["set server gateways/pod1 state maint"]
    assert slots.commands([B]) == []
    assert slots.commands([A, B])[0] == "set server gateways/pod1 addr 10.244.0.5 port 8080"


def test_after_a_failure_every_place_is_emptied_first() -> None:
    slots = Slots(BLUE)
    slots.commands([A, B])

    slots.forget()
    commands = slots.commands([B])

    assert commands[:SLOTS] == [f"set server gateways/pod{at} state maint" for at in range(1, SLOTS + 1)]
    assert commands[SLOTS] == "set server gateways/pod1 addr 10.244.0.6 port 8080"


def test_more_gateways_than_places_are_an_error() -> None:
    with pytest.raises(ValueError, match="more than 64 gateways"):
        Slots(BLUE).commands(Address("10.244.0.5", port) for port in range(1, SLOTS + 2))


@pytest.mark.parametrize(
    ("logged", "outcome", "flags", "answered"),
    [
        pytest.param(line("----"), "ok", "-", True, id="answered"),
        pytest.param(line("----", 503), "http_503", "-", True, id="answered 503 by the gateway"),
        pytest.param(line("SC--", 503, "<NOSRV>"), "http_503", "UH", False, id="no gateway is up"),
        pytest.param(line("SC--", 503), "http_503", "UF", False, id="the connection was refused"),
        pytest.param(line("sC--", 503), "http_503", "UF", False, id="nor opened in time"),
        pytest.param(line("SH--", 502), "http_502", "UC", False, id="broken off before an answer"),
        pytest.param(line("sH--", 504), "http_504", "UT", False, id="no answer in time"),
        pytest.param(line("SD--"), "broken", "UPE", False, id="half an answer"),
        pytest.param(line("PH--", 502), "broken", "UPE", False, id="no HTTP"),
        pytest.param(line("CD--"), "broken", "DC", False, id="the client left"),
        pytest.param(line("CR--", -1, "<NOSRV>"), "broken", "DC", False, id="before its request was whole"),
    ],
)
def test_a_request_is_told_as_the_other_front_tells_it(
    logged: str, outcome: str, flags: str, answered: bool
) -> None:
    request = told(logged)

    assert request is not None
    assert request["flags"] == flags
    failed = outcome == "broken" or outcome.startswith("http_5")
    assert read_line(as_json(request)) == Line("", "upgrader-traffic", outcome, failed, answered)


@pytest.mark.parametrize("other", ["Server gateways/pod1 is DOWN.\n", "{", "[]", "7", "null", "{}"])
def test_a_notice_is_no_request(other: str) -> None:
    assert told(other) is None


def test_it_never_retries_and_checks_each_gateway() -> None:
    text = HaproxyFront(Address("127.0.0.1", 8080), Path("/front")).configuration()

    assert "    retries 0\n" in text
    assert text.count("    http-check send meth GET uri /envoy-hc ver HTTP/1.1 hdr host front\n") == 2
    assert f"server-template pod 1-{SLOTS} 127.0.0.1:1 check inter 1000ms fall 2 rise 1 disabled" in text
