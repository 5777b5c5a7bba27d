"""Logs: one event a line, secrets in none."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from upgrader.adapters.log import configure
from upgrader.adapters.redaction import Redactor, forms_of


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_events_are_json_lines_without_secrets() -> None:
    stream, redactor = io.StringIO(), Redactor(["hunter2!"])
    configure(stream, redactor=redactor, json=True)
    log = structlog.get_logger().bind(run="r-1")

    log.info("step.applied", argv=["helm", "--x=hunter2!"], nested={"hunter2!": 1}, waited_seconds=3)
    redactor.add("learnt later")
    log.warning("learnt later", raw=b"hunter2!")
    log.debug("unseen")

    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("at").endswith("Z")
    assert first == {
        "event": "step.applied",
        "level": "info",
        "run": "r-1",
        "argv": ["helm", "--x=***"],
        "nested": {"***": 1},
        "waited_seconds": 3,
    }
    assert (second["event"], second["raw"]) == ("***", "***")


def test_an_exceptions_text_is_masked_too() -> None:
    stream = io.StringIO()
    configure(stream, redactor=Redactor(["hunter2!"]), json=True)

    try:
        raise ValueError("cannot use hunter2!")
    except ValueError:
        structlog.get_logger().exception("run.failed")

    assert "hunter2!" not in stream.getvalue()
    assert "cannot use ***" in stream.getvalue()


def test_a_console_line_is_plain_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    configure(stream, redactor=Redactor(["hunter2!"]), json=False)

    structlog.get_logger().info("step.applied", value="hunter2!")

    assert "\x1b" not in stream.getvalue()
    assert "step.applied" in stream.getvalue()
    assert "hunter2!" not in stream.getvalue()


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("hunter2!", "hunter2!"),
        ("hunter2!", "aHVudGVyMiE="),
        ("hunter2!", "aHVudGVyMiE"),
        ('say "x"\n', r"say \"x\"\n"),
        ("a b/c&d", "a%20b%2Fc%26d"),
        ("first line\nsecond line\n", "  second line"),
    ],
)
def test_every_usual_form_is_masked(secret: str, text: str) -> None:
    assert "***" in Redactor([secret]).text(f"<{text}>")
    assert text.strip() not in Redactor([secret]).text(f"<{text}>")


def test_a_short_secret_goes_only_where_it_stands_alone() -> None:
    redactor = Redactor(["1", ""])

    assert redactor.text("1 of 100 (1)") == "*** of 100 (***)"


def test_the_longer_secret_is_masked_first() -> None:
    assert Redactor(["secret", "secret-tail"]).text("secret-tail secret") == "*** ***"


def test_the_values_of_a_kubernetes_secret_are_masked() -> None:
    redactor = Redactor()
    redactor.add_kubernetes_secret({"kind": "ConfigMap", "data": {"a": "public"}})
    redactor.add_kubernetes_secret(
        {
            "kind": "Secret",
            "data": {"a": "aHVudGVyMg==", "b": "/w==", "c": None},
            "stringData": {"d": "plain-word"},
        }
    )

    assert redactor.text("public hunter2 /w== plain-word") == "public *** *** ***"


def test_no_form_is_forgotten() -> None:
    assert list(forms_of("abcd")) == ["abcd", "abcd", "YWJjZA==", "YWJjZA", "abcd", "abcd"]
