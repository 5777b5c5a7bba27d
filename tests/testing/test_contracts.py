"""A contract is worth what it refuses: plugins with one fault each, and the test that finds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.e2e.third_party import acme_contracts as acme
from tests.e2e.third_party.upgrader_acme import window
from tests.e2e.third_party.upgrader_acme.api import AcmeApi
from tests.e2e.third_party.upgrader_acme.balancer import AcmeBalancer
from tests.e2e.third_party.upgrader_acme.error_counters import AcmeErrors
from tests.steps.played import PlayedDeployment
from tests.steps.test_contract import _RollingRig
from tests.steps.test_rolling_steps import plan
from upgrader.errors import BalancerUnwilling
from upgrader.model.evidence import Counts
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Check, Finding, Gate, Progress, Scene, Severity, Split, StepPlan, Survey
from upgrader.model.reading import Reading
from upgrader.steps.roll_batch import RollBatch
from upgrader.strategies import rolling
from upgrader.testing.contracts.balancers import BalancerContract
from upgrader.testing.contracts.checks import CheckContract
from upgrader.testing.contracts.rigs import Trouble
from upgrader.testing.contracts.signals import SignalContract
from upgrader.testing.contracts.steps import StepContract
from upgrader.testing.contracts.strategies import Planner, StrategyContract
from upgrader.testing.surveys import SurveyBuilder


def refuses(test: Callable[[], None]) -> bool:
    """Tell whether a contract's test fails, in whichever way."""
    try:
        test()
    except (Exception, pytest.fail.Exception):
        return True
    return False


class Raises(AcmeBalancer):
    def read(self, fleet: Fleet) -> Reading:
        self._api.get("/split")
        return super().read(fleet)


class TakesFailureForNone(AcmeBalancer):
    """What could not be read counts as nobody healthy."""

    def read(self, fleet: Fleet) -> Reading:
        read = super().read(fleet)
        return (
            replace(read, error="", data_time=read.read_at, values={"new_healthy": 0.0})
            if read.error
            else read
        )


class TakesOpenForHealthy(AcmeBalancer):
    """Nobody is well and all get traffic: it calls that well."""

    def read(self, fleet: Fleet) -> Reading:
        read = super().read(fleet)
        said = self._api.get("/backends").values() if not read.error else ()
        return replace(read, values={**read.values, "new_healthy": 1.0}) if "all-open" in said else read


class Hasty(AcmeBalancer):
    """It gives a pod no time."""

    def __init__(self, api: AcmeApi, settings: Mapping[str, Any], ports: Any) -> None:
        super().__init__(api, {**settings, "settle": settings["settle"] * 0}, ports)


class Slow(AcmeBalancer):
    def read(self, fleet: Fleet) -> Reading:
        cast(Any, self._clock).sleep(1.5)
        return super().read(fleet)


class Silent(AcmeBalancer):
    """It drops a word that it does not know."""

    def read(self, fleet: Fleet) -> Reading:
        return replace(super().read(fleet), facts=())


class RoundsToNothing(AcmeBalancer):
    def move(self, green_ratio: float) -> None:
        self._api.put("/split", {"green_permille": 5 * round(green_ratio * 200)})


class Remembers(AcmeBalancer):
    """It tells what it was asked for, not what is."""

    asked = 0.0

    def move(self, green_ratio: float) -> None:
        super().move(green_ratio)
        self.asked = green_ratio

    def split(self) -> Split:
        return Split(self.asked)


class Swallows(AcmeBalancer):
    def move(self, green_ratio: float) -> None:
        with suppress(BalancerUnwilling):
            super().move(green_ratio)


class Insists(AcmeBalancer):
    """It tries again by itself."""

    def move(self, green_ratio: float) -> None:
        with suppress(BalancerUnwilling):
            return super().move(green_ratio)
        super().move(green_ratio)


class SaysNothing(AcmeBalancer):
    def by_hand(self, green_ratio: float) -> str:
        return " "


