"""What the steps of a rolling upgrade ask of the cluster; the cluster's own part is tested on a real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from upgrader.model.batches import GUARD_SECONDS
from upgrader.model.fleet import Fleet, Pod, Side, Workload
from upgrader.model.measure import REASON, RUN, UNDO
from upgrader.model.plugins import Gate, Scene, StepPlan
from upgrader.model.ports import Manifest, Ports, Process, Ref, ReleaseStatus, Revision
from upgrader.steps import await_dependents, freeze, helm_upgrade, roll_batch, thaw
from upgrader.testing.fakes import FakeClock

REF = Ref("apps/v1", "Deployment", "edge", "proxy")
STRATEGY = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
ROW = {
    "name": "proxy",
    "namespace": "edge",
    "group": "proxies",
    "replicas": 4,
    "template": "old",
    "strategy": STRATEGY,
    "target_strategy": STRATEGY,
    "min_ready": 0,
    "target_min_ready": 3,
}
MEASURED = {"workloads": [ROW], "jobs": ["migrate"], "namespace": "edge", "known_good": 4, "last_revision": 4}
WHOLE = Workload(REF, "proxies", 4, 4, 4, 4, False, 7, 7, "25%", "25%", wanted_old=4, template="old")


@dataclass
class RecordingKube:
    """Writes down what is asked of it; holds one live Deployment."""

    live: Manifest
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def patch(self, ref: Ref, body: Any) -> Manifest:
        self.asked.append(("patch", body))
        return self.live

    def get(self, ref: Ref) -> Manifest | None:
        return self.live

    def drop_ownership(self, ref: Ref) -> bool:
        self.asked.append(("drop_ownership", ref.name))
        return True

    def delete(self, ref: Ref) -> None:
        self.asked.append(("delete", str(ref)))


@dataclass
class RecordingHelm:
    """A history, a process that runs or not, and what was asked."""

    revisions: list[Revision]
    runs: bool = False
    known: dict[str, Process] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def history(self) -> tuple[Revision, ...]:
        return tuple(self.revisions)

    def started(self, role: str) -> Process | None:
        return self.known.get(role)

    def running(self, process: Process) -> bool:
        return self.runs

    def output(self, process: Process) -> str:
        return "Error: no"

    def stop(self, process: Process) -> None:
        self.asked.append("stop")

    def kill(self, process: Process) -> None:
        self.asked.append("kill")

    def start_upgrade(self, chart: Any, *, labels: Mapping[str, str]) -> Process:
        self.asked.append("upgrade")
        return Process(10, 1, "forward.log")

    def start_rollback(self, revision: int, *, as_: str) -> Process:
        self.asked.append(f"rollback to {revision} as {as_}")
        return Process(11, 1, f"{as_}.log")


def deployment(**spec: Any) -> Manifest:
    annotations = {RUN: "r", REASON: "why", UNDO: "how", "theirs": "stays"}
    body = {"replicas": 4, "strategy": STRATEGY, **spec}
    return {"metadata": {"name": "proxy", "annotations": annotations}, "spec": body}


def scene(
    workload: Workload = WHOLE,
    *,
    live: Manifest | None = None,
    pods: tuple[Pod, ...] = (),
    helm: RecordingHelm | None = None,
    facts: Mapping[str, Any] | None = None,
) -> tuple[Scene, RecordingKube]:
    kube = RecordingKube(live or deployment(paused=True))
    nothing = cast(Any, None)
    ports = Ports(FakeClock(), cast(Any, kube), cast(Any, helm), nothing, nothing, nothing)
    return Scene(ports, Fleet((workload,), pods), MEASURED, facts or {}), kube


def plan(kind: str, **settings: Any) -> StepPlan:
    return StepPlan(kind, kind, Gate.NONE, {"workloads": ["proxy"], "run": "r", **settings}, 60.0)


def new_pod(number: int, *, ready: bool = True) -> Pod:
    return Pod(
        f"n{number}", "edge", f"u{number}", "10.0.0.1", "proxy", "proxies", Side.NEW, ready, False, 0, "", ()
    )


BATCH = plan("roll_batch", counts={"proxy": 2}, of={"proxy": 4})
ROLLING = replace(WHOLE, template="new", paused=True, updated=0)


def test_freeze_pauses_and_says_on_the_object_who_why_and_how_to_undo_it() -> None:
    here, kube = scene(WHOLE)

    freeze.build(plan("freeze")).start(here)

    (_, body) = kube.asked[0]
    assert body["spec"] == {"paused": True}
    assert body["metadata"]["annotations"][RUN] == "r"
    assert "rollout resume deployment proxy" in body["metadata"]["annotations"][UNDO]


def test_letting_go_waits_for_the_old_template() -> None:
    """Unpaused with the new template still in it, a Deployment would go on to the new version."""
    here, kube = scene(replace(ROLLING, wanted_new=1))

    progress = freeze.build(plan("freeze")).undo(here)

    assert not progress.done
    assert kube.asked == []


def test_letting_go_replaces_all_bad_pods_in_one_wave_and_gives_up_no_capacity() -> None:
    here, kube = scene(replace(WHOLE, paused=True, wanted_new=3, wanted_old=1, available=4, total=4))

    freeze.build(plan("freeze")).undo(here)

    rolling = {"maxUnavailable": 0, "maxSurge": 3}
    spec = {"paused": None, "minReadySeconds": 0, "strategy": {"rollingUpdate": rolling}}
    assert kube.asked == [("patch", {"spec": spec})]


def test_a_whole_deployment_gets_its_strategy_back_and_loses_our_marks_and_ownership() -> None:
    here, kube = scene(replace(WHOLE, paused=True))

    progress = freeze.build(plan("freeze")).undo(here)

    body = {
        "metadata": {"annotations": {RUN: None, REASON: None, UNDO: None}},
        "spec": {"paused": None, "minReadySeconds": 0, "strategy": STRATEGY},
    }
    assert kube.asked == [("patch", body), ("drop_ownership", "proxy")]
    assert not progress.done


def test_what_is_let_go_already_is_not_touched_again() -> None:
    clean = deployment()
    clean["metadata"]["annotations"] = {"theirs": "stays"}
    here, kube = scene(WHOLE, live=clean)

    assert freeze.build(plan("freeze")).undo(here).done
    assert kube.asked == []


def test_a_batch_lets_the_controller_go_on_by_no_more_than_is_left() -> None:
    here, kube = scene(ROLLING)

    progress = roll_batch.build(BATCH).poll(here)

    rolling = {"maxUnavailable": 0, "maxSurge": 1}
    spec = {"paused": False, "minReadySeconds": GUARD_SECONDS, "strategy": {"rollingUpdate": rolling}}
    assert kube.asked == [("patch", {"spec": spec})]
    assert progress.detail == "proxy: 0 of 2 new pods Ready"


@pytest.mark.parametrize(
    ("pods", "available", "done"),
    [
        pytest.param((new_pod(1), new_pod(2)), 5, True, id="both ready"),
        pytest.param((new_pod(1), new_pod(2, ready=False)), 5, False, id="one not ready"),
        pytest.param((new_pod(1), new_pod(2)), 3, False, id="capacity is short"),
    ],
)
def test_a_batch_is_done_when_its_pods_are_ready_and_none_is_missing(
    pods: tuple[Pod, ...], available: int, done: bool
) -> None:
    reached = replace(ROLLING, wanted_new=2, wanted_old=3, total=5, available=available, max_surge=1)
    here, _ = scene(replace(reached, max_unavailable=0), pods=pods)

    assert roll_batch.build(BATCH).poll(here).done is done


def test_a_deployment_whose_template_did_not_change_has_nothing_to_replace() -> None:
    here, kube = scene(replace(WHOLE, paused=True))

    assert roll_batch.build(BATCH).poll(here).done
    assert kube.asked == []


def test_the_brake_pauses_with_the_surplus_that_exists() -> None:
    here, kube = scene(replace(ROLLING, paused=False, wanted_new=1, wanted_old=4))

    progress = roll_batch.build(BATCH).brake(here)

    rolling = {"maxUnavailable": 0, "maxSurge": 1}
    spec = {"paused": True, "strategy": {"rollingUpdate": rolling}}
    assert kube.asked == [("patch", {"spec": spec})]
    assert not progress.done


def test_the_thaw_replaces_the_last_old_pod_and_only_then_lets_go() -> None:
    last = replace(ROLLING, wanted_new=3, wanted_old=1, available=4, total=4)
    here, kube = scene(last)
    step = thaw.build(plan("thaw"))

    assert not step.poll(here).done
    assert kube.asked[0][1]["spec"]["paused"] is False

    here, kube = scene(replace(last, paused=False, wanted_new=4, wanted_old=0))

    assert not step.poll(here).done
    assert kube.asked[0][1]["spec"] == {"paused": None, "minReadySeconds": 3, "strategy": STRATEGY}


CHART = {"chart": {"path": "/c.tgz", "name": "c", "version": "2", "digest": "sha256:1"}}
GOOD = Revision(4, ReleaseStatus.DEPLOYED, "c-1")
HELM = plan("helm_upgrade", revision=0)


def helm_scene(helm: RecordingHelm, **facts: Any) -> tuple[Scene, RecordingKube]:
    here, kube = scene(helm=helm, facts=facts)
    return replace(here, measured={**MEASURED, **CHART}), kube


def test_helm_is_started_after_our_field_ownership_is_gone() -> None:
    """A strategy that another manager owns makes Helm 4's server-side apply fail."""
    helm = RecordingHelm([GOOD])
    here, kube = helm_scene(helm)

    facts = helm_upgrade.build(HELM).start(here)

    assert kube.asked == [("drop_ownership", "proxy")]
    assert (helm.asked, facts["forward"]["pid"]) == (["upgrade"], 10)


