"""The tests keep rules too: fakes are passed in, nothing sleeps, and a name is a sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.promises.sources import Function, Source, dotted, imports, sources

WORLDLY = ("tests/e2e/", "tests/benchmarks/", "tests/promises/", "tests/adapters/")
"""Tests that may run programs and wait for them; adapters are the edge itself, tried on loopback."""
NETWORK = frozenset({"socket", "socketserver", "http.server", "requests", "urllib.request"})


def _unit_tests() -> Iterator[Source]:
    return (source for source in sources("tests") if not source.path.startswith(WORLDLY))


def _calls(source: Source) -> Iterator[tuple[str, ast.Call]]:
    return ((dotted(node.func), node) for node in ast.walk(source.tree) if isinstance(node, ast.Call))


def _tests(source: Source) -> Iterator[Function]:
    return (function for function in source.functions() if function.name.startswith("test"))


def test_nothing_is_patched() -> None:
    """A fake is passed in; `monkeypatch` is for environment variables and the working folder."""
    patched = [
        f"{source.place(node)} imports {name}"
        for source in sources("tests")
        for name, node in imports(source)
        if name.startswith(("unittest.mock", "mock", "pytest_mock"))
    ]
    patched += [
        f"{source.place(call)} calls {name}"
        for source in sources("tests")
        for name, call in _calls(source)
        if name.startswith(("monkeypatch.setattr", "monkeypatch.setitem", "mocker."))
    ]

    assert not patched


def test_a_unit_test_never_sleeps() -> None:
    asleep = [
        source.place(call)
        for source in _unit_tests()
        for name, call in _calls(source)
        if name in {"time.sleep", "sleep"}
        or (name == "asyncio.sleep" and ast.unparse(call.args[0]) not in {"0", "0.0"})
    ]

    assert not asleep


def test_a_unit_test_opens_no_socket() -> None:
    opened = [
        f"{source.place(node)} imports {name}"
        for source in _unit_tests()
        for name, node in imports(source)
        if any(name == each or name.startswith(f"{each}.") for each in NETWORK)
    ]

    assert not opened


def test_a_test_is_named_by_a_sentence() -> None:
    """Three words at least: ``test_brake`` names a subject, ``test_a_brake_stays_on`` says what holds."""
    short = [
        f"{source.place(function)} {function.name}"
        for source in sources("tests")
        for function in _tests(source)
        if len(function.name.removeprefix("test_").split("_")) < 3
    ]

    assert not short
