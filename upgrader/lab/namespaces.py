"""The kernel's namespaces: how a room is made, entered, and why the kernel may refuse one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from upgrader.errors import LabUnavailable

_CAP_SYS_ADMIN = 21
_WAY_OUT = "or rehearse on a cluster of your own: --context NAME (kind, minikube, staging)"

SWITCHES = {
    "kernel.unprivileged_userns_clone": "0",
    "user.max_user_namespaces": "0",
    "kernel.apparmor_restrict_unprivileged_userns": "1",
}
"""Settings that forbid user namespaces, and the value that does.

Source: Debian's and Ubuntu's kernels (first, third), user_namespaces(7) (second), 2026-11.
"""


def needs_user_namespace() -> bool:
    """Tell whether we lack the right to make the other namespaces without a user namespace."""
    return not _effective_capabilities() >> _CAP_SYS_ADMIN & 1


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def make_argv(program: Sequence[str], *, user_namespace: bool) -> list[str]:
    """Return the command that runs ``program`` as process 1 of a new room.

    The room ends when the outer process does, however that is killed.
    """
    user = ["--user", "--map-root-user"] if user_namespace else []
    rest = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    return ["unshare", *user, *rest, *program]


def enter_argv(program: Sequence[str], *, pid: int, user_namespace: bool, folder: str) -> list[str]:
    """Return the command that runs ``program`` inside the room whose process 1 is ``pid`` outside.

    The program is killed when its ``nsenter`` is, so that nobody can lose it in the room.

    Args:
        program: Program and arguments.
        pid: The room's first process, seen from outside.
        user_namespace: Whether the room has one of its own.
        folder: The working folder inside the room.
    """
    user = ["--user", "--preserve-credentials"] if user_namespace else []
    enter = ["nsenter", f"--target={pid}", *user, "--net", "--mount", "--pid", "--"]
    return [*enter, "env", f"--chdir={folder}", "setpriv", "--pdeathsig=KILL", "--", *program]


def read_switches() -> dict[str, str]:
    """Return the `SWITCHES` this kernel has, with their values."""
    found = {}
    for name in SWITCHES:
        path = Path("/proc/sys") / name.replace(".", "/")
        if path.exists():
            found[name] = path.read_text().strip()
    return found


def refusal(said: str, *, switches: Mapping[str, str], in_container: bool) -> LabUnavailable:
    """Explain why no room could be made.

    Args:
        said: What ``unshare`` or the room's first process printed.
        switches: The kernel's settings, from `read_switches`.
        in_container: Whether we run in a container, whose seccomp profile often forbids it.
    """
    closed = [name for name, value in switches.items() if SWITCHES[name] == value]
    if closed:
        name = closed[0]
        open_value = {"0": "1", "1": "0"}[SWITCHES[name]]
        if name == "user.max_user_namespaces":
            open_value = "15000"
        remedy = f"let an administrator run: sysctl -w {name}={open_value}; {_WAY_OUT}"
        return LabUnavailable(f"{name} = {switches[name]} forbids rooms here: {said}", remedy=remedy)
    if in_container:
        remedy = f"give the container the right (docker: --security-opt seccomp=unconfined); {_WAY_OUT}"
        return LabUnavailable(f"this container may not make namespaces: {said}", remedy=remedy)
    remedy = f"see what the security module says (dmesg | grep -i -e apparmor -e selinux); {_WAY_OUT}"
    return LabUnavailable(f"the kernel made no room: {said}", remedy=remedy)


def in_container() -> bool:
    """Tell whether a seccomp filter is on us, as in nearly every container."""
    return "Seccomp:\t2" in Path("/proc/self/status").read_text() or os.path.exists("/.dockerenv")


def check_system(platform: str = sys.platform) -> None:
    """Refuse systems without namespaces.

    Raises:
        LabUnavailable: Not Linux.
    """
    if platform != "linux":
        raise LabUnavailable(
            f"the lab needs Linux's namespaces; this is {platform}",
            remedy="run it in a Linux machine or virtual machine, " + _WAY_OUT,
        )
