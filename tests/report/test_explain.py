"""Every verdict derived again, and what was tampered with found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.report.journals import bad, blind, told
from tests.scenario.stage import Stage
from upgrader.errors import JournalDamaged
from upgrader.model.record import Record
from upgrader.report.explain import explain_body, explain_text

Lines = list[Mapping[str, Any]]


def rechained(lines: Lines) -> Lines:
    """Return changed lines with a chain that holds again, as someone would who knows how."""
    mended: Lines = []
    for number, line in enumerate(lines):
        before = Record.from_line(mended[-1]).digest() if mended else ""
        mended.append({**line, "seq": number, "prev": before})
    return mended


def changed(
    lines: Lines, kind: str, change: Callable[[dict[str, Any]], dict[str, Any]], *, last: bool = False
) -> Lines:
    """Return the lines with the body of the first (or last) record of a kind changed."""
    numbers = [number for number, line in enumerate(lines) if line["kind"] == kind]
    number = numbers[-1 if last else 0]
    body = change(dict(lines[number]["body"]))
    return [*lines[:number], {**lines[number], "body": body}, *lines[number + 1 :]]


@pytest.mark.parametrize("make", [told, lambda: told(bad), lambda: told(blind)], ids=["good", "bad", "blind"])
def test_an_honest_journal_explains_itself(make: Callable[[], Stage]) -> None:
    text, equal = explain_text(make().journal.lines)

    assert equal
    assert text.endswith("all equal (rule 1, odds of 1,000 to 1 roll back)")
    assert "DIFFERENT" not in text


def test_a_verdict_is_shown_with_its_numbers() -> None:
    """Requests and failures of both sides, the evidence, and the reasons."""
    text, _ = explain_text(told(bad).journal.lines)
    block = next(each for each in text.split("\n\n") if "→ held" in each)

    assert "13:46:50Z  observing  step 4/6 roll proxies 1/2" in block
    assert "envoy_stats: new 200 of 1,000 failed, old 0 of 9,000, E 25 at weight 1.00" in block
    assert "last 1.0 s: new 100 of 100 failed, old 0 of 900" in block
    assert "verdict: too little → held, E 25" in block
    assert "because odds of 25 to 1" in block
    assert block.endswith("derived again: equal")


TAMPERED: dict[str, Callable[[Lines], Lines]] = {
    "a kinder verdict": lambda lines: changed(
        lines, "verdict", lambda body: {**body, "verdict": "pass"}, last=True
    ),
    "another reason": lambda lines: changed(
        lines, "verdict", lambda body: {**body, "reasons": ["all is well"]}
    ),
    "a smaller evidence": lambda lines: changed(
        lines, "verdict", lambda body: {**body, "evidence": 0.5}, last=True
    ),
    "failures taken out of a reading": lambda lines: [
        {**line, "body": {**line["body"], "counts": {**line["body"]["counts"], "new_failures": 0}}}
        if line["kind"] == "reading" and line["body"].get("counts", {}).get("new_failures")
        else line
        for line in lines
    ],
    "a verdict taken out": lambda lines: [
        line for line in lines if line["kind"] != "verdict" or line["body"]["event"] != "breached"
    ],
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_tampered_journal_is_found_though_its_chain_holds(tamper: Callable[[Lines], Lines]) -> None:
    """The hashes protect from accidents; the numbers protect from people."""
    lines = rechained(tamper(told(bad).journal.lines))

    text, equal = explain_text(lines)

    assert not equal
    assert "derived again: DIFFERENT" in text
    assert "DIFFERENT from what the readings before give" in text.splitlines()[-1]


def test_a_tampered_journal_whose_chain_broke_is_damaged() -> None:
    lines = TAMPERED["a kinder verdict"](told(bad).journal.lines)

    with pytest.raises(JournalDamaged, match="changed or cut"):
        explain_text(lines)


def test_the_json_form_has_the_same_numbers() -> None:
    body, equal = explain_body(told(bad).journal.lines)
    held = next(one for one in body["verdicts"] if one["said"]["event"] == "held")

    assert equal is body["all_equal"] is True
    assert (held["signals"]["envoy_stats"]["n"], held["signals"]["envoy_stats"]["k"]) == (1000, 200)
    assert (held["signals"]["envoy_stats"]["m"], held["signals"]["envoy_stats"]["j"]) == (9000, 0)
    assert held["said"] == held["derived"]
    assert json.loads(json.dumps(body, allow_nan=False)) == body
