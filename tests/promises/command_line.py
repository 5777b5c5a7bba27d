"""The command line's reference, read off the typer application."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from upgrader import cli
from upgrader.lab import commands


def command_line() -> str:
    """Return a section for every command, groups before what is in them."""
    parts = [("upgrader", cli.app), ("upgrader lab", commands.app)]
    return "\n\n".join(
        section for path, app in parts for section in _sections(typer.main.get_command(app), path)
    )


def _sections(command: Any, path: str) -> Iterator[str]:
    if command.hidden:
        return
    inner = getattr(command, "commands", {})
    named = [
        one for one in command.params if one.name not in {"help", "install_completion", "show_completion"}
    ]
    shown = [one for one in named if not getattr(one, "hidden", False)]
    lines = [f"## `{path}`" if inner else f"### `{path}`", "", _text(command.help)]
    if not inner:
        lines += ["", f"```text\n{path}{_usage(shown)}\n```"]
    if shown:
        lines += [
            "",
            "| option | meaning |",
            "|---|---|",
            *(f"| {_names(one)} | {_said(one)} |" for one in shown),
        ]
    yield "\n".join(lines)
    for name in sorted(inner):
        yield from _sections(inner[name], f"{path} {name}")


def _usage(params: list[Any]) -> str:
    named = [one for one in params if one.param_type_name == "argument"]
    options = " [OPTIONS]" if len(named) < len(params) else ""
    return options + "".join(f" {_metavar(one)}" if one.required else f" [{_metavar(one)}]" for one in named)


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper().replace("_", "-")) + ("..." if param.nargs == -1 else "")


def _names(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{_metavar(param)}`"
    value = "" if param.is_flag else f" {_metavar(param)}"
    return ", ".join(f"`{name}{value}`" for name in (*param.opts, *param.secondary_opts))


def _said(param: Any) -> str:
    """Return the option's help, with its default where that is a value worth reading."""
    said = _text(getattr(param, "help", "") or "").replace("|", "\\|")
    default = None if callable(param.default) else param.default
    if param.required:
        return f"{said} Required.".strip()
    shown = getattr(param, "show_default", True) and not getattr(param, "is_flag", False)
    if not shown or default in (None, "", (), []):
        return said
    return f"{said} Default: `{getattr(default, 'value', default)}`.".strip()


def _text(help_text: str | None) -> str:
    """Return help as one paragraph a blank line, without typer's marks."""
    text = re.split(r"\n?\f", help_text or "")[0]
    return "\n\n".join(re.sub(r"\s*\n\s*", " ", part).strip() for part in text.split("\n\n"))
