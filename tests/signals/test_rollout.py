from __future__ import annotations

from dataclasses import replace

import pytest

from tests.signals.fakes import FakeClock, fleet, pod, ports
from upgrader.model.fleet import Fleet, Side, Workload
from upgrader.model.ports import Ref
from upgrader.model.reading import Reading, Weight
from upgrader.signals.rollout import Rollout, build

OLD, NEW = pod("old-1"), pod("new-1", Side.NEW)
SETTLED = Workload(
    ref=Ref("apps/v1", "Deployment", "gw", "gateway-proxy"),
    group="proxies",
    replicas=3,
    total=3,
    updated=3,
    available=3,
    paused=False,
    generation=7,
    observed=7,
    max_surge="25%",
    max_unavailable=0,
)


def signal(clock: FakeClock | None = None) -> Rollout:
    made = build({}, ports(clock=clock or FakeClock()))
    assert isinstance(made, Rollout)
    return made


def facts(reading: Reading) -> dict[str, Weight]:
    return {fact.rule: fact.weight for fact in reading.facts}


def looks(seen: Fleet, times: int = 1) -> Reading:
    rollout = signal()
    for _ in range(times - 1):
        rollout.read(seen)
    return rollout.read(seen)


def test_a_healthy_gateway_has_numbers_and_no_facts() -> None:
    leaving = pod("old-2", terminating=True, ready=False)

    reading = looks(fleet(OLD, NEW, leaving, workloads=(SETTLED,)))

    assert reading.facts == ()
    counted = {"old_ready": 1, "old_total": 1, "new_ready": 1, "new_total": 1, "terminating": 1}
    assert counted.items() <= reading.values.items()
    assert reading.error == ""


def test_a_workload_that_is_scaled_in_mid_run_is_said() -> None:
    signal = Rollout(clock=FakeClock())
    signal.read(fleet(OLD, workloads=(SETTLED,)))

    reading = signal.read(fleet(OLD, workloads=(replace(SETTLED, replicas=SETTLED.replicas + 10),)))

    assert f"from {SETTLED.replicas} to {SETTLED.replicas + 10}" in reading.facts[0].text
    assert reading.facts[0].weight is Weight.NOTE


@pytest.mark.parametrize("changes", [{"waiting": "CrashLoopBackOff", "ready": False}, {"restarts": 2}])
def test_a_new_pod_that_crashes_again_and_again_is_a_breach(changes: dict[str, object]) -> None:
    reading = looks(fleet(OLD, pod("new-1", Side.NEW, **changes)))

    assert facts(reading) == {"crash-loop": Weight.BREACH}
    assert "1 of 1 new pods: new-1" in reading.facts[0].text


def test_one_restart_of_a_new_pod_is_no_crash_loop() -> None:
    assert facts(looks(fleet(OLD, pod("new-1", Side.NEW, restarts=1)))) == {}


@pytest.mark.parametrize(
    "why", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError"]
)
def test_a_new_pod_that_cannot_start_is_a_breach_at_the_second_look(why: str) -> None:
    seen = fleet(OLD, pod("new-1", Side.NEW, ready=False, waiting=why))

    assert facts(looks(seen)) == {}
    assert facts(looks(seen, 2)) == {"cannot-start": Weight.BREACH}
    assert why in looks(seen, 2).facts[0].text


def test_an_image_error_that_goes_away_is_forgotten() -> None:
    rollout = signal()
    failing = fleet(OLD, pod("new-1", Side.NEW, ready=False, waiting="ErrImagePull"))
    rollout.read(failing)
    rollout.read(fleet(OLD, NEW))

    assert facts(rollout.read(failing)) == {}


@pytest.mark.parametrize("waiting", ["ContainerCreating", "PodInitializing", ""])
def test_a_new_pod_that_starts_is_no_fact(waiting: str) -> None:
    assert facts(looks(fleet(OLD, pod("new-1", Side.NEW, ready=False, waiting=waiting)), 5)) == {}


def test_a_pod_without_an_address_for_half_a_minute_holds() -> None:
    waiting = pod("new-1", Side.NEW, ready=False, address="", created_at="2026-11-24T08:00:00Z")
    clock = FakeClock()
    rollout = signal(clock)
    clock.sleep(29)
    early = rollout.read(fleet(OLD, waiting))
    clock.sleep(1)

    late = rollout.read(fleet(OLD, waiting))

    assert facts(early) == {}
    assert facts(late) == {"pending": Weight.HOLD}


def test_an_old_pod_that_is_not_ready_holds_and_never_breaches() -> None:
    reading = looks(fleet(pod("old-1", ready=False, waiting="CrashLoopBackOff", restarts=9)), 5)

    assert facts(reading) == {"old-not-ready": Weight.HOLD}
    assert "not Ready, CrashLoopBackOff" in reading.facts[0].text


def test_a_restart_of_an_old_pod_is_noted() -> None:
    rollout = signal()
    rollout.read(fleet(pod("old-1", restarts=4)))

    reading = rollout.read(fleet(pod("old-1", restarts=5)))

    assert facts(reading) == {"old-restarted": Weight.NOTE}
    assert "restarts 4 → 5" in reading.facts[0].text


def test_pods_that_go_away_are_passed_over() -> None:
    gone = pod("new-1", Side.NEW, terminating=True, ready=False, waiting="CrashLoopBackOff")

    assert facts(looks(fleet(OLD, gone), 3)) == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"group": "", "updated": 1}, {"secondary-rollout"}, id="a controller's workload rolls"),
        pytest.param({"group": "", "generation": 8}, {"secondary-rollout"}, id="it is about to"),
        pytest.param({"group": ""}, set(), id="it has settled"),
        pytest.param({"updated": 1}, set(), id="one of the chart's rolls"),
        pytest.param(
            {"updated": 1, "progress_deadline_exceeded": True}, {"progress-deadline"}, id="it is overdue"
        ),
    ],
)
def test_workloads_that_roll(changes: dict[str, object], expected: set[str]) -> None:
    workload = replace(SETTLED, **changes)  # type: ignore[arg-type]

    assert set(facts(looks(fleet(OLD, workloads=(workload,))))) == expected


def test_a_watch_out_of_date_is_an_error_and_no_facts() -> None:
    crashing = pod("new-1", Side.NEW, waiting="CrashLoopBackOff")

    reading = looks(fleet(OLD, crashing, age_seconds=12, error="connection refused"))

    assert reading.error == "no word from the API server for 12 s: connection refused"
    assert reading.facts == ()
    assert reading.values == {}


def test_a_watch_that_just_broke_still_speaks_and_says_how_old_it_is() -> None:
    reading = looks(fleet(OLD, age_seconds=4))

    assert reading.error == ""
    assert reading.read_at - (reading.data_time or 0) == 4


def test_a_new_pod_of_a_tier_that_is_done_is_still_a_fact_and_in_no_number() -> None:
    """What breaks later breaks the run, whichever tier it is at."""
    done = pod("in-1", Side.NEW, waiting="CrashLoopBackOff", ready=False)
    seen = fleet(done, pod("out-1", tier=1)).of_tier(1)

    reading = signal().read(seen)

    assert facts(reading) == {"crash-loop": Weight.BREACH}
    assert (reading.values["new_total"], reading.values["old_total"]) == (0, 1)
