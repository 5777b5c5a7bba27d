"""Whether a balancer takes new pods in: what it says of them, look by look."""

from __future__ import annotations

import pytest

from tests.signals.fakes import fleet, pod
from upgrader.model.backend_health import LOOKS_TO_BELIEVE, Health, Intake, counted, worst
from upgrader.model.fleet import Side
from upgrader.model.reading import Weight

OLD, NEW = pod("old-1", address="10.0.0.1"), pod("new-1", Side.NEW, address="10.0.0.2")
BOTH = fleet(OLD, NEW)


def looks(
    old: Health, new: Health, *, times: int = LOOKS_TO_BELIEVE, settle: float = 0
) -> list[tuple[str, Weight]]:
    intake = Intake("the balancer", settle_seconds=settle)
    health = {"10.0.0.1": old, "10.0.0.2": new}
    for second in range(times):
        facts = intake.facts(intake.serving(BOTH, health), health, now=float(second))
    return [(fact.rule, fact.weight) for fact in facts]


@pytest.mark.parametrize("bad", [Health.FAILING, Health.ABSENT])
def test_a_new_pod_that_is_never_taken_in_is_proof_while_old_ones_are(bad: Health) -> None:
    assert looks(Health.HEALTHY, bad) == [("no-healthy-new-backend", Weight.BREACH)]
    assert looks(Health.FAILING, bad) == [("no-healthy-backend", Weight.HOLD)]


def test_one_bad_look_less_is_no_fact() -> None:
    assert looks(Health.HEALTHY, Health.FAILING, times=LOOKS_TO_BELIEVE - 1) == []


def test_nothing_is_a_fact_before_the_settle_time_is_over() -> None:
    assert looks(Health.HEALTHY, Health.ABSENT, settle=100) == []


@pytest.mark.parametrize(("old", "new"), [(Health.HEALTHY, Health.UNKNOWN), (Health.UNKNOWN, Health.HEALTHY)])
def test_what_the_balancer_does_not_know_holds_and_never_blames(old: Health, new: Health) -> None:
    assert looks(old, new) == [("backend-unknown", Weight.HOLD)]


@pytest.mark.parametrize("waiting", [Health.UNPROVEN, Health.LEAVING])
def test_a_state_on_its_way_to_another_is_no_fact(waiting: Health) -> None:
    assert looks(Health.HEALTHY, waiting) == []


def test_the_worst_of_a_pods_ports_counts_and_only_healthy_is_healthy() -> None:
    assert worst([Health.HEALTHY, Health.UNKNOWN, Health.UNPROVEN]) is Health.UNKNOWN
    assert worst([Health.FAILING, Health.UNKNOWN]) is Health.FAILING
    assert worst([]) is Health.ABSENT
    values = counted([OLD, NEW], {"10.0.0.1": Health.HEALTHY, "10.0.0.2": Health.UNKNOWN})
    assert values == {"old_healthy": 1, "old_total": 1, "new_healthy": 0, "new_total": 1}


def test_a_balancer_sees_its_own_tier_whichever_is_upgraded() -> None:
    """In front of the outer tier, it is neither blind nor in doubt while the inner one's pods are new."""
    inner = pod("in-1", Side.NEW, address="10.0.0.1")
    outer = pod("out-1", address="10.0.0.2", tier=1)
    intake = Intake("front", settle_seconds=0.0)

    for second in range(10):
        pods = intake.serving(fleet(inner, outer).of_tier(0), {"10.0.0.2"})
        facts = intake.facts(pods, {"10.0.0.2": Health.HEALTHY}, now=float(second))

    assert (pods, facts, intake.knows_any) == ((outer,), (), True)
