"""Canary: a second installation beside the first, traffic in rungs, the old one retired last. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from upgrader.errors import Refused
from upgrader.model.definitions import to_apply
from upgrader.model.plugins import Beside, Gate, StepPlan, Survey
from upgrader.model.strategy import BlueGreen, Canary

HELM_SECONDS = 600.0
"""How long Helm's write may take, hooks included; Helm's own timeout for one operation is 5 min."""
CRD_SECONDS = 120.0
PROBE_SECONDS = 60.0


def plan(survey: Survey, run: str, *, revision: int = 0) -> tuple[StepPlan, ...]:
    """Return the steps of a canary, or of a blue-green switch, which has one rung.

    Args:
        survey: What was read.
        run: The run's id.
        revision: Must be 0: a way back to a revision is a canary of its own, to the older chart.

    Raises:
        Refused: A revision was asked for.
    """
    if revision:
        raise Refused(
            "a second installation goes to a chart version, not to a revision of the history",
            remedy="swap chart.from and chart.to in the playbook, and run it: the traffic goes the other way",
        )
    strategy, beside = survey.playbook.strategy, survey.beside
    assert beside is not None, "surveyed for another strategy"
    assert isinstance(strategy, Canary | BlueGreen), "surveyed for another strategy"
    ready = strategy.ready_within.total_seconds()
    steps = [*_crds(survey)]
    steps.append(StepPlan("install", "helm_install", Gate.SETTLE, {"run": run}, HELM_SECONDS + ready))
    if survey.playbook.asks_directly(beside.live.other):
        steps.append(StepPlan("probe", "probe_directly", Gate.NONE, {}, PROBE_SECONDS))
    steps += _rungs(survey, usable(strategy.rungs, beside.finest_ratio), beside)
    # Patient: it asks the balancer once more, and that it does not answer is no fault of the new version.
    retire = StepPlan("retire", "retire", Gate.SETTLE, {}, HELM_SECONDS + ready, 1.0, patient=True)
    return (*steps, retire)


def usable(rungs: Sequence[float], finest_ratio: float) -> tuple[float, ...]:
    """Return the rungs a balancer can give, each rounded to what it gives; growing, the last one 1.

    Args:
        rungs: The new version's shares, as wished, 0-1.
        finest_ratio: The balancer's finest share.
    """
    rounded = (round(round(rung / finest_ratio) * finest_ratio, 9) for rung in rungs)
    return tuple(sorted({min(1.0, one) for one in rounded if one > 0} | {1.0}))


def _crds(survey: Survey) -> Iterator[StepPlan]:
    names = to_apply(survey)
    if names:
        yield StepPlan("crds", "crds", Gate.NONE, {"names": list(names)}, CRD_SECONDS)


def _rungs(survey: Survey, rungs: Sequence[float], beside: Beside) -> Iterator[StepPlan]:
    hold = survey.playbook.blind.hold.total_seconds()
    for number, rung in enumerate(rungs, start=1):
        settings: dict[str, Any] = {"new_ratio": rung}
        gate = Gate.BAKE if number == len(rungs) else Gate.STAND
        name = f"shift {number}/{len(rungs)}"
        seconds = beside.delay_seconds + hold
        yield StepPlan(name, "shift_traffic", gate, settings, seconds, rung, patient=True)
