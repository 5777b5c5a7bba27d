"""Every way a run over two releases can end; a crash at any record changes none, nor the tiers' order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenario.two_tiers import NAMES, Tier, TwoTiers
from upgrader.model.evidence import Meter
from upgrader.model.phase import Phase
from upgrader.model.run import fold
from upgrader.model.undo import undo_commands
from upgrader.report.explain import explain_text
from upgrader.testing.fakes import FakeJournal


def bad(name: str, *, from_pods: int = 1) -> Callable[[], TwoTiers]:
    """Make a scenario in which a tier's new version fails once so many pods are new."""

    def errors(tier: Tier) -> float:
        return 0.5 if tier.name == name and tier.new >= from_pods else 0.0

    return lambda: TwoTiers(errors)


def refused_by_helm() -> TwoTiers:
    stage = TwoTiers()
    stage.tiers[1].fails = "Error: no"
    return stage


FORTH = ["inner upgrade", "outer upgrade"]
BACK = [*FORTH, "outer rollback 7", "inner rollback 4"]
ENDS: dict[str, tuple[Callable[[], TwoTiers], Phase, list[str]]] = {
    "two good versions": (TwoTiers, Phase.COMPLETED, FORTH),
    "the inner one fails": (bad("inner"), Phase.ROLLED_BACK, ["inner upgrade", "inner rollback 4"]),
    "the outer one fails": (bad("outer"), Phase.ROLLED_BACK, BACK),
    "the outer one fails at its last pod": (bad("outer", from_pods=3), Phase.ROLLED_BACK, BACK),
    "helm refuses the outer one": (refused_by_helm, Phase.ROLLED_BACK, BACK),
}


@pytest.mark.parametrize(("make", "end", "acts"), ENDS.values(), ids=ENDS)
def test_a_run_ends_as_its_scenario_says(make: Callable[[], TwoTiers], end: Phase, acts: list[str]) -> None:
    """The first tier first; back the last one first, each to its own known-good revision."""
    stage = make()

    run = stage.run()

    assert run.phase is end, (stage.seen, run.reason)
    require_right(stage, end, acts)


CRASHED = {name: row for name, row in ENDS.items() if name != "the outer one fails at its last pod"}
"""It takes the same way back as the outer one that fails earlier, and is the longest."""


@pytest.mark.parametrize(("make", "end", "acts"), CRASHED.values(), ids=CRASHED)
def test_a_crash_at_any_record_changes_no_end(
    make: Callable[[], TwoTiers], end: Phase, acts: list[str]
) -> None:
    """Before and after each record of the journal."""
    whole = make()
    whole.run()
    numbers = [line["seq"] for line in whole.journal.lines if line["seq"]]

    for number in numbers:
        for journal in (FakeJournal(crash_before=number), FakeJournal(crash_after=number)):
            stage = make()
            stage.journal = journal
            run = stage.run()
            assert run.phase is end, (number, stage.seen, run.reason)
            require_right(stage, end, acts)


def require_right(stage: TwoTiers, end: Phase, acts: list[str]) -> None:
    """Require that both stand as the end says, and that the outer was only touched on a new inner one."""
    inner, outer = stage.tiers
    assert stage.acts == acts
    assert stage.out_of_order == []
    assert (inner.is_new, outer.is_new) == (end is Phase.COMPLETED,) * 2
    assert (inner.is_old, outer.is_old) == (end is Phase.ROLLED_BACK,) * 2
    assert stage.lease.released


def test_every_verdict_over_two_tiers_is_derived_again() -> None:
    stage = bad("outer")()
    stage.run()

    said, equal = explain_text(stage.journal.lines)

    assert equal, said
    assert "outer: roll proxies 1/2" in said


def test_a_tier_that_was_not_begun_is_not_looked_at_on_the_way_back() -> None:
    """What was different there before is nobody's fault, and no reason to call a human."""
    stage = bad("inner")()
    stage.tiers[1].metadata["somebody"] = "else's"

    run = stage.run()

    assert run.phase is Phase.ROLLED_BACK


def test_the_undo_commands_go_back_through_the_tiers_that_were_begun() -> None:
    stage = bad("outer")()
    stage.run()
    lines = stage.journal.lines
    going_back = next(n for n, line in enumerate(lines) if line["phase"] == Phase.ROLLING_BACK)
    one_tier = next(n for n, line in enumerate(lines) if line["step"].startswith("outer: "))

    both, first = (undo_commands(fold(lines[:number])) for number in (going_back, one_tier))

    assert [line for line in both if "rollback" in line] == [
        "helm -n outer rollback outer 7 --force-conflicts",
        "helm -n inner rollback inner 4 --force-conflicts",
    ]
    assert [line for line in first if "rollback" in line] == [
        "helm -n inner rollback inner 4 --force-conflicts"
    ]
    for lines_of in (both, first):
        assert [line.split()[5] for line in lines_of[-2:]] == [f"upgrader-{name}" for name in NAMES]


def test_each_tier_is_judged_by_meters_of_its_own_and_all_share_one_budget() -> None:
    """Else good seconds of the first would make the second one's faults slow to see, or its pods be mixed."""
    stage = TwoTiers()
    stage.run()
    lines = stage.journal.lines
    changes = next(n for n, line in enumerate(lines) if line["step"] == "outer: freeze")

    before, after = fold(lines[: changes - 1]), fold(lines[:changes])

    assert after.step.id == "outer: freeze"
    assert after.gated_share == 0.0
    fresh = after.policy.meter("envoy_stats")
    assert after.meters["envoy_stats"] == Meter(fresh)
    assert fresh.alpha == after.policy.false_alarm / 2
    assert before.evidence < 1.0
    assert after.evidence == before.evidence
