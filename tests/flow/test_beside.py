"""What is read of the place beside, and of the balancer, before a run."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.checks.rows_beside import canary
from upgrader.errors import Refused
from upgrader.flow.beside import dry_runnable, live_color
from upgrader.model import manifests
from upgrader.model.plugins import Color, Split
from upgrader.testing.surveys import SurveyBuilder


@dataclass
class Told:
    """A balancer that says one thing."""

    said: Split
    name: str = "front"
    finest_ratio: float = 0.01
    delay_seconds: float = 0.0

    def split(self) -> Split:
        return self.said

    def move(self, green_ratio: float) -> None:
        raise AssertionError("nothing is moved before a run")

    def by_hand(self, green_ratio: float) -> str:
        return ""


@pytest.mark.parametrize(("green", "color"), [(0.0, Color.BLUE), (1.0, Color.GREEN)])
def test_the_balancer_says_which_place_is_live(green: float, color: Color) -> None:
    assert live_color(Told(Split(green))) is color


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Split(0.25), "gives 25.00% of the requests to green"),
        (Split(None, "timed out"), "timed out"),
        (Split(None), "a change is under way"),
    ],
)
def test_traffic_in_between_or_unknown_is_refused(said: Split, words: str) -> None:
    """Nobody could say which version is the old one."""
    with pytest.raises(Refused, match=words):
        live_color(Told(said))


@pytest.mark.parametrize(("exists", "asked"), [(True, True), (False, False)])
def test_nothing_is_tried_in_a_namespace_that_is_not_there(exists: bool, asked: bool) -> None:
    builder = SurveyBuilder()
    canary(exists=exists)(builder)
    survey = builder.build()

    tried = {one["metadata"].get("namespace") for one in dry_runnable(survey.new, survey.beside)}

    assert ("edge-green" in tried) is asked


FITS = {
    "app=gloo": True,
    "app==gloo,tier=edge": True,
    "app=other": False,
    "app!=other": True,
    "missing!=x": True,
    "tier in (edge, core)": True,
    "tier notin (edge)": False,
    "missing notin (a)": True,
    "app,!missing": True,
    "!app": False,
    "missing": False,
    "app=gloo,tier in (core)": False,
}


@pytest.mark.parametrize(("selector", "fits"), FITS.items())
def test_labels_fit_a_selector_as_kubectl_takes_it(selector: str, fits: bool) -> None:
    assert manifests.fits(selector, {"app": "gloo", "tier": "edge"}) is fits
