"""The sizes a page of code may have, so that it can be read at 03:00."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.promises.sources import Function, Source, body_lines, code_lines, sources

BODY_LINES = 40
MODULE_LINES = 300
FLOW_LINES = 120
TEST_LINES = 400
"""A page of tests may hold longer tables."""
ARGUMENTS = 5
POSITIONAL = 4
NESTING = 3

_BLOCKS = ast.If | ast.For | ast.AsyncFor | ast.While | ast.Try | ast.Match


def _commands(source: Source) -> set[Function]:
    """Find the typer commands: their options are arguments, one each, and never called by position."""
    return {
        function
        for function in source.functions()
        for mark in function.decorator_list
        if isinstance(mark, ast.Call)
        and isinstance(mark.func, ast.Attribute)
        and mark.func.attr in {"command", "callback"}
    }


def _own_arguments(function: Function) -> tuple[list[ast.arg], list[ast.arg]]:
    """Return the positional and the keyword-only arguments, ``self`` and ``cls`` left out."""
    given = function.args
    positional = [arg for arg in (*given.posonlyargs, *given.args) if arg.arg not in {"self", "cls"}]
    return positional, given.kwonlyargs


def _named_functions(tree: ast.Module) -> Iterator[Function]:
    """Yield what others can call by name: public functions, and public methods of public classes."""
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
        for each in inner:
            if isinstance(each, Function) and not each.name.startswith("_"):
                yield each


def _depth(statements: list[ast.stmt]) -> int:
    return max((_depth_of(one) for one in statements), default=0)


def _depth_of(statement: ast.stmt) -> int:
    """Return how many decisions one statement nests; ``with`` decides nothing and adds none."""
    if isinstance(statement, ast.With | ast.AsyncWith):
        return _depth(statement.body)
    if not isinstance(statement, _BLOCKS):
        return 0
    if (
        isinstance(statement, ast.If)
        and len(statement.orelse) == 1
        and isinstance(statement.orelse[0], ast.If)
    ):
        return max(1 + _depth(statement.body), _depth_of(statement.orelse[0]))
    parts = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    parts += [branch.body for branch in getattr(statement, "handlers", [])]
    parts += [branch.body for branch in getattr(statement, "cases", [])]
    return 1 + max(_depth(part) for part in parts)


def _most_lines(path: str) -> int:
    if path.startswith("tests/"):
        return TEST_LINES
    return FLOW_LINES if path.startswith("upgrader/flow/") else MODULE_LINES


@pytest.mark.parametrize("folder", ["upgrader", "tests"])
def test_a_function_body_fits_on_a_screen(folder: str) -> None:
    long = [
        f"{source.place(function)} {function.name}: {body_lines(function)} lines"
        for source in sources(folder)
        for function in source.functions()
        if body_lines(function) > BODY_LINES
    ]

    assert not long


@pytest.mark.parametrize("folder", ["upgrader", "tests"])
def test_a_module_has_one_subject(folder: str) -> None:
    counted = {source.path: code_lines(source) for source in sources(folder)}

    large = {path: lines for path, lines in counted.items() if lines > _most_lines(path)}

    assert not large


def test_a_function_takes_few_arguments() -> None:
    """Records (dataclasses, pydantic models) have no written `__init__` and are free; so are commands."""
    many = [
        f"{source.place(function)} {function.name}: {sum(map(len, _own_arguments(function)))} arguments"
        for source in sources("upgrader")
        for function in set(source.functions()) - _commands(source)
        if sum(map(len, _own_arguments(function))) > ARGUMENTS
    ]

    assert not many


def test_arguments_that_could_be_swapped_are_named_at_the_call() -> None:
    """In what others call a flag is keyword-only, and no three positional arguments are of one type."""
    unclear = []
    for source in sources("upgrader"):
        for function in set(_named_functions(source.tree)) - _commands(source):
            positional, _ = _own_arguments(function)
            types = Counter(ast.unparse(arg.annotation) for arg in positional if arg.annotation)
            if types["bool"] or any(times > 2 for times in types.values()) or len(positional) > POSITIONAL:
                unclear.append(f"{source.place(function)} {function.name}: {dict(types)}")

    assert not unclear


def test_blocks_are_nested_three_deep_at_most() -> None:
    deep = [
        f"{source.place(function)} {function.name}: {_depth(function.body)} deep"
        for source in sources("upgrader")
        for function in source.functions()
        if _depth(function.body) > NESTING
    ]

    assert not deep


def test_the_ruler_itself_measures() -> None:
    """A ruler that always says "short" would keep every promise above."""
    body = "    if a:\n        for b in a:\n            pass\n    elif b:\n        pass\n"
    text = f'def f(a):\n    """Say."""\n{body}\n\n# x\n'
    tree = ast.parse(text)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)

    assert body_lines(function) == 5
    assert code_lines(Source("f.py", text, tree)) == 6
    assert _depth(function.body) == 2
