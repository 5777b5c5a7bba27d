"""The arithmetic of exact batches, against a model of nothing but the numbers the controller keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upgrader.model.batches import next_spec, paused, pods_of, target_of, unpaused
from upgrader.model.fleet import Workload
from upgrader.model.ports import Ref

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
    rolling = unpaused(replace(TWENTY, wanted_new=new), target, 5)["strategy"]["rollingUpdate"]

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
    assert next_spec(replace(TWENTY, generation=4), 10, 5) is None


def test_a_batch_that_is_reached_is_paused_and_then_left_alone() -> None:
    rolling = replace(TWENTY, paused=False, wanted_new=2, wanted_old=19, max_surge=1, max_unavailable=0)

    spec = next_spec(rolling, 2, 5)

    assert spec == paused(rolling)
    assert next_spec(replace(rolling, paused=True), 2, 5) is None


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


@given(
    replicas=st.integers(2, 60),
    surge=st.integers(1, 20),
    data=st.data(),
)
def test_no_order_of_pods_turning_available_overshoots_a_batch(
    replicas: int, surge: int, data: st.DataObject
) -> None:
    """Any number of new pods may turn available between two looks; the target is met and never passed.

    The model is the controller's own rule for ``maxUnavailable: 0``: new pods are made up to
    ``replicas + maxSurge`` in all, and one old pod goes for each new one that is available.
    """
    target = data.draw(st.integers(1, replicas - 1))
    one = replace(TWENTY, replicas=replicas, wanted_old=replicas, wanted_new=0)
    available = 0
    for _ in range(10 * replicas):
        spec = next_spec(one, target, surge)
        if spec is not None:
            rolling = spec["strategy"]["rollingUpdate"]
            one = replace(
                one,
                paused=spec["paused"],
                max_surge=rolling["maxSurge"],
                max_unavailable=rolling["maxUnavailable"],
            )
        if one.paused:
            break
        room = replicas + int(one.max_surge) - one.wanted_new - one.wanted_old
        one = replace(one, wanted_new=one.wanted_new + max(0, room))
        assert one.wanted_new <= target
        if next_spec(one, target, surge) is not None:
            continue  # the next look comes before any pod is available
        turned = data.draw(st.integers(1, max(1, one.wanted_new - available)))
        turned = min(turned, one.wanted_new - available, one.wanted_old)
        available += turned
        one = replace(one, wanted_old=one.wanted_old - turned)

    assert one.paused
    assert one.wanted_new == target
