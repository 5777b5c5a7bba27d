"""Acme's way: a notice, a second installation, a share of its own choice, then all."""

from __future__ import annotations

from datetime import timedelta

from upgrader.errors import Refused
from upgrader.model.plugins import Gate, StepPlan, Survey
from upgrader.model.strategy import GreenPlace, PluginStrategy
from upgrader.model.strict import Strict
from upgrader.model.units import Duration, Ratio
from upgrader.model.watching import Url


class Settings(Strict):
    """The keys of a playbook's ``strategy`` of kind ``acme_switch``."""

    green: GreenPlace
    notices: Url
    taste: Ratio = 0.1
    patience: Duration = timedelta(minutes=10)


def plan(survey: Survey, run: str, *, revision: int = 0) -> tuple[StepPlan, ...]:
    """Return the steps."""
    if revision:
        raise Refused("acme_switch goes to a chart version", remedy="swap from and to in the playbook")
    strategy = survey.playbook.strategy
    assert isinstance(strategy, PluginStrategy), "surveyed for another strategy"
    keys = strategy.settings
    seconds = keys["patience"].total_seconds()
    notice = {"url": keys["notices"], "text": f"{run} begins"}
    return (
        StepPlan("notice", "acme_notice", Gate.NONE, notice, 60.0),
        StepPlan("install", "helm_install", Gate.SETTLE, {"run": run}, seconds),
        _shift("taste", keys["taste"], Gate.STAND, seconds),
        _shift("switch", 1.0, Gate.BAKE, seconds),
        StepPlan("retire", "retire", Gate.SETTLE, {}, seconds, 1.0),
    )


def _shift(name: str, share: float, gate: Gate, seconds: float) -> StepPlan:
    return StepPlan(name, "shift_traffic", gate, {"new_ratio": share}, seconds, share, patient=True)
