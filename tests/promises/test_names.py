"""Names say what a thing is; every public one has a docstring."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.promises.sources import ROOT, Function, Source, is_text, sources

VAGUE = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "shared", "base"}
SYNONYMS = re.compile(r"handle_|process_|do_[a-z]")
"""Prefixes that name no act; ``do_GET`` is the standard library's."""


def _public(source: Source) -> Iterator[ast.ClassDef | Function]:
    """Yield public classes, functions and methods; what is nested in a function is nobody's to call."""
    waiting: list[ast.stmt] = list(source.tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            waiting += node.body if isinstance(node, ast.ClassDef) else []


def _is_overload(node: ast.stmt) -> bool:
    marks = getattr(node, "decorator_list", [])
    return any(isinstance(mark, ast.Name) and mark.id in {"overload", "override"} for mark in marks)


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        source.path
        for source in sources("upgrader")
        if not source.tree.body or not is_text(source.tree.body[0])
    ]

    assert not silent


def test_every_public_name_has_a_docstring() -> None:
    silent = [
        f"{source.place(node)} {node.name}"
        for source in sources("upgrader")
        for node in _public(source)
        if not ast.get_docstring(node) and not _is_overload(node)
    ]

    assert not silent


def test_no_file_has_a_name_that_says_nothing() -> None:
    files = [path for folder in ("upgrader", "tests") for path in (ROOT / folder).rglob("*.py")]

    vague = [str(path) for path in files if VAGUE & set(re.split("[._-]", path.name.lower()))]

    assert not vague


def test_no_function_has_a_name_that_says_nothing() -> None:
    vague = [
        f"{source.place(function)} {function.name}"
        for source in sources("upgrader")
        for function in source.functions()
        if SYNONYMS.match(function.name.lstrip("_"))
    ]

    assert not vague


def test_no_class_is_a_manager() -> None:
    vague = [
        f"{source.place(node)} {node.name}"
        for source in sources("upgrader")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and re.search(r"Manager$|Helper$|Util", node.name)
    ]

    assert not vague
