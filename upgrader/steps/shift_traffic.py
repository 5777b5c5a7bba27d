"""Have a balancer give the new version its share of requests; its undo gives all to the old one, at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upgrader.errors import BalancerUnwilling
from upgrader.model.fleet import Side
from upgrader.model.plugins import Color, Progress, Scene, StepPlan, Traffic

ASK_SECONDS = 2.0
"""Least time between two requests for the same change: what was throttled is not hammered."""
STILL_SECONDS = 30.0
"""How long the new version may still be asked after traffic was given back, beyond the balancer's delay."""


@dataclass(frozen=True)
class ShiftTraffic:
    """One rung.

    Settings: ``new_ratio`` (the new version's share of the requests, 0-1). It is done when the balancer,
    asked again, says so, its delay is over, and the side that is to get nothing is seen to get nothing.
    What the balancer's API refuses is told and asked again: late is doubt, never the new version's failure.
    """

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""
        return f"give the new version {_share(self._ratio)} of the requests"

    def is_done(self, scene: Scene) -> bool:
        """Never known beforehand: `poll` asks the balancer and looks at the counters."""
        return False

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Nothing to begin: `poll` does it all, from what it sees."""
        return {}

    def poll(self, scene: Scene) -> Progress:
        """Ask what is set, ask for the change where it is another, and wait until it shows."""
        return _bring(scene, self._ratio, act="")

    def brake(self, scene: Scene) -> Progress:
        """The share stays what it is."""
        return Progress(True, "the balancer parts the traffic as it does")

    def undo(self, scene: Scene) -> Progress:
        """Give all to the old version in one call, and see that the new one gets nothing more."""
        progress = _bring(scene, 0.0, act="back_")
        moved, now = float(scene.facts.get("back_asked_at", 0.0)), scene.ports.clock.now()
        late = moved and now - moved > _traffic(scene).delay_seconds + STILL_SECONDS
        if late and scene.facts.get("back_set") and not progress.done:
            return Progress(False, "", failed=f"traffic does not come back: {progress.detail}")
        return progress

    @property
    def _ratio(self) -> float:
        return float(self.plan.settings["new_ratio"])


def _traffic(scene: Scene) -> Traffic:
    assert scene.ports.traffic is not None, "traffic is moved by a balancer that can"
    return scene.ports.traffic


def green_ratio(scene: Scene, new_ratio: float) -> float:
    """Return the share of green that gives the new version its share."""
    return new_ratio if scene.measured["live"] == Color.BLUE.value else 1.0 - new_ratio


def is_set(scene: Scene, new_ratio: float) -> bool:
    """Ask the balancer whether the new version is given just that share."""
    traffic = _traffic(scene)
    said = traffic.split().green_ratio
    return said is not None and _same(said, green_ratio(scene, new_ratio), traffic.finest_ratio)


def _same(said: float, wanted: float, finest: float) -> bool:
    """Tell whether a share is as wanted: exactly at the ends, else to what the balancer can give."""
    return said == wanted if wanted in (0.0, 1.0) else abs(said - wanted) <= finest / 2 and 0 < said < 1


def _bring(scene: Scene, new_ratio: float, *, act: str) -> Progress:
    traffic, wanted = _traffic(scene), green_ratio(scene, new_ratio)
    split = traffic.split()
    if split.green_ratio is None and split.error:
        asked = _ask(scene, wanted, act=act) if act else None  # going back is not put off by a failed look
        return asked or _waits(f"{traffic.name} cannot be asked: {split.error}")
    if split.green_ratio is None or not _same(split.green_ratio, wanted, traffic.finest_ratio):
        return _ask(scene, wanted, act=act) or _waits(f"{traffic.name} has not taken it up yet")
    return _shows(scene, new_ratio, act=act)


def _ask(scene: Scene, wanted: float, *, act: str) -> Progress | None:
    """Ask for the change, unless that was done just now; say why if it is refused."""
    traffic, now = _traffic(scene), scene.ports.clock.now()
    refused, taken = (float(scene.facts.get(f"{act}{what}_at", 0.0)) for what in ("refused", "asked"))
    if now < max(refused + ASK_SECONDS, taken + max(ASK_SECONDS, traffic.delay_seconds)):
        why = str(scene.facts.get("waits_for", ""))
        return _waits(why) if why else None
    facts: dict[str, Any] = {f"{act}asked_at": now, "waits_for": f"{traffic.name} to take it up"}
    try:
        traffic.move(wanted)
    except BalancerUnwilling as error:
        facts = {f"{act}refused_at": now, "waits_for": "; ".join(filter(None, (error.what, error.remedy)))}
    return Progress(False, facts["waits_for"], facts=facts)


def _shows(scene: Scene, new_ratio: float, *, act: str) -> Progress:
    """Wait for the balancer's delay, and until a side that is to get nothing gets nothing."""
    traffic, now = _traffic(scene), scene.ports.clock.now()
    asked = now if _is_found_set(scene, act) else float(scene.facts.get(f"{act}asked_at", 0.0))
    facts: dict[str, Any] = {f"{act}set": True} | ({f"{act}asked_at": asked} if asked else {})
    settled_at = asked + traffic.delay_seconds
    if now < settled_at:
        return Progress(False, f"set; {traffic.name} takes up to {traffic.delay_seconds:g} s", facts=facts)
    silent = {0.0: Side.NEW, 1.0: Side.OLD}.get(new_ratio)
    served, seen = _served(scene, silent, since=settled_at, act=act) if silent else ("", {})
    if served:
        return Progress(False, served, facts={**facts, **seen, "waits_for": served})
    said = f"{traffic.name} gives the new version {_share(new_ratio)} of the requests"
    return Progress(True, said, facts=facts)


def _is_found_set(scene: Scene, act: str) -> bool:
    """Tell whether an earlier call may have asked for what is set, and died before that was written down."""
    begun = "undo_at" if act else "begun_at"
    return begun in scene.facts and not {f"{act}asked_at", f"{act}set"} & scene.facts.keys()


def _share(ratio: float) -> str:
    return "all" if ratio == 1.0 else f"{100 * ratio:.4g} %"


def _served(scene: Scene, side: Side, *, since: float, act: str) -> tuple[str, dict[str, Any]]:
    """Say what speaks against a side's getting nothing any more, by every signal that counts its requests.

    Twice in a row: the first look of a process has nothing to count from.
    """
    key, quiet_at = f"{side.value}_requests", f"{act}quiet_at"
    quiet = float(scene.facts.get(quiet_at, 0.0))
    counting = [one for one in scene.latest.values() if key in one.values and not one.error]
    for one in counting:
        if one.read_at <= max(since + one.window_seconds, quiet):
            return f"{one.signal} has not looked since", {}
        if one.values[key]:
            said = f"{one.signal} still sees {one.values[key]:.0f} requests on {side.value} pods"
            return said, {quiet_at: 0.0}
    if counting and not quiet:
        looked_at = max(one.read_at for one in counting)
        return f"{counting[0].signal} looks once more", {quiet_at: looked_at}
    return "", {}


def _waits(why: str) -> Progress:
    return Progress(False, why, facts={"waits_for": why})


def build(plan: StepPlan) -> ShiftTraffic:
    """Make the step."""
    return ShiftTraffic(plan)
