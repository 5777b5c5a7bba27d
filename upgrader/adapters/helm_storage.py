"""Helm's own record of a revision, and how a stale lock on it is taken off.

Helm locks a release by the status of its last revision, without owner or time. Flux's helm-controller takes a
stale lock off alike. Source: helm v3.22 and v4.3.1, ``pkg/storage/driver/util.go``, checked 2026-11.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from upgrader.errors import Refused
from upgrader.model.ports import Manifest, Ref, ReleaseStatus

PENDING = frozenset(
    {ReleaseStatus.PENDING_INSTALL, ReleaseStatus.PENDING_UPGRADE, ReleaseStatus.PENDING_ROLLBACK}
)
WORDS = "Unlocked from stale state by upgrader: nothing of this revision was found in the cluster"
KINDS = {
    "": "Secret",
    "secret": "Secret",
    "secrets": "Secret",
    "configmap": "ConfigMap",
    "configmaps": "ConfigMap",
}


def storage_ref(driver: str, *, namespace: str, release: str, revision: int) -> Ref:
    """Return the object that holds a revision.

    Args:
        driver: ``HELM_DRIVER``; empty for Secrets.
        namespace: The release's.
        release: Its name.
        revision: From 1.

    Raises:
        Refused: When releases are not stored in the cluster's objects (``sql``, ``memory``).
    """
    kind = KINDS.get(driver)
    if kind is None:
        raise Refused(
            f"releases are stored by the driver {driver!r}, which cannot be unlocked from here",
            remedy=f"helm rollback {release} to a revision known to be good",
        )
    return Ref("v1", kind, namespace, f"sh.helm.release.v1.{release}.v{revision}")


def marked_failed(stored: Manifest) -> Manifest:
    """Return a stored revision with status ``failed`` instead of ``pending-…``; the rest as it was.

    Raises:
        Refused: When the revision is not pending.
    """
    release = decode(stored)
    status = release["info"]["status"]
    if status not in PENDING:
        raise Refused(
            f"revision {release.get('version')} of {release.get('name')} is {status}, so it locks nothing"
        )
    info = release["info"] | {"status": ReleaseStatus.FAILED.value, "description": WORDS}
    labels = stored["metadata"].get("labels", {}) | {"status": ReleaseStatus.FAILED.value}
    text = encode(release | {"info": info}, kind=stored["kind"])
    return stored | {
        "metadata": stored["metadata"] | {"labels": labels},
        "data": stored["data"] | {"release": text},
    }


def decode(stored: Manifest) -> dict[str, Any]:
    """Return the release a Secret or ConfigMap holds: base64 (twice in a Secret) of JSON, gzipped or not."""
    data = base64.b64decode(stored["data"]["release"])
    if stored["kind"] == "Secret":
        data = base64.b64decode(data)
    release = json.loads(gzip.decompress(data) if data.startswith(b"\x1f\x8b\x08") else data)
    if not isinstance(release, dict):
        raise ValueError("a stored release is no object")
    return release


def encode(release: dict[str, Any], *, kind: str) -> str:
    """Return a release as a Secret or ConfigMap holds it."""
    text = json.dumps(release, ensure_ascii=False, separators=(",", ":")).encode()
    data = base64.b64encode(gzip.compress(text, mtime=0))
    return (base64.b64encode(data) if kind == "Secret" else data).decode()
