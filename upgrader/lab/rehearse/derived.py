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
    return book
