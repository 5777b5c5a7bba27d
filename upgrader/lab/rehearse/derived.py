"""The playbook of a drill: the operator's own, with paths made absolute and what the drill changes. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def derived(
    written: Mapping[str, Any], *, folder: Path, changes: Mapping[str, Mapping[str, Any]], values: str
) -> dict[str, Any]:
    """Return a playbook that can lie anywhere.

    Args:
        written: The operator's playbook as its YAML holds it; valid.
        folder: Its folder, which its paths are relative to.
        changes: Settings that are changed, by top-level key.
        values: A further values file, absolute; empty for none.
    """
    changed = {key: {**written.get(key, {}), **settings} for key, settings in changes.items()}
    book = copy.deepcopy({**written, **changed})
    book.pop("context", None)  # the room has one cluster
    release = book["releases"][0]
    ref = str(release["chart"]["ref"])
    if "://" not in ref:
        release["chart"]["ref"] = str(folder / ref)
    wanted = release.setdefault("values", {})
    files = [str(folder / name) for name in wanted.get("files", ())]
    wanted["files"] = [*files, values] if values else files
    _make_absolute(book.get("strategy", {}).get("green", {}), "values_files", folder)
    _make_absolute(book.get("lab", {}), "manifests", folder)
    return book


def swapped(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the playbook of the way back: from what it goes to, to what it comes from."""
    book = copy.deepcopy(dict(written))
    chart = book["releases"][0]["chart"]
    chart["from"], chart["to"] = chart["to"], chart["from"]
    return book


def _make_absolute(part: dict[str, Any], key: str, folder: Path) -> None:
    if key in part:
        part[key] = [str(folder / name) for name in part[key]]
