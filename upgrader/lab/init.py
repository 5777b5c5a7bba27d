"""Process 1 of a room: builds the room from the inside, starts the cluster, and keeps it.

It is told what to build by one JSON line on standard input, answers with JSON lines on standard output,
and dies with its owner: end of file on standard input ends it, and with it every process, mount and
address of the room. The line ``keep`` on standard input makes the room outlive its owner.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from upgrader.lab import layout
from upgrader.lab.cluster import Component, Needs, components
from upgrader.lab.layout import RoomSpec
from upgrader.lab.readiness import Api, dns_ready, proxy_ready
from upgrader.lab.supervisor import Member, Supervisor, last_lines

START_SECONDS = 90.0
"""How long a start may take before it has failed; measured 6-9 s on 2 idle cores, CI machines are busy."""

_POLL_SECONDS = 0.05


class StartError(Exception):
    """The room cannot come up; the text says which part and what it logged."""


class OwnerGoneError(Exception):
    """Whoever wanted this room is dead."""


def say(event: str, **details: Any) -> None:
    """Tell the owner, if there still is one."""
    line = json.dumps({"event": event, **details}) + "\n"
    with contextlib.suppress(OSError):  # the owner of a kept room may be long gone
        os.write(1, line.encode())


def furnish(spec: RoomSpec) -> None:
    """Give the room its network and file systems, and lay out everything that is no process."""
    _call(spec.binary, "lab-room", "up", "--nodes", str(spec.nodes))
    for folder in (layout.BIN, layout.LOGS, layout.PKI, layout.ROOT / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    for name in layout.MULTICALL:
        (layout.BIN / name).symlink_to(spec.binary)
    if spec.helm:
        (layout.BIN / "helm").unlink()
        (layout.BIN / "helm").symlink_to(spec.helm)
    nft = layout.BIN / "nft"
    libraries = f"LD_LIBRARY_PATH={shlex.quote(spec.nft_libraries)} " if spec.nft_libraries else ""
    nft.write_text(f'#!/bin/sh\n{libraries}exec {shlex.quote(spec.nft)} "$@"\n')
    nft.chmod(0o755)
    layout.IMAGES.write_text(json.dumps(dict(spec.images), indent=1))
    _resolve_by_cluster()


def _resolve_by_cluster() -> None:
    """Have names of Services resolved in the room as in its pods; the machine's servers are out of reach.

    Where the machine has its file below ``/run``, as systemd-resolved does, the room has one of its own.
    """
    text = f"nameserver {layout.DNS_ADDRESS.rpartition(':')[0]}\n"
    named = Path("/etc/resolv.conf").resolve()
    if named.exists():
        ours = layout.ROOT / "resolv.conf"
        ours.write_text(text)
        _call("mount", "--bind", str(ours), str(named))
    elif named.is_relative_to("/run"):
        named.parent.mkdir(parents=True, exist_ok=True)
        named.write_text(text)


def _call(*argv: str) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise StartError(f"{shlex.join(argv)}: {done.stdout}{done.stderr}".strip())


class Init:
    """Brings one room up and keeps it.

    Args:
        spec: What to build.
    """

    def __init__(self, spec: RoomSpec) -> None:
        self._spec = spec
        self._kept = False
        self._began = time.monotonic()
        self._supervisor = Supervisor(logs=layout.LOGS, environment=layout.environment(os.environ))
        self._wake, wake = os.pipe()
        for end in (self._wake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def bring_up(self) -> None:
        """Start everything and return when the room is ready for work.

        Raises:
            StartError: A component died, or the time was up.
            OwnerGoneError: The owner died meanwhile.
        """
        from upgrader.lab import certificates

        furnish(self._spec)
        plan = components(self._spec.nodes)
        self._start(plan, Needs.NOTHING)
        certificates.write_all(layout.PKI, nodes=self._spec.nodes)
        (layout.PKI / "admin.kubeconfig").rename(layout.KUBECONFIG)
        self._start(plan, Needs.CERTIFICATES)
        api = Api()
        self._wait("kube-apiserver", api.is_ready)
        self._start(plan, Needs.API)
        self._wait("nodes", lambda: api.nodes_ready(self._spec.nodes))
        self._wait("kube-proxy", proxy_ready)
        self._wait("cluster DNS", dns_ready)
        self._wait("default service account", api.has_default_account)

    def keep(self) -> None:
        """Reap and record until the owner dies or somebody ends the room.

        Raises:
            OwnerGoneError: The owner died.
        """
        self._record()
        say("ready", seconds=round(self._elapsed(), 2))
        while True:
            self._pause(None)
            for dead in self._supervisor.reap():
                say("died", component=dead.name, what=dead.obituary())
                self._record()

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _start(self, plan: tuple[Component, ...], needs: Needs) -> None:
        for component in plan:
            if component.needs is needs:
                self._supervisor.start(component)

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        say("waiting", what=what)
        while not ready():
            self._pause(_POLL_SECONDS)
            if dead := self._supervisor.reap():
                raise StartError(_report(dead[0]))
            if self._elapsed() > START_SECONDS:
                raise StartError(f"{what} not ready after {START_SECONDS:.0f} s\n{self._tails()}")
        say("up", what=what, seconds=round(self._elapsed(), 2))

    def _pause(self, seconds: float | None) -> None:
        """Sleep until a child dies, the owner speaks or dies, or the time is up."""
        watched = [self._wake] if self._kept else [self._wake, 0]
        readable, _, _ = select.select(watched, (), (), seconds)
        if self._wake in readable:
            os.read(self._wake, 4096)
        if 0 in readable:
            said = os.read(0, 4096)
            if not said:
                raise OwnerGoneError
            self._kept = said.strip() == b"keep"

    def _record(self) -> None:
        state = {"name": self._spec.name, "nodes": self._spec.nodes, "components": self._supervisor.state()}
        new = layout.STATE.with_suffix(".new")
        new.write_text(json.dumps(state, indent=1))
        new.rename(layout.STATE)

    def _tails(self) -> str:
        return "\n".join(
            f"{member.name}: {line}"
            for member in self._supervisor.members.values()
            for line in last_lines(Path(member.log), count=2)
        )


def _report(dead: Member) -> str:
    return "\n".join([dead.obituary(), *last_lines(Path(dead.log))])


def _read_spec() -> RoomSpec:
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            raise OwnerGoneError
        line += byte
    return RoomSpec(**json.loads(line))


def _end(*_: object) -> None:
    raise OwnerGoneError


def main() -> int:
    """Run as process 1; return the exit status."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _end)
    os.umask(0o022)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        init = Init(_read_spec())
        init.bring_up()
        init.keep()
    except OwnerGoneError:
        return 0
    except StartError as failure:
        say("failed", what=str(failure))
    except Exception as failure:  # process 1 has no shell above it to print a traceback to
        say("failed", what=f"{type(failure).__name__}: {failure}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
