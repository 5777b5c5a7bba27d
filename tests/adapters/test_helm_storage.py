"""Helm's own records: read, and freed of a stale lock."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from upgrader.adapters.helm_storage import decode, encode, marked_failed, storage_ref
from upgrader.errors import Refused
from upgrader.model.ports import Manifest

RELEASE = {
    "name": "gw",
    "version": 7,
    "info": {"status": "pending-upgrade", "description": "Preparing upgrade", "first_deployed": "2026"},
    "config": {"ratio": 0.1, "big": 12345678901234567890, "text": "ü<>&"},
    "manifest": "---\nkind: ConfigMap\n",
}


def stored(kind: str, release: dict[str, Any], *, zipped: bool = True) -> Manifest:
    """Encode as Helm does: ``pkg/storage/driver/util.go``."""
    data = json.dumps(release).encode()
    text = base64.b64encode(gzip.compress(data) if zipped else data)
    inside = base64.b64encode(text) if kind == "Secret" else text
    labels = {"name": "gw", "owner": "helm", "status": release["info"]["status"], "version": "7"}
    metadata = {"name": "sh.helm.release.v1.gw.v7", "labels": labels, "resourceVersion": "9"}
    return {
        "kind": kind,
        "metadata": metadata,
        "data": {"release": inside.decode()},
        "type": "helm.sh/release.v1",
    }


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pending_revision_is_marked_failed_and_nothing_else(kind: str, zipped: bool) -> None:
    before = stored(kind, RELEASE, zipped=zipped)

    after = marked_failed(before)

    release = decode(after)
    assert release["info"].pop("status") == "failed"
    assert "stale" in release["info"].pop("description")
    assert release["info"] == {"first_deployed": "2026"}
    assert {key: value for key, value in release.items() if key != "info"} == {
        key: value for key, value in RELEASE.items() if key != "info"
    }
    assert after["metadata"]["labels"] == before["metadata"]["labels"] | {"status": "failed"}
    assert after["metadata"]["resourceVersion"] == "9"
    assert after["type"] == before["type"]


@pytest.mark.parametrize("status", ["deployed", "failed", "superseded", "uninstalling"])
def test_what_is_not_pending_is_left_alone(status: str) -> None:
    release = RELEASE | {"info": {"status": status}}

    with pytest.raises(Refused, match=status):
        marked_failed(stored("Secret", release))


def test_encoding_and_decoding_agree() -> None:
    for kind in ("Secret", "ConfigMap"):
        assert decode({"kind": kind, "data": {"release": encode(RELEASE, kind=kind)}}) == RELEASE


@pytest.mark.parametrize(
    ("driver", "kind"),
    [("", "Secret"), ("secret", "Secret"), ("secrets", "Secret"), ("configmap", "ConfigMap")],
)
def test_the_record_is_where_the_driver_keeps_it(driver: str, kind: str) -> None:
    ref = storage_ref(driver, namespace="gw", release="edge", revision=7)

    assert str(ref) == f"{kind} gw/sh.helm.release.v1.edge.v7"


@pytest.mark.parametrize("driver", ["sql", "memory"])
def test_a_record_outside_the_cluster_is_refused(driver: str) -> None:
    with pytest.raises(Refused, match=driver):
        storage_ref(driver, namespace="gw", release="edge", revision=7)