@pytest.mark.parametrize(
    ("faulty", "test", "given"),
    [
        (Raises, "test_missing_data_is_an_error_and_never_a_value", {"trouble": Trouble.DOWN}),
        (TakesFailureForNone, "test_missing_data_is_an_error_and_never_a_value", {"trouble": Trouble.DOWN}),
        (TakesOpenForHealthy, "test_every_word_means_what_it_must", {"word": "all-open"}),
        (Hasty, "test_a_new_pod_has_its_time_to_settle", {}),
        (Slow, "test_while_all_is_well_it_has_no_error", {}),
        (Silent, "test_a_word_that_is_not_known_is_doubt_and_is_said", {}),
        (RoundsToNothing, "test_other_shares_are_never_rounded_to_all_or_nothing", {"wanted": 1e-6}),
        (Remembers, "test_a_provider_that_lies_shows_in_the_split", {}),
        (Remembers, "test_what_somebody_else_sets_shows_too", {}),
        (Remembers, "test_a_split_that_cannot_be_read_says_why", {"trouble": Trouble.RIGHTS}),
        (
            Swallows,
            "test_a_move_that_is_not_taken_raises_and_the_split_tells_the_truth",
            {"trouble": Trouble.THROTTLED, "writes_only": True},
        ),
        (
            Insists,
            "test_a_move_that_is_not_taken_raises_and_the_split_tells_the_truth",
            {"trouble": Trouble.THROTTLED, "writes_only": True},
        ),
        (SaysNothing, "test_an_operator_is_told_how_to_do_it_by_hand", {}),
    ],
)
def test_a_balancer_with_a_fault_is_refused(
    faulty: type[AcmeBalancer], test: str, given: Mapping[str, Any]
) -> None:
    def contract(kind: type[AcmeBalancer]) -> Any:
        class Contract(BalancerContract):
            def make_rig(self) -> acme.FrontRig:
                return acme.FrontRig(lambda said, ports: kind(AcmeApi(said["url"], ports.http), said, ports))

        return getattr(Contract(), test)

    assert not refuses(lambda: contract(AcmeBalancer)(**given))
    assert refuses(lambda: contract(faulty)(**given))


class CountsOnlyUp(AcmeErrors):
    """It does not see that a source counts anew."""

    def read(self, fleet: Fleet) -> Reading:
        before = dict(self._before)
        read = super().read(fleet)
        if read.counts is None or not before:
            return read
        grown = {name: self._before[name] - before[name] for name in before}
        return replace(read, counts=Counts(**grown))


class TakesFailureForZeros(AcmeErrors):
    def read(self, fleet: Fleet) -> Reading:
        read = super().read(fleet)
        return replace(read, counts=Counts(0, 0, 0, 0)) if read.error else read


class CountsTwice(AcmeErrors):
    def read(self, fleet: Fleet) -> Reading:
        before = self._before
        read = super().read(fleet)
        if before:
            self._before = before
        return read


@pytest.mark.parametrize(
    ("faulty", "test", "given"),
    [
        (CountsOnlyUp, "test_a_source_that_counts_anew_never_makes_negative_counts", {}),
        (TakesFailureForZeros, "test_missing_data_is_an_error_and_never_a_value", {"trouble": Trouble.DOWN}),
        (CountsTwice, "test_it_counts_what_happened", {}),
    ],
)
def test_a_signal_with_a_fault_is_refused(
    faulty: type[AcmeErrors], test: str, given: Mapping[str, Any]
) -> None:
    def contract(kind: type[AcmeErrors]) -> Any:
        class Contract(SignalContract):
            def make_rig(self) -> acme.ErrorsRig:
                return acme.ErrorsRig(
                    lambda said, ports: kind(AcmeApi(said["url"], ports.http), "edge", ports)
                )

        return getattr(Contract(), test)

    assert not refuses(lambda: contract(AcmeErrors)(**given))
    assert refuses(lambda: contract(faulty)(**given))


def _changed(at: int, **changes: Any) -> Planner:
    """Return the planner of `rolling` with one step changed."""

    def planner(survey: Survey, run: str, *, revision: int = 0) -> tuple[StepPlan, ...]:
        steps = [*rolling.plan(survey, run, revision=revision)]
        steps[at] = replace(steps[at], **changes)
        return tuple(steps)

    return planner


def _meddling(survey: Survey, run: str, *, revision: int = 0) -> tuple[StepPlan, ...]:
    survey.new.objects[0]["metadata"]["labels"] = {"run": run}
    return rolling.plan(survey, run, revision=revision)


