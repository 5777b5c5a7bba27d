"""One route object in an API server that keeps versions, as far as balancers of route objects ask."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, cast

from tests.signals.fakes import FakeClock, ports
from upgrader.errors import ClusterConflict, UpgraderError
from upgrader.model.ports import Kube, Manifest, PatchKind, Ports, Ref


@dataclass
class FakeWatch:
    """A watch that sees what the server holds, unless a test says that it is out of date."""

    kube: RouteKube
    age: float = 0.0
    problem: str = ""
    closed: bool = False

    def objects(self) -> tuple[Manifest, ...]:
        return deepcopy((*((self.kube.route,) if self.kube.route else ()), *self.kube.beside))

    def age_seconds(self) -> float:
        return self.age

    def error(self) -> str:
        return self.problem

    def close(self) -> None:
        self.closed = True


@dataclass
class RouteKube:
    """The server; ``before_patch`` is what another writer does between our look and our write."""

    route: Manifest | None
    fails: UpgraderError | None = None
    meanwhile: bool = False
    patches: list[list[dict[str, Any]]] = field(default_factory=list)
    watched: list[tuple[Sequence[tuple[str, str]], str]] = field(default_factory=list)
    watcher: FakeWatch | None = None
    absent: tuple[Ref, ...] = ()
    """Backends that are not there; all others are."""
    dropped: list[Ref] = field(default_factory=list)
    beside: tuple[Manifest, ...] = ()
    """Other objects of the kind and namespace."""

    def get(self, ref: Ref) -> Manifest | None:
        if self.fails:
            raise self.fails
        if ref.kind in ("Service", "Upstream"):
            return None if ref in self.absent else {"kind": ref.kind}
        found = deepcopy(self.route) if self.route and Ref.of(self.route) == ref else None
        if self.meanwhile and self.route:
            self._version_up()
        return found

    def drop_ownership(self, ref: Ref) -> bool:
        self.dropped.append(ref)
        return True

    def patch(
        self, ref: Ref, body: list[dict[str, Any]], *, kind: PatchKind, dry_run: bool = False
    ) -> Manifest:
        assert kind is PatchKind.JSON
        assert self.route is not None
        assert Ref.of(self.route) == ref
        self.patches.append(body)
        version, *weights = body
        assert (version["op"], version["path"]) == ("replace", "/metadata/resourceVersion")
        if version["value"] != self.route["metadata"]["resourceVersion"]:
            raise ClusterConflict(f"{ref}: patch lost against another writer")
        for one in weights:
            assert one["op"] == "add"
            _put(self.route, one["path"], one["value"])
        self._version_up()
        self.route["metadata"]["generation"] += 1
        return deepcopy(self.route)

    def watch(self, kinds: Sequence[tuple[str, str]], *, namespace: str) -> FakeWatch:
        self.watched.append((kinds, namespace))
        self.watcher = FakeWatch(self)
        return self.watcher

    def _version_up(self) -> None:
        assert self.route is not None
        metadata = self.route["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)


def _put(manifest: Manifest, pointer: str, value: object) -> None:
    """Set what a JSON pointer names; all but its last key must be there."""
    *way, last = pointer.strip("/").split("/")
    part: Any = manifest
    for key in way:
        part = part[int(key)] if isinstance(part, list) else part[key]
    part[last] = value


def ports_with(kube: RouteKube, clock: FakeClock | None = None) -> Ports:
    """Return ports of which only the API server and the clock may be used."""
    return replace(ports(clock=clock), kube=cast("Kube", kube))


def route(api_version: str, kind: str, spec: dict[str, Any], **metadata: Any) -> Manifest:
    """Return an object as the API server serves it."""
    own = {"name": "api", "namespace": "edge", "resourceVersion": "7", "generation": 3}
    return {"apiVersion": api_version, "kind": kind, "metadata": own | metadata, "spec": deepcopy(spec)}
