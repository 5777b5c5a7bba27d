"""``upgrader lab``: build the lab's binary, make rooms, work in them, end them.

Nothing heavy is imported before a command runs, so that ``--help`` stays fast.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from upgrader.lab.progress import Progress, Tell
    from upgrader.lab.room import RoomStatus

app = typer.Typer(help="A real Kubernetes in a room of its own, on this machine.", no_args_is_help=True)

Name = Annotated[str, typer.Option("--name", help="The room's name; several live side by side.")]


class Output(StrEnum):
    """How a command prints what it found."""

    TEXT = "text"
    JSON = "json"


@app.command()
def build(
    wheel: Annotated[
        Path | None,
        typer.Option("--wheel", file_okay=False, help="Also pack the binary as a wheel into this folder."),
    ] = None,
) -> None:
    """Build the lab's binary into your cache (about 7 minutes on 2 cores), or find it there."""
    from upgrader.lab import build as building

    with _progress() as tell:
        binary = building.ensure(tell)
    typer.echo(binary)
    if wheel:
        from upgrader.lab import wheel as packing

        typer.echo(packing.pack(binary, folder=wheel))


@app.command()
def up(
    name: Name = "lab",
    nodes: Annotated[int, typer.Option("--nodes", min=1, max=9, help="How many nodes.")] = 1,
    images: Annotated[
        Path | None,
        typer.Option("--images", exists=True, dir_okay=False, help="YAML: image prefix → {run: …}."),
    ] = None,
    standin: Annotated[
        bool, typer.Option("--standin", help="Let a stand-in serve for every image that is in no table.")
    ] = False,
) -> None:
    """Make a room and keep it until 'upgrader lab down'."""
    from upgrader.lab.room import Room

    began = time.monotonic()
    with _progress() as tell:
        room = Room.up(name, nodes=nodes, images=_images(images, standin=standin), owned=False, tell=tell)
    which = "" if name == "lab" else f" --name {name}"
    typer.echo(f"room '{room.name}' is up after {time.monotonic() - began:.1f} s; work in it with")
    typer.echo(f"  upgrader lab exec{which} -- kubectl get nodes")
    typer.echo(f"  upgrader lab shell{which}")
    typer.echo(f"  upgrader lab down{which}")


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    command: Annotated[list[str], typer.Argument(help="Program and arguments, after --.")], name: Name = "lab"
) -> None:
    """Run a program inside a room; its exit status becomes ours."""
    _become(name, command)


@app.command()
def shell(name: Name = "lab") -> None:
    """Open a shell inside a room, with kubectl and helm ready to use."""
    typer.echo(f"in room '{name}': kubectl and helm reach its cluster; leave with exit", err=True)
    _become(name, [os.environ.get("SHELL", "/bin/sh")])


@app.command()
def status(
    name: Annotated[str, typer.Option("--name", help="Only this room.")] = "",
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print it.")] = Output.TEXT,
) -> None:
    """Show the rooms that are up, and which of their parts have died."""
    from upgrader.lab.room import Room, rooms

    found = [Room.find(name)] if name else rooms()
    states = [room.status() for room in found if room.record.ready]
    if output is Output.JSON:
        typer.echo(json.dumps([_row(each) for each in states], indent=1))
        return
    for each in states:
        typer.echo(_sentence(each))
    if not states:
        typer.echo("no room is up")


@app.command()
def down(
    name: Name = "lab", every: Annotated[bool, typer.Option("--all", help="End all your rooms.")] = False
) -> None:
    """End a room: nothing of it stays."""
    from upgrader.lab.record import Records
    from upgrader.lab.room import Room, rooms

    for room in rooms() if every else [Room(Records().find(name))]:
        room.down()
        typer.echo(f"room '{room.name}' is gone")


def _become(name: str, argv: list[str]) -> NoReturn:
    """Replace this process by the door into the room, so that terminal and signals are the program's."""
    from upgrader.lab.room import Room

    room = Room.find(name)
    command, environment = room.door(argv)
    os.execvpe(command[0], command, environment)


def _images(path: Path | None, *, standin: bool) -> dict[str, Any]:
    from upgrader.errors import PlaybookInvalid
    from upgrader.lab.images import EVERY_IMAGE

    table: dict[str, Any] = {EVERY_IMAGE: {"run": "standin"}} if standin else {}
    if path is None:
        return table
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    try:
        read = YAML(typ="safe").load(path)
    except MarkedYAMLError as wrong:
        line = wrong.problem_mark.line + 1 if wrong.problem_mark else None
        raise PlaybookInvalid(str(wrong.problem), file=str(path), line=line) from wrong
    if not isinstance(read, dict):
        raise PlaybookInvalid("an image table maps prefixes to {run: …}", file=str(path))
    return table | read


def _row(status: RoomStatus) -> dict[str, Any]:
    record = status.record
    return {
        "name": record.name,
        "nodes": record.nodes,
        "owned": record.owned,
        "pid": record.pid,
        "created": record.created,
        "components": [dict(each) for each in status.components],
    }


def _sentence(status: RoomStatus) -> str:
    record = status.record
    minutes = (time.time() - record.created) / 60
    nodes = "1 node" if record.nodes == 1 else f"{record.nodes} nodes"
    kind = "dies with its owner" if record.owned else "kept"
    whole = ", ".join(f"{each['name']} died (status {each['status']})" for each in status.dead)
    return f"{record.name}: {nodes}, up for {minutes:.0f} min, {kind}, {whole or 'all parts alive'}"


@contextlib.contextmanager
def _progress() -> Iterator[Tell]:
    """Show progress: a live line in a terminal, one line a stage elsewhere; always on standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain()
        return
    with console.status("") as live:
        yield lambda progress: live.update(_line(progress))


def _plain() -> Tell:
    said = set()

    def tell(progress: Progress) -> None:
        tenth = 10 * progress.done // progress.total if progress.total else progress.what
        if (progress.stage, tenth) not in said:
            said.add((progress.stage, tenth))
            print(_line(progress), file=sys.stderr, flush=True)

    return tell


def _line(progress: Progress) -> str:
    parts = [progress.stage]
    if progress.total:
        parts.append(f"{progress.done}/{progress.total} ({100 * progress.done // progress.total} %)")
    if progress.what:
        parts.append(progress.what)
    if progress.seconds_left is not None:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        parts.append(f"about {minutes}:{seconds:02} left")
    return "  ".join(parts)


def main() -> None:
    """Run ``python -m upgrader.lab.commands``: the same commands, without the rest of upgrader."""
    from upgrader.errors import UpgraderError

    try:
        app()
    except UpgraderError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
