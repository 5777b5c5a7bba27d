"""How a playbook writes times, ratios, rates and batches."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest

from upgrader.model.units import (
    DURATION_PATTERN,
    RATE_PATTERN,
    RATIO_PATTERN,
    Share,
    batch_targets,
    format_duration,
    format_rate,
    format_ratio,
    parse_batch,
    parse_duration,
    parse_rate,
    parse_ratio,
    require_growing,
)


@pytest.mark.parametrize(
    ("text", "seconds", "canonical"),
    [
        ("2m", 120, "2m"),
        ("500ms", 0.5, "500ms"),
        ("90s", 90, "1m30s"),
        ("1h30m", 5400, "1h30m"),
        ("1.5s", 1.5, "1s500ms"),
        ("30d", 2_592_000, "30d"),
    ],
)
def test_a_duration_is_read_and_written_back(text: str, seconds: float, canonical: str) -> None:
    """The canonical form reads as the same time, and the schema's pattern takes both."""
    value = parse_duration(text)

    assert value.total_seconds() == seconds
    assert format_duration(value) == canonical
    assert parse_duration(canonical) == value
    assert re.search(DURATION_PATTERN, text)
    assert re.search(DURATION_PATTERN, canonical)


@pytest.mark.parametrize(
    "value", ["2", 2, 2.5, None, True, "", "m", "2 m", "2M", "-2m", "2w", "1e3s", "2m\n"]
)
def test_a_duration_without_its_unit_is_refused(value: object) -> None:
    """And so is everything else that could be read in two ways."""
    with pytest.raises(ValueError, match="with its unit"):
        parse_duration(value)


@pytest.mark.parametrize("value", ["0s", "0m0ms", "0.0001ms", "31d", "999999999999999999d", timedelta(0)])
def test_a_duration_of_nothing_or_for_ever_is_refused(value: object) -> None:
    """Zero has no second meaning such as "no limit"."""
    with pytest.raises(ValueError, match=r"above zero|longer than 30d"):
        parse_duration(value)


def test_a_timedelta_is_a_duration_already() -> None:
    """So that code can build a playbook too."""
    assert parse_duration(timedelta(seconds=3)) == timedelta(seconds=3)


@pytest.mark.parametrize(("text", "ratio"), [("0.1%", 0.001), ("5%", 0.05), ("100%", 1.0), ("0%", 0.0)])
def test_a_ratio_is_read_and_written_back(text: str, ratio: float) -> None:
    """Percent outside, 0-1 inside."""
    assert parse_ratio(text) == ratio
    assert format_ratio(ratio) == text
    assert re.search(RATIO_PATTERN, text)


@pytest.mark.parametrize("value", [0.1, 5, "0.1", "5 %", "-1%", "%", None, "100.1%"])
def test_a_ratio_without_its_percent_sign_or_above_all_is_refused(value: object) -> None:
    """0.1 may mean a tenth or a thousandth."""
    with pytest.raises(ValueError, match=r"percent|above 100"):
        parse_ratio(value)


@pytest.mark.parametrize(
    ("text", "a_second", "canonical"),
    [("10/s", 10, "10/s"), ("30/m", 0.5, "0.5/s"), ("1/m", 1 / 60, "1/m"), ("7/h", 7 / 3600, "7/h")],
)
def test_a_rate_is_read_and_written_back(text: str, a_second: float, canonical: str) -> None:
    """Requests a second inside."""
    assert parse_rate(text) == pytest.approx(a_second)
    assert format_rate(parse_rate(text)) == canonical
    assert parse_rate(canonical) == pytest.approx(a_second)
    assert re.search(RATE_PATTERN, canonical)


@pytest.mark.parametrize("value", [10, "10", "0/s", "-1/s", "10/d", "10 / s", None])
def test_a_rate_without_its_unit_or_of_nothing_is_refused(value: object) -> None:
    """A probe that is never sent proves nothing."""
    with pytest.raises(ValueError, match=r"with its unit|above zero"):
        parse_rate(value)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "1", "0%", "101%", None, "ten"])
def test_a_batch_that_is_no_number_of_pods_is_refused(value: object) -> None:
    """Whole pods, or a share above nothing and at most all."""
    with pytest.raises(ValueError, match=r"pod|%"):
        parse_batch(value)


def batches(*values: object) -> tuple[int | Share, ...]:
    return tuple(parse_batch(value) for value in values)


@pytest.mark.parametrize(
    ("values", "total", "targets"),
    [
        pytest.param((1, "10%", "50%", "100%"), 20, (1, 2, 10, 20), id="the-usual"),
        pytest.param((1, "10%", "50%", "100%"), 3, (1, 2, 3), id="same-number-once"),
        pytest.param((1, "10%", "50%", "100%"), 1, (1,), id="one-pod"),
        pytest.param((1, "100%"), 0, (), id="no-pods"),
        pytest.param(("7%", "100%"), 100, (7, 100), id="exact-not-8"),
        pytest.param(("33%", "100%"), 10, (4, 10), id="rounded-up"),
        pytest.param((5, "50%", "100%"), 4, (2, 4), id="never-a-larger-step-than-any-asked-for"),
        pytest.param((10, "100%"), 4, (4,), id="more-than-there-are"),
        pytest.param(("0.1%", "100%"), 300, (1, 300), id="a-share-is-at-least-a-pod"),
    ],
)
def test_batches_grow_to_all_pods(values: tuple[object, ...], total: int, targets: tuple[int, ...]) -> None:
    """How many pods are new after each batch."""
    assert batch_targets(batches(*values), total) == targets


@pytest.mark.parametrize(
    ("values", "why"),
    [
        pytest.param((1, 10, 5, "100%"), "larger", id="counts-shrink"),
        pytest.param((1, 1, "100%"), "larger", id="counts-stand"),
        pytest.param(("50%", "10%", "100%"), "larger", id="shares-shrink"),
        pytest.param(("10%", 5, "100%"), "before shares", id="mixed"),
        pytest.param((1, "50%"), "100%", id="stops-short"),
        pytest.param((1, 10), "100%", id="no-share"),
        pytest.param((), "100%", id="none"),
    ],
)
def test_batches_that_do_not_grow_to_all_are_refused(values: tuple[object, ...], why: str) -> None:
    """Their order must not depend on how many pods there are."""
    with pytest.raises(ValueError, match=why):
        require_growing(batches(*values))


def test_a_share_is_written_as_in_the_playbook() -> None:
    """Without trailing zeros, without exponents."""
    assert [str(Share(Decimal(percent))) for percent in ("10.0", "100", "0.1")] == ["10%", "100%", "0.1%"]
