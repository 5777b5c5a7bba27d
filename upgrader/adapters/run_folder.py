"""The folder of one run: ours alone while we live, and gone where nothing came of it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

HELD = "held"
"""A file the process that works in the folder has locked; the kernel lets go of it when the process dies."""


@contextmanager
def held(folder: Path, *, keep: str) -> Iterator[None]:
    """Make a folder of mode 0700 and hold it; at the end it goes, unless it has the file ``keep`` by then.

    Folders beside it that lack that file and that nobody holds go first: whoever planned there was killed,
    and secrets may lie in them.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / HELD).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # shared: `abort` looks into the folder of a run that lives
        for other in folder.parent.iterdir():
            if not (other / keep).exists() and _is_abandoned(other / HELD):
                shutil.rmtree(other, ignore_errors=True)
        try:
            yield
        finally:
            if not (folder / keep).exists():
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(lock: Path) -> bool:
    with suppress(OSError), lock.open() as file:
        return _is_free(file)
    return False


def _is_free(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
