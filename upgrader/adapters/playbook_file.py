"""Reads a playbook from its file: every mistake with file, line and key, before anything is touched."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from upgrader.adapters.playbook_template import TEMPLATES
from upgrader.errors import PlaybookInvalid
from upgrader.model.balancing import BalancerSettings
from upgrader.model.playbook import STRATEGIES, Playbook, Release
from upgrader.model.strict import MISPLACED, UNKNOWN_KEY, nearest
from upgrader.model.watching import (
    EnvoyStats,
    FromEnvironment,
    KeysOf,
    SignalSettings,
    Synthetic,
    probe_names,
)

KeyPath = tuple[str | int, ...]

_WORDS: Final = {
    "missing": "is required",
    "string_type": "must be text; put a number or true/false in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
}
"""Pydantic's error types in an operator's words; what is not here keeps pydantic's own."""


@dataclass(frozen=True)
class LoadedPlaybook:
    """A playbook whose files and variables are there.

    Args:
        playbook: The playbook.
        path: Its file, absolute.
        digest: ``sha256:…`` of the file as read.
        chart: The first release's target chart: an absolute path, or the reference as written.
        old_chart: The same for the version that runs now, to rehearse; equal to ``chart`` where one
            reference serves both versions.
        values_files: The first release's: absolute paths, in Helm's order.
        secrets: Values of the environment variables that the playbook names, by variable.
    """

    playbook: Playbook
    path: Path
    digest: str
    chart: str
    old_chart: str
    values_files: tuple[Path, ...]
    secrets: Mapping[str, SecretStr] = field(repr=False)

    def secret_values(self) -> dict[str, SecretStr]:
        """Return the chart values that come from the environment, by dotted value path."""
        return {path: self.secrets[name] for path, name in self.playbook.release.values.env.items()}

    def chart_of(self, release: Release) -> str:
        """Return the target chart of a release of this playbook, as ``chart`` is of the first."""
        return _located(release, self.path.parent, release.chart.to_version)

    def files_of(self, release: Release) -> tuple[Path, ...]:
        """Return the values files of a release of this playbook, absolute, in Helm's order."""
        return tuple(self.path.parent / name for name in release.values.files)

    def settings(self, entry: SignalSettings | BalancerSettings) -> dict[str, Any]:
        """Return what the plugin of one signal or balancer is built from.

        All its keys but ``kind``; durations are timedeltas, rates numbers a second, and what is named as
        ``{env: VARIABLE}`` a `SecretStr`. A probe is given its ``name``, too, which no other one has, and
        counters that name no group those with a service.
        """
        settings: dict[str, Any] = _told(entry.settings, self.secrets)
        if isinstance(entry, EnvoyStats) and not entry.group:
            settings["group"] = _serving_groups(self.playbook)
        if isinstance(entry, Synthetic):
            probes = [one for one in self.playbook.signals if isinstance(one, Synthetic)]
            settings["name"] = probe_names(probes)[probes.index(entry)]
        return settings


def _told(value: Any, secrets: Mapping[str, SecretStr]) -> Any:
    """Return a value of the playbook with each name of a variable in it replaced by what that holds."""
    if isinstance(value, FromEnvironment):
        return secrets[value.env]
    if isinstance(value, Mapping):
        return {key: _told(one, secrets) for key, one in value.items()}
    if isinstance(value, list):
        return [_told(one, secrets) for one in value]
    return value


def load(
    path: Path,
    environ: Mapping[str, str],
    *,
    plugins: Mapping[str, Sequence[str]] | None = None,
    keys_of: KeysOf | None = None,
) -> LoadedPlaybook:
    """Read a playbook and look that all it names on this machine is there.

    Args:
        path: The YAML file; paths in it are relative to its folder.
        environ: The environment; only variables that the playbook names are read.
        plugins: Kinds that others installed, by ``signals``, ``balancers`` and ``strategies``.
        keys_of: Finds the model of the keys of such a kind.

    Raises:
        PlaybookInvalid: with file, line and key of the first mistake, and all others in the text.
    """
    path = path.absolute()
    content = _content(path)
    source = _Source(path, _tree(path, content))
    try:
        playbook = Playbook.read(source.plain(), plugins=plugins, keys_of=keys_of)
    except ValidationError as error:
        raise source.invalid([_explained(source, one) for one in error.errors()]) from error
    release, folder = playbook.release, path.parent
    if problems := list(_absent(playbook, folder, environ)):
        raise source.invalid(problems)
    return LoadedPlaybook(
        playbook=playbook,
        path=path,
        digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
        chart=_located(release, folder, release.chart.to_version),
        old_chart=_located(release, folder, release.chart.from_version),
        values_files=tuple(folder / name for name in release.values.files),
        secrets={name: SecretStr(environ[name]) for _, name in _variables(playbook)},
    )


