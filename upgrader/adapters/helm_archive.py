"""Read a chart's own file: its ``crds/`` and those of the subcharts that are enabled, its values and schema.

Helm 3 cannot be asked for them: its ``helm show crds`` prints the files without a separator, so that the last
object of one and the first of the next become one. No Helm leaves out there what is disabled.
Source: helm v3.22.0 and v4.3.1, seen; ``pkg/chartutil/dependencies.go``, ``pkg/chart/loader``; 2026-11.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from upgrader.adapters.helm_manifest import documents, objects
from upgrader.model.ports import Manifest

DEFINITION = "CustomResourceDefinition"
MANIFESTS = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Archive:
    """One chart of a file, with its subcharts.

    Args:
        files: Path within the chart → content; those of subcharts are theirs.
        inner: Its subcharts.
    """

    files: Mapping[str, bytes]
    inner: tuple[Archive, ...]

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return ``Chart.yaml``, with the dependencies of a ``requirements.yaml``."""
        return self._first("requirements.yaml") | self._first("Chart.yaml")

    @property
    def name(self) -> str:
        """Return the chart's name."""
        return str(self.facts.get("name", ""))

    @property
    def values(self) -> dict[str, Any]:
        """Return ``values.yaml``; empty when it has none."""
        return self._first("values.yaml")

    @property
    def schema(self) -> dict[str, Any]:
        """Return ``values.schema.json``; empty when it has none."""
        found = json.loads(self.files.get("values.schema.json") or b"{}")
        return found if isinstance(found, dict) else {}

    def _first(self, path: str) -> dict[str, Any]:
        found: Any = next(documents(self.files.get(path, b"").decode()), {})
        return found if isinstance(found, dict) else {}


def opened(content: bytes) -> Archive:
    """Read a ``.tgz``; `ValueError` when it is none."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is not None:  # the first folder has the chart's name
                    files["/".join(PurePosixPath(member.name).parts[1:])] = stream.read()
    except tarfile.TarError as error:
        raise ValueError(f"not a chart's archive: {error}") from error
    return _chart(files)


def _chart(files: Mapping[str, bytes]) -> Archive:
    """Part the files of a chart from those of its subcharts, which are folders or archives in ``charts/``."""
    own: dict[str, bytes] = {}
    folders: dict[str, dict[str, bytes]] = {}
    inner: list[Archive] = []
    for path, content in files.items():
        top, _, rest = path.partition("/")
        name, _, inside = rest.partition("/")
        if top != "charts" or name.startswith((".", "_")):
            own[path] = content
        elif inside:
            folders.setdefault(name, {})[inside] = content
        elif name.endswith(".tgz"):
            inner.append(opened(content))
    return Archive(own, (*inner, *map(_chart, folders.values())))


def definitions(chart: Archive, values: Mapping[str, Any]) -> Iterator[Manifest]:
    """Yield the definitions in ``crds/`` of a chart and of its subcharts that are enabled.

    Args:
        chart: The chart.
        values: The operator's; the chart's own lie below them.
    """
    merged = coalesced(chart, values)
    for path in sorted(chart.files):
        if path.startswith("crds/") and path.endswith(MANIFESTS):
            found = objects(chart.files[path].decode())
            yield from (one for one in found if one.get("kind") == DEFINITION)
    for inner in chart.inner:
        names = _enabled_as(chart, inner, merged)
        if names:  # under two names it brings the same definitions
            below = merged.get(names[0])
            yield from definitions(inner, below if isinstance(below, dict) else {})


def coalesced(chart: Archive, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values a chart sees: the operator's over its own over those of its subcharts."""
    merged = over(values, chart.values)
    for inner in chart.inner:
        for key in names_of(chart, inner):
            below = merged.get(key)
            if below is None or isinstance(below, dict):
                merged[key] = coalesced(inner, below or {})
    return merged


def over(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    """Return two maps as one; where both have a value, the upper counts, maps are joined."""
    found = dict(lower)
    for key, value in upper.items():
        known = found.get(key)
        found[key] = over(value, known) if isinstance(value, dict) and isinstance(known, dict) else value
    return found


def _dependencies(chart: Archive, inner: Archive) -> list[Mapping[str, Any]]:
    return [one for one in chart.facts.get("dependencies") or () if one.get("name") == inner.name]


def names_of(chart: Archive, inner: Archive) -> list[str]:
    """Return the keys under which a chart has values for a subchart: its name, or its aliases."""
    named = [str(one.get("alias") or inner.name) for one in _dependencies(chart, inner)]
    return named or [inner.name]


def _enabled_as(chart: Archive, inner: Archive, values: Mapping[str, Any]) -> list[str]:
    """Return the names under which a subchart is enabled; one that no dependency speaks of is."""
    named = _dependencies(chart, inner)
    if not named:
        return [inner.name]
    return [str(one.get("alias") or inner.name) for one in named if _is_enabled(one, values)]


def _is_enabled(dependency: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Tell whether a dependency counts: by the first condition that is set, else by its tags."""
    for path in str(dependency.get("condition") or "").split(","):
        found = _at(values, path.strip())
        if isinstance(found, bool):
            return found
    tags = values.get("tags")
    known = [tags.get(one) for one in dependency.get("tags") or ()] if isinstance(tags, dict) else []
    said = [one for one in known if isinstance(one, bool)]
    return any(said) or not said


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values