@pytest.mark.parametrize(
    ("planner", "test"),
    [
        (_changed(1, id="freeze"), "test_it_plans_steps_with_names_of_their_own"),
        (_changed(0, settings={"when": object()}), "test_the_journal_can_hold_every_step"),
        (_changed(0, kind="no-such"), "test_every_step_is_of_a_kind_that_there_is"),
        (_changed(0, deadline_seconds=0), "test_every_step_has_a_deadline"),
        (_changed(-2, new_share=0.1), "test_the_new_share_grows_to_all"),
        (_changed(-1, new_share=0.9), "test_the_new_share_grows_to_all"),
        (_changed(-2, gate=Gate.NONE), "test_what_gives_the_new_version_more_is_gated"),
        (_changed(-2, gate=Gate.STAND), "test_it_bakes_once_and_nothing_is_left_unwatched"),
        (_changed(-1, gate=Gate.NONE), "test_it_bakes_once_and_nothing_is_left_unwatched"),
        (_meddling, "test_it_is_pure"),
    ],
)
def test_a_strategy_with_a_fault_is_refused(planner: Planner, test: str) -> None:
    def contract(plans: Planner) -> Any:
        class Contract(StrategyContract):
            def planner(self) -> Planner:
                return plans

            def surveys(self) -> Mapping[str, Survey]:
                return {"good": SurveyBuilder().build()}

        return getattr(Contract(), test)

    assert not refuses(lambda: contract(rolling.plan)(SurveyBuilder().build()))
    assert refuses(lambda: contract(planner)(SurveyBuilder().build()))


class BrakesLater(RollBatch):
    """It says that the brake holds, and does nothing."""

    def brake(self, scene: Scene) -> Progress:
        return Progress(True, "all are paused")


class LeavesItRunning(RollBatch):
    def undo(self, scene: Scene) -> Progress:
        return Progress(True, "nothing to do")


class StartsAtOnce(RollBatch):
    """Looking begins it."""

    def is_done(self, scene: Scene) -> bool:
        self.poll(scene)
        return super().is_done(scene)


class ForgetsItself(RollBatch):
    """It keeps what it knows in the process."""

    def start(self, scene: Scene) -> Mapping[str, Any]:
        return {"deployment": scene.fleet}


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (BrakesLater, "test_the_brake_holds"),
        (LeavesItRunning, "test_what_was_done_is_undone"),
        (StartsAtOnce, "test_looking_changes_nothing"),
        (ForgetsItself, "test_it_comes_to_its_end_in_time"),
    ],
)
def test_a_step_with_a_fault_is_refused(faulty: type[RollBatch], test: str) -> None:
    settings = {"counts": {"proxy": 3}, "of": {"proxy": 4}}

    def contract(kind: type[RollBatch]) -> Any:
        class Rig(_RollingRig):
            def build(self, plan: StepPlan) -> Any:
                return kind(plan)

            def is_back(self, before: Any) -> bool:
                return self.deployment.paused

        class Contract(StepContract):
            def make_rig(self) -> Rig:
                return Rig(plan("roll_batch", **settings), template="new", paused=True)

        return getattr(Contract(), test)

    assert not refuses(contract(RollBatch))
    assert refuses(contract(faulty))


def test_the_played_controller_replaces_pods_by_itself_while_it_is_not_paused() -> None:
    """Else a brake that does nothing would hold."""
    played = PlayedDeployment(template="new")

    for _ in range(10):
        played.advance()

    assert (played.new_pods(), played.old) == (4, 0)


class Faulty:
    """Acme's check, with findings of a test's choice."""

    def __init__(self, *findings: Finding) -> None:
        self.RULES: Mapping[str, str] = window.RULES
        self._findings = findings

    def check(self, survey: Survey) -> Iterable[Finding]:
        return self._findings


@pytest.mark.parametrize(
    ("findings", "test"),
    [
        ([Finding("other-rule", Severity.WARN, "seen")], "test_its_findings_can_be_acted_upon"),
        ([Finding("acme-unowned", Severity.BLOCK, "seen")], "test_its_findings_can_be_acted_upon"),
        ([Finding("acme-unowned", Severity.WARN, " ")], "test_its_findings_can_be_acted_upon"),
        ([], "test_every_rule_speaks_of_something"),
    ],
    ids=["another's rule", "no remedy", "nothing seen", "silent"],
)
def test_a_check_with_a_fault_is_refused(findings: list[Finding], test: str) -> None:
    def contract(module: Any) -> Any:
        class Contract(CheckContract):
            def check(self) -> Check:
                return cast(Check, module)

            def surveys(self) -> Mapping[str, Survey]:
                return {"acme-unowned": SurveyBuilder().build()}

        given = "acme-unowned" if "rule" in test else SurveyBuilder().build()
        return lambda: getattr(Contract(), test)(given)

    assert not refuses(contract(window))
    assert refuses(contract(Faulty(*findings)))
