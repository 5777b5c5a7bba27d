"""Who may touch the world: adapters, the lab and the command line; nobody else."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest

from tests.promises.sources import ROOT, Source, dotted, imports, sources


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IMPURE_ROOMS = ("upgrader.adapters", "upgrader.lab", "upgrader.cli")
WORLD = _words(
    "aiohttp asyncio boto3 botocore concurrent ctypes fcntl getpass glob http httpx io kubernetes "
    "multiprocessing os platform platformdirs pty random requests resource secrets select selectors "
    "shutil signal socket socketserver ssl structlog subprocess sys tempfile tenacity threading time "
    "urllib3 uuid"
)
"""Modules by which a program reaches clocks, chance, files, processes, the network or another thread."""
PURE_ALLOWED = frozenset(sys.stdlib_module_names - WORLD) | {
    "jsonschema",  # of it only validators, given a schema without references
    "pydantic",
    "pydantic_core",
    "typing_extensions",
}
"""What the pure rooms may import besides themselves. `pathlib` is for its type; its acts are looked for."""
PURE_ROOMS = ("upgrader.model", "upgrader.flow.decide", "upgrader.strategies", "upgrader.checks")
ACTS = _words(
    "open print input exec eval breakpoint datetime.now datetime.utcnow datetime.today date.today "
    "Path.cwd Path.home datetime.datetime.now datetime.date.today"
)
PATH_ACTS = _words(
    "read_text read_bytes write_text write_bytes mkdir unlink rmdir rename iterdir rglob touch "
    "chmod stat exists is_file is_dir"
)
EXCEPTIONS = {
    # The wiring: where the environment and a run's id come from.
    "upgrader.context": frozenset({"secrets"}),
    "upgrader.flags": frozenset({"os"}),
    # It renders by structlog, into a stream that it is given.
    "upgrader.report.lines": frozenset({"structlog"}),
    # What it is for: to look at this machine.
    "upgrader.doctor": frozenset({"os", "platform", "shutil"}),
}
"""Module → what it imports of the world all the same; each with its reason beside it."""


def _is_in(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def _calls(source: Source) -> Iterator[ast.Call]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))


def _only_for_types(source: Source) -> set[ast.stmt]:
    """Return the imports under ``if TYPE_CHECKING:``; they do not happen."""
    return {
        each
        for node in ast.walk(source.tree)
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING")
        for each in node.body
    }


def test_only_adapters_lab_and_cli_import_what_touches_the_world() -> None:
    outside = [
        f"{source.place(node)} imports {name}"
        for source in sources("upgrader")
        if not _is_in(source.module, IMPURE_ROOMS)
        for name, node in imports(source)
        if name.split(".")[0] in WORLD - EXCEPTIONS.get(source.module, frozenset())
        and node not in _only_for_types(source)
    ]

    assert not outside


def test_the_exceptions_are_still_needed() -> None:
    used = {
        source.module: {name.split(".")[0] for name, _ in imports(source)} for source in sources("upgrader")
    }

    assert all(needed <= used[module] for module, needed in EXCEPTIONS.items())


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_a_pure_room_imports_nothing_that_can_touch_the_world(room: str) -> None:
    files = [source for source in sources("upgrader") if _is_in(source.module, (room,))]

    strange = [
        f"{source.place(node)} imports {name}"
        for source in files
        for name, node in imports(source)
        if name.split(".")[0] not in PURE_ALLOWED | {"upgrader", "__future__"}
    ]

    assert files
    assert not strange


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_a_pure_room_neither_reads_files_nor_clocks_nor_prints(room: str) -> None:
    acts = [
        f"{source.place(call)} calls {dotted(call.func)}"
        for source in sources("upgrader")
        if _is_in(source.module, (room,))
        for call in _calls(source)
        if dotted(call.func) in ACTS or (isinstance(call.func, ast.Attribute) and call.func.attr in PATH_ACTS)
    ]

    assert not acts


def test_only_the_command_line_and_the_lab_print_or_exit() -> None:
    loud = [
        f"{source.place(call)} calls {dotted(call.func)}"
        for source in sources("upgrader")
        if not _is_in(source.module, ("upgrader.lab", "upgrader.cli"))
        for call in _calls(source)
        if dotted(call.func) in {"print", "exit", "quit", "sys.exit", "os._exit", "SystemExit", "typer.Exit"}
    ]

    assert not loud


def test_nobody_asks_the_wall_clock_for_a_deadline() -> None:
    """`time.time` jumps: inside a process deadlines are monotonic."""
    asked = [
        source.place(call)
        for source in sources("upgrader")
        if not _is_in(source.module, ("upgrader.adapters.clock", "upgrader.lab"))
        for call in _calls(source)
        if dotted(call.func) == "time.time"
    ]

    assert not asked


def test_the_layers_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """The contracts of `.importlinter`: higher imports lower, plugin folders do not know each other."""
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    status = lint_imports(config_filename=str(ROOT / ".importlinter"), no_cache=True)

    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out