def test_a_helm_that_runs_already_is_taken_up_and_not_started_again() -> None:
    helm = RecordingHelm([GOOD], runs=True, known={"forward": Process(9, 1, "f")})
    here, _ = helm_scene(helm)

    assert helm_upgrade.build(HELM).start(here)["forward"]["pid"] == 9
    assert helm.asked == []


@pytest.mark.parametrize(
    ("status", "done", "failed"),
    [
        pytest.param(ReleaseStatus.DEPLOYED, True, "", id="deployed"),
        pytest.param(ReleaseStatus.FAILED, False, "failed: Error: no", id="failed"),
        pytest.param(ReleaseStatus.PENDING_UPGRADE, False, "pending-upgrade: Error: no", id="killed"),
    ],
)
def test_how_helm_ended_is_asked_of_the_history(status: ReleaseStatus, done: bool, failed: str) -> None:
    helm = RecordingHelm([GOOD, Revision(5, status, "c-2")])
    here, _ = helm_scene(helm, forward={"pid": 10, "started": 1, "log": "f"})

    progress = helm_upgrade.build(HELM).poll(here)

    assert progress.done is done
    assert progress.failed.endswith(failed)


def test_the_way_back_ends_a_running_helm_first_and_kills_it_only_when_it_does_not_listen() -> None:
    helm = RecordingHelm([GOOD, Revision(5, ReleaseStatus.PENDING_UPGRADE, "c-2")], runs=True)
    forward = {"pid": 10, "started": 1, "log": "f"}
    here, _ = helm_scene(helm, forward=forward)
    step = helm_upgrade.build(HELM)

    stopped_at = step.undo(here).facts["stopped_at"]
    here, _ = helm_scene(helm, forward=forward, stopped_at=stopped_at)
    step.undo(here)
    here, _ = helm_scene(helm, forward=forward, stopped_at=stopped_at - 31)
    step.undo(here)

    assert helm.asked == ["stop", "kill"]


