"""What a run leaves behind is found: on the objects, as a Lease, in Helm's history."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from upgrader.lab.rehearse.remains import Snapshot, left_behind
from upgrader.model.phase import Phase

STRATEGY = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}


def _object(kind: str, name: str, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid of {name}", "resourceVersion": "1", "annotations": {"a": "b"}}
    return {"kind": kind, "metadata": metadata, "status": {"seen": 1}, **more}


def before() -> Snapshot:
    deployment = _object("Deployment", "proxy", spec={"replicas": 3, "strategy": STRATEGY, "template": "old"})
    helms = _object("Secret", "sh.helm.release.v1.edge.v1", type="helm.sh/release.v1")
    history = [{"revision": 1, "status": "deployed", "chart": "gateway-1.11.28"}]
    return Snapshot((deployment, _object("Service", "proxy"), helms), ("cert-controller",), history)


def after(phase: Phase) -> Snapshot:
    """Return what a clean end looks like: new numbers of the controllers, a longer history."""
    objects: list[Any] = copy.deepcopy(list(before().objects))
    objects[0]["metadata"] |= {"resourceVersion": "9", "generation": 7}
    objects[0]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "3"
    objects.append(_object("Secret", "sh.helm.release.v1.edge.v2", type="helm.sh/release.v1"))
    history = [{"revision": 1, "status": "superseded", "chart": "gateway-1.11.28"}]
    history.append({"revision": 2, "status": "superseded", "chart": "gateway-1.11.30"})
    if phase is Phase.ROLLED_BACK:
        history.append({"revision": 3, "status": "deployed", "chart": "gateway-1.11.28"})
    else:
        history[1]["status"] = "deployed"
        objects[0]["spec"]["template"] = "new"
    return Snapshot(objects, ("cert-controller",), history)


@pytest.mark.parametrize("phase", [Phase.COMPLETED, Phase.ROLLED_BACK])
def test_a_clean_end_leaves_nothing(phase: Phase) -> None:
    assert left_behind(before(), after(phase), returned=phase is Phase.ROLLED_BACK) == ()


def _changed(snapshot: Snapshot, change: Callable[[dict[str, Any]], object]) -> Snapshot:
    objects: list[Any] = copy.deepcopy(list(snapshot.objects))
    change(objects[0])
    return replace(snapshot, objects=objects)


LEFT: list[tuple[Phase, Callable[[dict[str, Any]], object], str]] = [
    (Phase.COMPLETED, lambda one: one["spec"].update(paused=True), "still paused"),
    (Phase.COMPLETED, lambda one: one["metadata"].update(annotations={"upgrader/run": "x"}), "annotations"),
    (Phase.COMPLETED, lambda one: one["spec"].update(strategy={"type": "Recreate"}), "strategy.type"),
    (Phase.COMPLETED, lambda one: one["spec"].update(replicas=4), "replicas"),
    (Phase.ROLLED_BACK, lambda one: one["spec"].update(template="new"), "spec.template"),
    (Phase.ROLLED_BACK, lambda one: one["metadata"].update(uid="another"), "metadata.uid"),
    (Phase.ROLLED_BACK, lambda one: one["metadata"].update(name="other"), "Deployment proxy is gone"),
    (Phase.ROLLED_BACK, lambda one: one["metadata"].update(name="other"), "other was not there before"),
]  # fmt: skip


@pytest.mark.parametrize(("phase", "change", "says"), LEFT, ids=[f"{row[0]}: {row[2]}" for row in LEFT])
def test_what_is_left_on_an_object_is_said(
    phase: Phase, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    found = left_behind(before(), _changed(after(phase), change), returned=phase is Phase.ROLLED_BACK)

    assert any(says in one for one in found), found


def test_a_lease_that_stays_is_said() -> None:
    left = replace(after(Phase.COMPLETED), leases=("upgrader-edge",))

    assert left_behind(before(), left, returned=False) == ("Lease upgrader-edge is still there",)


@pytest.mark.parametrize(
    ("phase", "last"),
    [
        (Phase.COMPLETED, {"revision": 3, "status": "pending-upgrade", "chart": "gateway-1.11.30"}),
        (Phase.COMPLETED, {"revision": 3, "status": "deployed", "chart": "gateway-1.11.28"}),
        (Phase.ROLLED_BACK, {"revision": 4, "status": "deployed", "chart": "gateway-1.11.30"}),
    ],
)
def test_a_history_that_ends_wrongly_is_said(phase: Phase, last: dict[str, Any]) -> None:
    clean = after(phase)
    wrong = replace(clean, history=[*clean.history, last])

    assert left_behind(before(), wrong, returned=phase is Phase.ROLLED_BACK)
