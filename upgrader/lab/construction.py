"""Make a room's processes, from outside: start the outermost one and follow what its first one says."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import upgrader
from upgrader.errors import PlaybookInvalid, ProgramFailed
from upgrader.lab import layout, namespaces
from upgrader.lab.entered import only_child
from upgrader.lab.layout import RoomSpec
from upgrader.lab.progress import Progress, Tell

_SILENCE_SECONDS = 120.0
"""Longest silence of a starting room before it counts as stuck; its own limit for a start is 90 s."""

_DOWN_SECONDS = 15.0


def specify(name: str, *, nodes: int, images: Mapping[str, Any], tell: Tell) -> RoomSpec:
    """Gather all a room is made of, building and fetching what is missing.

    Raises:
        PlaybookInvalid: More nodes than a room has, or a bad image table.
        LabUnavailable: The binary or nft cannot be had here.
    """
    from upgrader.lab import build, nft
    from upgrader.lab.images import image_table

    if not 1 <= nodes <= layout.MAX_NODES:
        raise PlaybookInvalid(f"{nodes} nodes: a room has 1 to {layout.MAX_NODES}")
    binary = build.ensure(tell)
    program = nft.ensure(tell)
    return RoomSpec(
        name=name,
        binary=str(binary),
        nft=str(program.path),
        nft_libraries=program.library_path,
        helm=shutil.which("helm") or "",
        nodes=nodes,
        images=image_table(images, binary=binary),
    )


def construct(spec: RoomSpec, *, user_namespace: bool, tell: Tell) -> subprocess.Popen[bytes]:
    """Start the room's processes and return the outermost one once the cluster is ready."""
    program = [sys.executable, "-P", "-m", "upgrader.lab.init"]
    package = str(Path(upgrader.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    errors = os.memfd_create("room-errors")
    try:
        outer = subprocess.Popen(
            namespaces.make_argv(program, user_namespace=user_namespace),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd="/",
            env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        try:
            _await_ready(outer, spec, errors=errors, tell=tell)
        except BaseException:
            _abandon(outer)
            raise
    finally:
        os.close(errors)
    return outer


def _await_ready(outer: subprocess.Popen[bytes], spec: RoomSpec, *, errors: int, tell: Tell) -> None:
    assert outer.stdin
    with contextlib.suppress(BrokenPipeError):
        outer.stdin.write(json.dumps(asdict(spec)).encode() + b"\n")
        outer.stdin.flush()
    for happening in _happenings(outer):
        if happening["event"] == "ready":
            return
        if happening["event"] == "failed":
            raise _failure(str(happening["what"]), spec)
        words = {"waiting": "waiting for {}", "up": "{} is there"}[happening["event"]]
        tell(Progress(f"room {spec.name}", words.format(happening["what"])))
    outer.wait(_DOWN_SECONDS)
    said = os.pread(errors, 4000, 0).decode(errors="replace").strip()
    if "failed to execute" in said or "Traceback" in said:  # the namespaces were there, the program was not
        raise ProgramFailed(f"room '{spec.name}' did not start", output=said)
    raise namespaces.refusal(
        said, switches=namespaces.read_switches(), in_container=namespaces.in_container()
    )


def _failure(what: str, spec: RoomSpec) -> Exception:
    if "lab-room up" in what and "permi" in what:  # the very first act: namespaces without rights in them
        return namespaces.refusal(
            what, switches=namespaces.read_switches(), in_container=namespaces.in_container()
        )
    return ProgramFailed(f"room '{spec.name}' did not come up", output=what)


def _happenings(outer: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Yield what the room's first process says, until it is silent for good."""
    assert outer.stdout
    pending, descriptor = b"", outer.stdout.fileno()
    while True:
        readable, _, _ = select.select([descriptor], (), (), _SILENCE_SECONDS)
        if not readable:
            raise ProgramFailed(f"the room said nothing for {_SILENCE_SECONDS:.0f} s while starting")
        data = os.read(descriptor, 65_536)
        if not data:
            return
        *lines, pending = (pending + data).split(b"\n")
        yield from map(json.loads, lines)


def keep(outer: subprocess.Popen[bytes]) -> None:
    """Make the room outlive us."""
    assert outer.stdin
    assert outer.stdout
    outer.stdin.write(b"keep\n")
    outer.stdin.close()
    outer.stdout.close()


def _abandon(outer: subprocess.Popen[bytes]) -> None:
    """End a room that never got ready, and wait until nothing of it is left."""
    first = only_child(outer.pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(first or outer.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        outer.wait(_DOWN_SECONDS)
    outer.kill()
    outer.wait()
    close_pipes(outer)


def close_pipes(outer: subprocess.Popen[bytes]) -> None:
    """Let go of a room's input and output."""
    for pipe in (outer.stdin, outer.stdout):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
