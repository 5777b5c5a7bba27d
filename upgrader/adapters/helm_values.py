"""The values of an upgrade as files: pinned copies of the playbook's, and one with the secrets.

Helm merges the files itself, so that each is read by Helm's own rules; ours could differ (``on``, ``0777``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upgrader.adapters.redaction import Redactor
from upgrader.errors import PlaybookInvalid

SECRETS = "secrets.json"
REUSED = "known-good.json"


@dataclass(frozen=True)
class Values:
    """What the playbook says about values.

    Args:
        files: The playbook's ``values.files``, in order; later ones win.
        env: ``values.env``: dotted key → name of the variable that holds its value.
    """

    files: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


class ValuesFolder:
    """Writes the values into a folder of mode 0700, files of mode 0600."""

    def __init__(
        self, folder: Path, values: Values, *, environment: Mapping[str, str], redactor: Redactor
    ) -> None:
        """Write nothing yet; tell the redactor of every secret that is known now.

        Args:
            folder: Where to; made when needed.
            values: What the playbook says.
            environment: Where secrets are.
            redactor: Learns the secrets.
        """
        self._folder = folder
        self._values = values
        self._environment = environment
        self._redactor = redactor
        for secret in self._known():
            redactor.add(secret)

    def paths(self) -> list[Path]:
        """Return the files in the order Helm gets them; they may not be written yet."""
        copies = [
            self._folder / f"{number}-{file.name}" for number, file in enumerate(self._values.files, start=1)
        ]
        return [
            *(copies or [self._folder / REUSED]),
            *([self._folder / SECRETS] if self._values.env else []),
        ]

    def sources(self) -> list[str]:
        """Return where each of the `paths` comes from, as an operator would say it."""
        named = [file.name for file in self._values.files] or ["the known-good revision's values"]
        return [*named, *(["values.env"] if self._values.env else [])]

    def write(self, known_good: Callable[[], str]) -> list[Path]:
        """Write what is not written yet, and return the files in order.

        Args:
            known_good: Returns the user-supplied values of the known-good revision as JSON; they are
                used where the playbook names no file.

        Raises:
            PlaybookInvalid: When a file or a variable is missing.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        copies = self.paths()
        for source, copy in zip(self._values.files, copies, strict=False):
            if not copy.exists():
                write_private(copy, _content(source))
        if not self._values.files and not copies[0].exists():
            write_private(copies[0], known_good().encode())
        if self._values.env and (self._all_set() or not copies[-1].exists()):
            write_private(copies[-1], json.dumps(self._secrets()).encode())
        return copies

    def forget(self) -> None:
        """Delete all files: secrets stay no longer than the run."""
        for path in self.paths():
            path.unlink(missing_ok=True)

    def _all_set(self) -> bool:
        return all(variable in self._environment for variable in self._values.env.values())

    def _secrets(self) -> dict[str, Any]:
        root: dict[str, Any] = {}
        for key, variable in self._values.env.items():
            if variable not in self._environment:
                raise PlaybookInvalid(
                    f"environment variable {variable} is not set",
                    key=f"values.env.{key}",
                    remedy=f"export {variable} before the run",
                )
            put(root, key, self._environment[variable])
        return root

    def _known(self) -> Iterator[str]:
        yield from (self._environment.get(variable, "") for variable in self._values.env.values())
        if self._values.env and (self._folder / SECRETS).exists():
            yield from leaves(json.loads((self._folder / SECRETS).read_text()))


def put(root: dict[str, Any], key: str, value: str) -> None:
    r"""Set a value at a dotted key; ``\.`` is a dot within a name.

    Raises:
        PlaybookInvalid: When the key is empty somewhere, names a list item, or meets another key's value.
    """
    parts = [part.replace("\0", ".") for part in key.replace("\\.", "\0").split(".")]
    if not all(parts) or key.rstrip().endswith("]"):
        raise PlaybookInvalid(
            f"{key!r} is no dotted key of maps",
            key=f"values.env.{key}",
            remedy="name maps only, such as global.license_key; a list item must be set in a values file",
        )
    for part in parts[:-1]:
        root = root.setdefault(part, {})
        if not isinstance(root, dict):
            raise PlaybookInvalid(f"{key!r} runs through the value of another key", key=f"values.env.{key}")
    if parts[-1] in root:
        raise PlaybookInvalid(f"{key!r} is set twice", key=f"values.env.{key}")
    root[parts[-1]] = value


def leaves(value: Any) -> Iterator[str]:
    """Yield every text in nested maps."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, str):
        yield value


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 whole: a reader sees the old content or the new, never half."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    where = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(where, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _content(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise PlaybookInvalid(
            f"values file {source} cannot be read: {error.strerror}", key="values.files"
        ) from error
