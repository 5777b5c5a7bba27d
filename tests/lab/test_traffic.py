"""The load generator's account, its limits and its schedule."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from upgrader.errors import PlaybookInvalid
from upgrader.lab.traffic import Load, Tally, Target, outcome
from upgrader.lab.traffic.latencies import Latencies
from upgrader.lab.traffic.load import read_keys, requests_with_keys
from upgrader.lab.traffic.tally import AccountError

TARGET = Target("127.0.0.1", 8080, "/")


def load(*, rate: float = 1_000.0, seconds: float = 10.0) -> Load:
    return Load(TARGET, rate, seconds, (b"GET / HTTP/1.1\r\n\r\n",))


@pytest.mark.parametrize(
    ("elapsed_seconds", "due"),
    [(-0.1, 0), (0.0, 1), (0.0009, 1), (0.001, 2), (5.0, 5_001), (9.9999, 10_000), (60.0, 10_000)],
)
def test_requests_are_due_by_the_clock_and_never_more_than_the_load(elapsed_seconds: float, due: int) -> None:
    """A late look sends all that was missed; the total is never exceeded."""
    assert load().due(elapsed_seconds) == due


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [
        (0.0, 1.0),
        (-1.0, 1.0),
        (10_001.0, 1.0),
        (1.0, 0.0),
        (1.0, 1e9),
        (10_000.0, 14_400.0),
        (float("nan"), 1.0),
    ],
)
def test_a_load_beyond_its_limits_is_refused(rate: float, seconds: float) -> None:
    """Rate, duration and their product are bounded."""
    with pytest.raises(PlaybookInvalid):
        load(rate=rate, seconds=seconds)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.9:80/", "http://localhost/x", "http://[::1]:8080/", "http://10.244.3.7:8080/"]
)
def test_an_address_of_the_machine_or_the_room_is_taken(url: str) -> None:
    """Loopback, and the room's pod, Service and LoadBalancer ranges."""
    assert Target.parse(url).port in (80, 8080)


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.1/", "http://10.1.0.1/", "http://example.com/", "https://192.0.2.1/", "127.0.0.1:80"],
)
def test_load_on_anybody_else_is_refused(url: str) -> None:
    """A name could resolve to anywhere, so names are refused too."""
    with pytest.raises(PlaybookInvalid):
        Target.parse(url)


def test_path_and_query_are_kept() -> None:
    """The request line is what the URL says."""
    target = Target.parse("http://127.0.0.1:8080/orders?size=2")

    (request,) = requests_with_keys(target, header="x-api-key", keys=())

    assert request.startswith(b"GET /orders?size=2 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n")
    assert b"x-api-key" not in request


def test_each_key_makes_its_own_request(tmp_path: Path) -> None:
    """Keys are read one a line and sent in the header."""
    file = tmp_path / "keys"
    file.write_text("first\n\nsecond\n")

    requests = requests_with_keys(TARGET, header="x-api-key", keys=read_keys(file))

    assert [b"x-api-key: first\r\n" in requests[0], b"x-api-key: second\r\n" in requests[1]] == [True, True]


@pytest.mark.parametrize("content", ["", "\n\n", "a\tb\n", "schlüssel\n"])
def test_keys_that_would_break_the_header_are_refused(tmp_path: Path, content: str) -> None:
    """An empty file would send load without a key, silently."""
    file = tmp_path / "keys"
    file.write_text(content)

    with pytest.raises(PlaybookInvalid):
        read_keys(file)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    """The operator is told which file."""
    with pytest.raises(PlaybookInvalid, match="nokeys"):
        read_keys(tmp_path / "nokeys")


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), "refused"),
        (ConnectionResetError(errno.ECONNRESET, ""), "reset"),
        (BrokenPipeError(errno.EPIPE, ""), "reset"),
        (OSError(errno.ENETUNREACH, ""), "unreachable"),
        (TimeoutError(errno.ETIMEDOUT, ""), "timeout"),
        (OSError(errno.EMFILE, ""), "error_emfile"),
        (OSError("no number"), "error_unknown"),
    ],
)
def test_each_error_has_one_class(error: OSError, name: str) -> None:
    """An error nobody thought of is a class of its own, never dropped."""
    assert outcome.of_error(error) == name


def test_sent_is_the_sum_of_the_classes_and_what_is_in_flight() -> None:
    """The account of a load."""
    tally = Tally()
    for _ in range(5):
        tally.start()
    for name in ("ok", "http_503", "reset", "ok"):
        tally.end(name, latency_seconds=0.01)

    total = tally.total()

    assert (total.sent, total.ok, total.failed, total.in_flight) == (5, 2, 2, 1)
    assert total.failures == {"http_503": 1, "reset": 1}


def test_a_page_tells_its_own_second_only() -> None:
    """Progress records must add up to the summary."""
    tally = Tally()
    tally.start()
    tally.end("ok", latency_seconds=0.01)
    tally.turn_page()
    tally.start()
    tally.end("reset", latency_seconds=0.01)

    page = tally.turn_page()

    assert (page.sent, page.ok, page.failures) == (1, 0, {"reset": 1})
    assert tally.total().sent == 2


def test_an_end_without_a_start_is_no_account() -> None:
    """Counting twice is a fault of the tool and must not pass."""
    with pytest.raises(AccountError):
        Tally().end("ok", latency_seconds=0.01)


def test_only_good_answers_have_a_latency() -> None:
    """A fast refusal must not make the gateway look fast."""
    tally = Tally()
    tally.start()
    tally.end("refused", latency_seconds=0.0001)

    assert tally.total().p99_seconds is None


def test_quantiles_are_right_to_one_per_cent() -> None:
    """Half and 99 of 100."""
    latencies = Latencies()
    for milliseconds in range(1, 1_001):
        latencies.add(milliseconds / 1_000)

    assert latencies.quantile_seconds(0.50) == pytest.approx(0.500, rel=0.011)
    assert latencies.quantile_seconds(0.99) == pytest.approx(0.990, rel=0.011)


def test_no_latency_is_no_quantile() -> None:
    """Nothing measured is not zero."""
    assert Latencies().quantile_seconds(0.5) is None
