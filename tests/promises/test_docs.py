"""The docs agree with the code: what can be generated is, and what is named exists."""

from __future__ import annotations

import ast
import re

import pytest

from tests.promises.generated import PARTS, pages, renewed
from tests.promises.sources import ROOT, dotted, sources
from upgrader.model.phase import Phase, diagram

DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FILE = re.compile(r"`(\.ci/run|(?:upgrader|docs|tests|playbooks)/(?:[\w.-]+/)*(?:[\w-]+\.\w+)?)`")
_PLACEHOLDER = re.compile(r"/[A-Z]+\b")


@pytest.mark.parametrize("page", list(pages()))
def test_a_generated_part_is_as_the_code_has_it(page: str) -> None:
    was = (ROOT / page).read_text(encoding="utf-8")

    assert was == renewed(was), "write it anew: python -m tests.promises.generated"


def test_every_generated_part_has_a_place_in_the_docs() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCS)

    assert not [name for name in PARTS if f"<!-- begin {name} -->" not in text]


def _rules() -> set[str]:
    """Find the names that are given to facts: ``Fact(weight, "crash-loop", …)``."""
    calls = (
        call
        for source in sources("upgrader")
        for call in ast.walk(source.tree)
        if isinstance(call, ast.Call) and dotted(call.func) in {"Fact", "_fact"}
    )
    values = (arg.value for call in calls for arg in call.args if isinstance(arg, ast.Constant))
    return {value for value in values if isinstance(value, str) and re.fullmatch("[a-z-]+", value)}


def test_every_fact_is_in_the_docs_and_no_other() -> None:
    page = (ROOT / "docs" / "facts.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\| `([a-z-]+)`", page, re.MULTILINE)) == _rules()


def test_the_diagram_shows_every_phase() -> None:
    assert not [phase for phase in Phase if not re.search(rf"\b{phase.value}\b", diagram())]


def test_files_named_in_the_docs_exist() -> None:
    named = {(path.name, name) for path in DOCS for name in _FILE.findall(path.read_text(encoding="utf-8"))}

    gone = [
        (page, name)
        for page, name in sorted(named)
        if not _PLACEHOLDER.search(name) and not (ROOT / name).exists()
    ]

    assert not gone


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    assert not [path.name for path in DOCS[1:] if f": {path.name}" not in navigation]


def test_links_of_the_readme_lead_somewhere() -> None:
    """The docs tool checks the links of its own pages only."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", DOCS[0].read_text(encoding="utf-8"))

    assert links
    assert not [link for link in links if not (ROOT / link).exists()]
