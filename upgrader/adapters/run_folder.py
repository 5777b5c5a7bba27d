"""The folder of one run: ours alone while we live, and gone where nothing came of it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import yaml

from upgrader.adapters.helm_manifest import ManifestLoader
from upgrader.adapters.helm_values import write_private
from upgrader.model.ports import Manifest

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


class _Writer(yaml.SafeDumper):
    """Puts in quotes what Kubernetes would read as something else than a text, such as ``y`` or ``1e3``."""

    yaml_implicit_resolvers = {  # noqa: RUF012 PyYAML's way
        first: [
            *yaml.SafeDumper.yaml_implicit_resolvers.get(first, ()),
            *ManifestLoader.yaml_implicit_resolvers.get(first, ()),
        ]
        for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *ManifestLoader.yaml_implicit_resolvers}
    }

    def ignore_aliases(self, data: object) -> bool:
        """Write each value out."""
        return True


def kept(folder: Path, name: str, objects: Sequence[Manifest]) -> str:
    """Write objects as YAML into a file of mode 0600, unless it is there already, and return its path."""
    path = folder / name
    if not path.exists():
        text = yaml.dump_all(objects, Dumper=_Writer, sort_keys=False, allow_unicode=True)
        write_private(path, text.encode())
    return str(path)


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