def _located(release: Release, folder: Path, version: str) -> str:
    """Return one version of a release's chart: an absolute path, or the reference as written."""
    chart = release.chart.at(version)
    return str(folder / chart) if release.chart.is_local else chart


def _serving_groups(playbook: Playbook) -> tuple[str, ...]:
    """Return the groups with a service; none, which means all, where a release has no such group."""
    found = [[name for name, one in tier.workloads.items() if one.service] for tier in playbook.releases]
    return tuple(dict.fromkeys(name for names in found for name in names)) if all(found) else ()


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a playbook, for editors to check and complete by."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "upgrader playbook",
        **{k: v for k, v in Playbook.model_json_schema(by_alias=True).items() if k != "title"},
    }


def new(kind: str) -> str:
    """Return a commented playbook to start from.

    Args:
        kind: The strategy.

    Raises:
        PlaybookInvalid: there is no such strategy in this version.
    """
    if kind not in TEMPLATES:
        known = ", ".join(STRATEGIES)
        raise PlaybookInvalid(f"no template for {kind}; there is: {known}{nearest(kind, STRATEGIES)}")
    return TEMPLATES[kind]


@dataclass(frozen=True, slots=True)
class _Problem:
    path: KeyPath
    what: str


@dataclass(frozen=True, slots=True)
class _Source:
    """The YAML tree, which knows the line of every key."""

    file: Path
    root: CommentedMap

    def plain(self) -> Any:
        return _plain(self.root)

    def line(self, path: KeyPath) -> int:
        """Return the line, from 1, of the key, or of the nearest key above it that was written."""
        node: Any = self.root
        line = int(self.root.lc.line or 0)
        for part in path:
            try:
                line = (node.lc.key(part) if isinstance(node, CommentedMap) else node.lc.item(part))[0]
                node = node[part]
            except (AttributeError, KeyError, IndexError, TypeError):
                break
        return line + 1

    def real(self, loc: KeyPath, *, is_missing: bool) -> KeyPath:
        """Drop what pydantic puts into a path and nobody wrote: the names of a union's members."""
        node: Any = self.root
        path: list[str | int] = []
        for at, part in enumerate(loc):
            if _holds(node, part):
                path.append(part)
                node = node[part]
            elif is_missing and at == len(loc) - 1:
                path.append(part)
        return tuple(path)

    def invalid(self, problems: list[_Problem]) -> PlaybookInvalid:
        found = sorted(problems, key=lambda problem: self.line(problem.path))
        first, file = found[0], str(self.file)
        others = [f"{file}:{self.line(one.path)}: {_key(one.path)}: {one.what}" for one in found[1:]]
        what = "\n".join([first.what, *others])
        return PlaybookInvalid(what, file=file, line=self.line(first.path), key=_key(first.path))


def _holds(node: Any, part: str | int) -> bool:
    if isinstance(node, CommentedSeq):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, CommentedMap) and part in node


def _key(path: KeyPath) -> str:
    written = ""
    for part in path:
        if isinstance(part, int) or not re.fullmatch(r"[\w-]+", part):
            written += f"[{part}]" if isinstance(part, int) else f'["{part}"]'
        else:
            written += f".{part}" if written else part
    return written


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        remedy = "`upgrader playbook new rolling` prints one to start from"
        raise PlaybookInvalid(f"cannot be read: {error.strerror}", file=str(path), remedy=remedy) from error


