"""Tiers: survey each release of the playbook, then try the signals on all of them. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from upgrader.flow.look import trial
from upgrader.flow.survey import survey
from upgrader.model.fleet import Fleet, Members, current_hashes, fleet_of, joined
from upgrader.model.playbook import Playbook
from upgrader.model.plugins import Color, Signal, Survey
from upgrader.model.ports import Ports
from upgrader.model.tiers import require_apart


def survey_tiers(
    playbook: Playbook,
    ports: Ports,
    signals: Sequence[Signal],
    *,
    targets: Sequence[int],
    live: Color | None = None,
) -> tuple[Survey, ...]:
    """Return a survey of each tier, in the playbook's order.

    Args:
        playbook: What to upgrade.
        ports: The world.
        signals: All signals and balancers; each is tried for each tier.
        targets: The revision each tier goes to; 0 for the playbook's chart.
        live: The color that carries the traffic, where the new version goes to a place beside it.

    Raises:
        Refused: As `survey`, for any tier; or two tiers would upgrade the same Deployment.
    """
    tiers = playbook.tiers
    if len(tiers) == 1:
        return (survey(playbook, ports, signals, target_revision=targets[0] or None, live=live),)
    found = [
        survey(one, ports.of_tier(number), (), target_revision=target or None)
        for number, (one, target) in enumerate(zip(tiers, targets, strict=True))
    ]
    require_apart(found)
    fleet = joined(*(_fleet(one, number) for number, one in enumerate(found)))
    return tuple(
        replace(one, trial=trial(ports.clock, signals, fleet.of_tier(number)))
        for number, one in enumerate(found)
    )


def _fleet(one: Survey, tier: int) -> Fleet:
    """Return a tier's pods as they were surveyed; all of them are old."""
    namespace = one.playbook.release.namespace
    deployments = [live for ref, live in one.live.items() if ref.kind == "Deployment"]
    near = [it for it in (*deployments, *one.nearby) if it["metadata"].get("namespace") == namespace]
    return fleet_of(
        near, Members(one.groups, {name: current_hashes(near, name) for name in one.groups}, tier)
    )
