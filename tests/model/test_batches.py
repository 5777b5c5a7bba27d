"""The arithmetic of exact batches, against a model of nothing but the numbers the controller keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upgrader.model.batches import GUARD_SECONDS, ChartRoll, next_spec, paused, pods_of, target_of, unpaused
from upgrader.model.fleet import Workload
from upgrader.model.ports import Ref

CHART = ChartRoll(surge=5, min_ready=2)
TWENTY = Workload(
    ref=Ref("apps/v1", "Deployment", "edge", "proxy"),
    group="proxies",
    replicas=20,
    total=20,
    updated=0,
    available=20,
    paused=True,
    generation=3,
    observed=3,
    max_surge="25%",
    max_unavailable="25%",
    wanted_old=20,
)


@pytest.mark.parametrize(
    ("value", "replicas", "up", "pods"),
    [
        pytest.param("25%", 20, True, 5, id="even"),
        pytest.param("25%", 3, True, 1, id="surge rounds up"),
        pytest.param("25%", 3, False, 0, id="unavailable rounds down"),
        pytest.param(2, 20, True, 2, id="a number is a number"),
        pytest.param("2", 20, True, 2, id="also as text"),
    ],
)
def test_percentages_become_pods_as_the_controller_does(
    value: int | str, replicas: int, up: bool, pods: int
) -> None:
    assert pods_of(value, replicas, up=up) == pods


@pytest.mark.parametrize(
    ("new", "target", "surge"),
    [
        pytest.param(0, 1, 1, id="the first pod alone"),
        pytest.param(2, 10, 5, id="never above what the chart allows"),
        pytest.param(7, 10, 3, id="never above what is left"),
        pytest.param(20, 20, 1, id="the API refuses no surge and no unavailable"),
    ],
)
def test_the_surge_is_what_is_left_and_what_the_chart_allows(new: int, target: int, surge: int) -> None:
    rolling = unpaused(replace(TWENTY, wanted_new=new), target, CHART)["strategy"]["rollingUpdate"]

    assert rolling == {"maxUnavailable": 0, "maxSurge": surge}


@pytest.mark.parametrize(
    ("new", "old", "rolling"),
    [
        pytest.param(1, 20, {"maxUnavailable": 0, "maxSurge": 1}, id="the surplus that exists"),
        pytest.param(10, 10, {"maxUnavailable": 1, "maxSurge": 0}, id="none: both 0 is refused"),
    ],
)
def test_a_pause_keeps_old_and_new_as_they_are(new: int, old: int, rolling: dict[str, int]) -> None:
    spec = paused(replace(TWENTY, wanted_new=new, wanted_old=old))

    assert spec == {"paused": True, "strategy": {"rollingUpdate": rolling}}


def test_nothing_is_patched_before_the_controller_has_seen_the_last_patch() -> None:
    """Deciding on a status that is older than our own patch would overshoot."""
    assert next_spec(replace(TWENTY, generation=4), 10, CHART) is None


def test_a_batch_that_is_reached_is_paused_and_then_left_alone() -> None:
    rolling = replace(TWENTY, paused=False, wanted_new=2, wanted_old=19, max_surge=1, max_unavailable=0)

    spec = next_spec(rolling, 2, CHART)

    assert spec == paused(rolling)
    assert next_spec(replace(rolling, paused=True), 2, CHART) is None


@pytest.mark.parametrize(
    ("target", "chart", "deadline", "seconds"),
    [
        pytest.param(10, 2, 600, GUARD_SECONDS, id="longer than two looks are apart"),
        pytest.param(10, 45, 600, 45, id="never shorter than the chart has it"),
        pytest.param(10, 2, 8, 7, id="the API wants it below the progress deadline"),
        pytest.param(20, 2, 600, 2, id="all pods: nothing to stop before"),
    ],
)
def test_until_the_last_batch_new_pods_are_held_back_from_counting(
    target: int, chart: int, deadline: int, seconds: int
) -> None:
    one = replace(TWENTY, progress_deadline=deadline)

    assert unpaused(one, target, ChartRoll(5, chart))["minReadySeconds"] == seconds


@pytest.mark.parametrize(
    ("count", "of", "replicas", "target"),
    [
        pytest.param(10, 20, 20, 10, id="not scaled"),
        pytest.param(10, 20, 30, 15, id="the same share of more pods"),
        pytest.param(19, 20, 30, 28, id="rounded down, so that an old one stays"),
        pytest.param(1, 20, 4, 1, id="one at least"),
        pytest.param(3, 0, 5, 3, id="nothing known of before"),
    ],
)
def test_a_batch_means_its_share_when_the_deployment_was_scaled(
    count: int, of: int, replicas: int, target: int
) -> None:
    assert target_of(count, of, replace(TWENTY, replicas=replicas)) == target


@dataclass
class Controller:
    """The Deployment controller's own rule for ``maxUnavailable: 0``, and nothing else of it.

    New pods are made up to ``replicas + maxSurge`` in all, and one old pod goes for each new one that has
    been Ready for ``minReadySeconds``. It acts at once; a pod is Ready ``start`` seconds after it was made.
    """

    seen: Workload
    start: Iterator[int]
    now: int = 0
    ready_at: list[int] = field(default_factory=list)

    def patched(self, spec: dict[str, Any]) -> None:
        rolling = spec["strategy"]["rollingUpdate"]
        self.seen = replace(
            self.seen,
            paused=spec["paused"],
            min_ready=spec.get("minReadySeconds", self.seen.min_ready),
            max_surge=rolling["maxSurge"],
            max_unavailable=rolling["maxUnavailable"],
        )
        self._act()

    def pass_second(self) -> None:
        self.now += 1
        self._act()

    def _act(self) -> None:
        if self.seen.paused:
            return
        one, replicas = self.seen, self.seen.replicas
        available = sum(self.now - at >= one.min_ready for at in self.ready_at)
        old = min(one.wanted_old, max(0, replicas - available))
        new = max(one.wanted_new, replicas + int(one.max_surge) - old)
        self.ready_at += [self.now + next(self.start) for _ in range(new - one.wanted_new)]
        self.seen = replace(one, wanted_old=old, wanted_new=new)


@given(replicas=st.integers(2, 60), surge=st.integers(1, 20), own=st.integers(0, 3), data=st.data())
def test_no_order_of_pods_turning_available_overshoots_a_batch(
    replicas: int, surge: int, own: int, data: st.DataObject
) -> None:
    """Whenever pods turn Ready, and however late a look is within the guard: met, and never passed."""
    target = data.draw(st.integers(1, replicas - 1))
    starts = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=8))
    looks = data.draw(st.lists(st.integers(1, GUARD_SECONDS - 1), min_size=1, max_size=8))
    world = Controller(replace(TWENTY, replicas=replicas, wanted_old=replicas), start=cycle(starts))
    for late in islice(cycle(looks), 50 * replicas):
        spec = next_spec(world.seen, target, ChartRoll(surge, own))
        if spec is not None:
            world.patched(spec)
        if world.seen.paused:
            break
        for _ in range(late):
            world.pass_second()
        assert world.seen.wanted_new <= target

    assert world.seen.paused
    assert world.seen.wanted_new == target