def _tree(path: Path, content: bytes) -> CommentedMap:
    try:
        root = YAML(typ="rt", pure=True).load(content.decode())
    except UnicodeDecodeError as error:
        raise PlaybookInvalid("is not UTF-8 text", file=str(path)) from error
    except RecursionError as error:
        raise PlaybookInvalid("is nested too deeply", file=str(path)) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        key, what = "", f"is not YAML: {error.problem or error.context}"
        if isinstance(error, DuplicateKeyError) and (twice := re.search(r'duplicate key "(.*?)"', what)):
            key, what = twice[1], "is written twice; keep one"
        line = mark.line + 1 if mark else None
        raise PlaybookInvalid(what, file=str(path), line=line, key=key) from error
    except YAMLError as error:
        raise PlaybookInvalid(f"is not YAML: {error}", file=str(path)) from error
    if not isinstance(root, CommentedMap):
        raise PlaybookInvalid("a playbook is a mapping of keys to values", file=str(path), line=1)
    return root


def _plain(node: Any) -> Any:
    """Copy the tree without ruamel's own scalars; dates and the like stay and are refused as no text."""
    if isinstance(node, Mapping):
        return {_plain(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(item) for item in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _explained(source: _Source, error: ErrorDetails) -> _Problem:
    kind, context = error["type"], error.get("ctx", {})
    path = source.real(error["loc"], is_missing=kind == "missing")
    if error["input"] is None:
        return _Problem(path, "is empty; give it a value or leave the key out")
    if kind == UNKNOWN_KEY:
        return _Problem((*path, context["key"]), context["what"])
    if kind == MISPLACED:
        return _Problem((*path, *context["at"]), context["what"])
    if kind == "literal_error":
        return _Problem(path, f"must be {context['expected']}")
    if kind == "value_error":
        return _Problem(path, str(context["error"]))
    return _Problem(path, _WORDS.get(kind, error["msg"]))


def _variables(playbook: Playbook) -> Iterator[tuple[KeyPath, str]]:
    for number, release in enumerate(playbook.releases):
        for value, name in release.values.env.items():
            yield ("releases", number, "values", "env", value), name
    entries: dict[str, Sequence[Any]] = {"signals": playbook.signals, "balancers": playbook.balancers}
    for kind, ours in entries.items():
        for at, entry in enumerate(ours):
            yield from _named(entry.settings, (kind, at))


def _named(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Yield each variable that is named within a value of the playbook, and where."""
    if isinstance(value, FromEnvironment):
        yield (*path, "env"), value.env
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _named(one, (*path, key))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from _named(one, (*path, at))


def _absent(playbook: Playbook, folder: Path, environ: Mapping[str, str]) -> Iterator[_Problem]:
    """Yield what the playbook names and this machine has not."""
    for number, release in enumerate(playbook.releases):
        if release.chart.is_local and (chart := _missing_chart(release, folder)):
            what = f"no chart at {chart}; one from a registry is written oci://… or https://…"
            yield _Problem(("releases", number, "chart", "ref"), what)
    for key, name in _files(playbook):
        if why := _unreadable(folder / name):
            yield _Problem(key, f"{folder / name} {why}")
    for path, name in _variables(playbook):
        if not environ.get(name):
            yield _Problem(
                path, f"environment variable {name} is {'empty' if name in environ else 'not set'}"
            )


def _missing_chart(release: Release, folder: Path) -> Path | None:
    for version in dict.fromkeys((release.chart.from_version, release.chart.to_version)):
        chart = folder / release.chart.at(version)
        if not (chart.is_file() or (chart / "Chart.yaml").is_file()):
            return chart
    return None


def _files(playbook: Playbook) -> Iterator[tuple[KeyPath, str]]:
    for number, release in enumerate(playbook.releases):
        for at, name in enumerate(release.values.files):
            yield ("releases", number, "values", "files", at), name
    green = playbook.strategy.green
    for at, name in enumerate(green.values_files if green else ()):
        yield ("strategy", "green", "values_files", at), name
    for at, name in enumerate(playbook.lab.manifests):
        yield ("lab", "manifests", at), name


def _unreadable(path: Path) -> str:
    if not path.exists():
        return "does not exist"
    if not path.is_file():
        return "is no file"
    return "" if os.access(path, os.R_OK) else "cannot be read: permission denied"