def test_who_scaled_in_mid_run_is_noted_before_helm_goes_back_and_given_back_after() -> None:
    """Helm's rollback sets what the old chart renders: 4, where an operator wanted 6."""
    helm = RecordingHelm([GOOD, Revision(5, ReleaseStatus.FAILED, "c-2")])
    here, _ = scene(replace(WHOLE, replicas=6), helm=helm)
    there, kube = helm_scene(
        RecordingHelm([GOOD, Revision(6, ReleaseStatus.DEPLOYED, "c-1", description="Rollback to 4")]),
        replicas={"proxy": 6},
    )

    noted = helm_upgrade.build(HELM).undo(here)
    back = helm_upgrade.build(HELM).undo(there)

    assert (helm.asked, noted.facts) == ([], {"replicas": {"proxy": 6}})
    assert (back.done, kube.asked) == (True, [("patch", {"spec": {"replicas": 6}})])


@pytest.mark.parametrize(
    ("live", "asked"),
    [
        pytest.param(4, [("patch", {"spec": {"replicas": 6}})], id="helm has written"),
        pytest.param(6, [], id="helm has not written yet"),
        pytest.param(8, [], id="somebody scales on"),
    ],
)
def test_pods_that_helm_took_away_are_given_back_while_it_still_runs(live: int, asked: list[Any]) -> None:
    """Its hooks may take minutes, and capacity is short meanwhile."""
    helm = RecordingHelm([GOOD, Revision(6, ReleaseStatus.PENDING_ROLLBACK, "c-1")], runs=True)
    facts = {"replicas": {"proxy": 6}, "back": {"pid": 11, "started": 1, "log": "b"}}
    here, kube = scene(live=deployment(paused=True, replicas=live), helm=helm, facts=facts)

    progress = helm_upgrade.build(HELM).undo(here)

    assert (progress.done, progress.failed) == (False, "")
    assert kube.asked == asked


