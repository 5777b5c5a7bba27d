"""Find a plugin by kind and name: a file in its folder, or an entry point of another package."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING

from upgrader.errors import PlaybookInvalid

if TYPE_CHECKING:
    from pydantic import BaseModel

KINDS = ("signals", "balancers", "checks", "strategies", "steps")
"""Each is a folder of ``upgrader/`` and an entry-point group ``upgrader.KIND``."""


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the names of all plugins of a kind, ours and others', sorted."""
    package = importlib.import_module(f"upgrader.{kind}")
    ours = {module.name for module in pkgutil.iter_modules(package.__path__)}
    theirs = {point.name for point in entry_points(group=f"upgrader.{kind}")}
    return tuple(sorted(ours | theirs))


@cache
def find(kind: str, name: str) -> ModuleType:
    """Return the module of a plugin; looked for once a process, for it is asked with every poll of a step.

    Args:
        kind: One of `KINDS`.
        name: Its name: the key in the playbook.

    Raises:
        PlaybookInvalid: There is none of that name.
    """
    for point in entry_points(group=f"upgrader.{kind}", name=name):
        return point.load()  # type: ignore[no-any-return]
    if name not in names(kind):
        raise PlaybookInvalid(
            f"{kind[:-1]} {name!r} is not known; known are {', '.join(names(kind))}",
            remedy="install the package that brings it, or choose another",
        )
    return importlib.import_module(f"upgrader.{kind}.{name}")


def keys_of(kind: str, name: str) -> type[BaseModel] | None:
    """Return the model of a plugin's own keys in the playbook: its ``Settings``, where it has that.

    Args:
        kind: One of `KINDS`.
        name: Its name.

    Raises:
        PlaybookInvalid: There is no such plugin.
    """
    found: type[BaseModel] | None = getattr(find(kind, name), "Settings", None)
    return found


def modules(kind: str) -> tuple[ModuleType, ...]:
    """Return the modules of all plugins of a kind."""
    return tuple(find(kind, name) for name in names(kind))
