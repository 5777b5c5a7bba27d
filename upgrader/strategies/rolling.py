"""Rolling: one Helm write with every Deployment paused, then group by group in exact batches. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from upgrader.model.plugins import Gate, StepPlan, Survey
from upgrader.model.strategy import Rolling
from upgrader.model.units import batch_targets

HELM_SECONDS = 600.0
"""How long Helm's write may take, hooks included; Helm's own timeout for one operation is 5 min."""
SETTLE_SECONDS = 90.0
"""How long a controller may take to change the Deployments it makes: a leader lease and more."""
PAUSE_SECONDS = 30.0


@dataclass(frozen=True)
class _Group:
    """The Deployments of one group, and their replicas."""

    name: str
    replicas: dict[str, int]
    serves: bool

    @property
    def total(self) -> int:
        return sum(self.replicas.values())


def plan(survey: Survey, run: str, *, revision: int = 0) -> tuple[StepPlan, ...]:
    """Return the steps of a rolling upgrade, or of a gated way to a revision of the history.

    Groups without a Service (control plane, ext-auth …) roll in one batch each; serving groups in the
    playbook's batches. The last old pod of the last serving group stays until the bake is over.

    Args:
        survey: What was read.
        run: The run's id.
        revision: 0 for the playbook's chart.
    """
    strategy = survey.playbook.strategy
    assert isinstance(strategy, Rolling), "surveyed for another strategy"
    groups = _groups(survey)
    names = [name for group in groups for name in group.replicas]
    ready = strategy.ready_within.total_seconds()
    steps = [
        StepPlan("freeze", "freeze", Gate.NONE, {"workloads": names, "run": run}, PAUSE_SECONDS),
        StepPlan("helm", "helm_upgrade", Gate.NONE, {"run": run, "revision": revision}, HELM_SECONDS),
    ]
    serving = [group for group in groups if group.serves]
    dependent = _dependents(survey)
    for group in groups:
        if not group.serves:
            steps.append(_batch(group, group.replicas, (1, 1), Gate.SETTLE, ready))
    if dependent:
        settings = {"workloads": dependent, "patience_seconds": SETTLE_SECONDS}
        steps.append(StepPlan("settle", "await_dependents", Gate.NONE, settings, 2 * SETTLE_SECONDS))
    for group in serving:
        steps += _batches(strategy, group, is_last=group is serving[-1])
    thaw = StepPlan("thaw", "thaw", Gate.SETTLE, {"workloads": names}, ready, 1.0)
    return (*steps, thaw)


def _groups(survey: Survey) -> list[_Group]:
    found: dict[str, _Group] = {}
    for name, group in survey.groups.items():
        live = next(one for ref, one in survey.live.items() if ref.kind == "Deployment" and ref.name == name)
        known = found.setdefault(group, _Group(group, {}, group in survey.services))
        known.replicas[name] = int(live["spec"].get("replicas", 1))
    return list(found.values())


def _dependents(survey: Survey) -> list[str]:
    rendered = {one["metadata"]["name"] for one in survey.old.objects if one.get("kind") == "Deployment"}
    return [name for name in survey.groups if name not in rendered]


def _batches(strategy: Rolling, group: _Group, *, is_last: bool) -> Iterator[StepPlan]:
    """Yield the playbook's batches of one serving group; the very last pod is left for after the bake."""
    ready = strategy.ready_within.total_seconds()
    targets = [n for n in batch_targets(strategy.batches, group.total) if n < group.total]
    last = group.total - 1 if is_last and group.total > 1 else group.total
    targets = [n for n in targets if n < last] + [last]
    for number, target in enumerate(targets, start=1):
        bakes = is_last and number == len(targets)
        counts = _spread(group.replicas, target)
        yield _batch(group, counts, (number, len(targets)), Gate.BAKE if bakes else Gate.STAND, ready)


def _spread(replicas: dict[str, int], target: int) -> dict[str, int]:
    """Spread a number of pods over the Deployments of a group, filling one after the other."""
    counts, left = {}, target
    for name, most in replicas.items():
        counts[name] = min(most, left)
        left -= counts[name]
    return counts


def _batch(
    group: _Group, counts: dict[str, int], place: tuple[int, int], gate: Gate, ready: float
) -> StepPlan:
    number, of = place
    name = f"roll {group.name}" + (f" {number}/{of}" if of > 1 else "")
    touched: Sequence[str] = [name for name, count in counts.items() if count]
    settings: dict[str, Any] = {
        "workloads": touched,
        "counts": counts,
        "of": dict(group.replicas),
        "group": group.name,
    }
    share = sum(counts.values()) / group.total if group.serves and group.total else 0.0
    return StepPlan(name, "roll_batch", gate, settings, ready, share)
