"""One object in a cluster, guarded by its resourceVersion as the API server does it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from upgrader.errors import ClusterConflict
from upgrader.model.ports import Manifest, PatchKind, Ref


class LeaseCluster:
    """Holds one Lease; everything else is not asked for.

    ``before_write`` is called once before the next write: a rival who is faster.
    """

    def __init__(self) -> None:
        self.lease: Manifest | None = None
        self.version = 0
        self.writes = 0
        self.before_write: Callable[[], None] | None = None

    def _write(self, manifest: Manifest) -> Manifest:
        self.version += 1
        self.writes += 1
        metadata = manifest["metadata"] | {"resourceVersion": str(self.version)}
        self.lease = copy.deepcopy(manifest | {"metadata": metadata})
        return copy.deepcopy(self.lease)

    def _rival(self) -> None:
        rival, self.before_write = self.before_write, None
        if rival:
            rival()

    def get(self, ref: Ref) -> Manifest | None:
        return copy.deepcopy(self.lease)

    def create(self, manifest: Manifest) -> Manifest:
        self._rival()
        if self.lease is not None:
            raise ClusterConflict("already exists")
        return self._write(manifest)

    def replace(self, manifest: Manifest) -> Manifest:
        self._rival()
        if (
            self.lease is None
            or manifest["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]
        ):
            raise ClusterConflict("changed")
        return self._write(manifest)

    def patch(
        self, ref: Ref, body: Any, *, kind: PatchKind = PatchKind.MERGE, dry_run: bool = False
    ) -> Manifest:
        assert kind is PatchKind.MERGE
        if self.lease is None:
            raise ClusterConflict("not found")
        notes = self.lease["metadata"]["annotations"] | body["metadata"]["annotations"]
        return self._write(self.lease | {"metadata": self.lease["metadata"] | {"annotations": notes}})

    def delete(self, ref: Ref, *, propagation: str = "Background", resource_version: str = "") -> None:
        self._rival()
        if self.lease is not None and resource_version != self.lease["metadata"]["resourceVersion"]:
            raise ClusterConflict("changed")
        self.lease = None