def test_the_way_back_takes_jobs_and_ownership_out_of_the_way_before_helm_rollback() -> None:
    helm = RecordingHelm([GOOD, Revision(5, ReleaseStatus.FAILED, "c-2")])
    here, kube = helm_scene(helm, replicas={})

    facts = helm_upgrade.build(HELM).undo(here).facts

    assert kube.asked == [("delete", "Job edge/migrate"), ("drop_ownership", "proxy")]
    assert helm.asked == ["rollback to 4 as back"]
    assert facts["back"]["pid"] == 11


@pytest.mark.parametrize(
    ("last", "done"),
    [
        pytest.param(GOOD, True, id="nothing was written"),
        pytest.param(
            Revision(6, ReleaseStatus.DEPLOYED, "c-1", description="Rollback to 4"), True, id="back"
        ),
        pytest.param(
            Revision(6, ReleaseStatus.DEPLOYED, "c-1", description="Rollback to 3"), False, id="other"
        ),
    ],
)
def test_the_way_back_is_over_when_the_history_says_so(last: Revision, done: bool) -> None:
    helm = RecordingHelm([GOOD, last])
    here, _ = helm_scene(helm)

    assert helm_upgrade.build(HELM).undo(here).done is done


def test_a_failed_way_back_is_said_and_not_tried_for_ever() -> None:
    helm = RecordingHelm([GOOD, Revision(5, ReleaseStatus.PENDING_ROLLBACK, "c-1")])
    here, _ = helm_scene(helm, back={"pid": 11, "started": 1, "log": "b"})

    progress = helm_upgrade.build(HELM).undo(here)

    assert "revision 5 as pending-rollback" in progress.failed
    assert helm.asked == []


def test_dependents_that_never_change_are_waited_for_only_so_long() -> None:
    step = await_dependents.build(plan("await_dependents", patience_seconds=90.0))
    here, _ = scene(replace(WHOLE, paused=True), facts={"waiting_since": FakeClock().now() - 91})

    progress = step.poll(here)

    assert progress.done
    assert "did not change" in progress.detail
