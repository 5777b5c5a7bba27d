"""What AWS Elastic Load Balancing (v2) says of the targets of a target group, and what we make of it. Pure.

Source: states, reasons and overrides are those of botocore 1.44.5, service ``elbv2`` (2015-12-01), shapes
``TargetHealth`` and ``AdministrativeOverride`` (2026-11-24).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from upgrader.model.backend_health import Health, worst
from upgrader.model.fleet import Pod, Side
from upgrader.model.reading import Fact, Weight

STATES: Final[Mapping[str, Health]] = {
    "initial": Health.UNPROVEN,
    "healthy": Health.HEALTHY,
    "unhealthy": Health.FAILING,
    "unhealthy.draining": Health.FAILING,  # it gets nothing new, and old flows on it are cut
    "draining": Health.LEAVING,
    "unavailable": Health.UNKNOWN,  # checks are off, or AWS itself has trouble
}
"""Each state but ``unused``, whose reason decides."""
UNUSED: Final[Mapping[str, Health]] = {
    "Target.NotRegistered": Health.ABSENT,
    # The group is in no listener's use, or the target's zone is not enabled: no release is to blame for that.
    "Target.NotInUse": Health.UNKNOWN,
    "Target.InvalidState": Health.FAILING,
    "Target.IpUnusable": Health.FAILING,
}
"""Each reason of the state ``unused``."""
SHIFTED: Final = ("zonal_shift_active", "zonal_shift_delegated_to_dns")
"""States of an override by which a healthy target gets nothing."""
GATE: Final = "target-health.elbv2.k8s.aws/"
"""How the load balancer controller's readiness gates begin; its webhook adds them when a pod is made.

A pod is made without when the webhook fails. Source: since February 2025 it fails open
(https://github.com/kubernetes-sigs/aws-load-balancer-controller/pull/4062), unless the chart's
``podMutatorWebhookConfig.failurePolicy`` says else (/pull/4063); 2026-11-24.
"""
_MINIMUM: Final = "target_group_health.unhealthy_state_routing.minimum_healthy_targets."
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Target:
    """One registered IP and port.

    Args:
        address: Its IP.
        health: What we make of it.
        words: AWS's own: state, reason and description.
        zone: Its availability zone, or the empty text.
        is_shifted: Its zone is shifted away.
    """

    address: str
    health: Health
    words: str
    zone: str = ""
    is_shifted: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A target group, as far as it does not change in a run.

    Args:
        arn: Its Amazon Resource Name.
        name: Its name.
        least: With fewer healthy targets than this, traffic goes to unhealthy ones too, >= 1.
        least_ratio: The same as a share of its targets, 0-1; 0 when that is off.
    """

    arn: str
    name: str
    least: int = 1
    least_ratio: float = 0.0


def health_of(state: str, reason: str) -> Health:
    """Return what a state, and for ``unused`` its reason, means; a word we do not know is unknown."""
    return UNUSED.get(reason, Health.UNKNOWN) if state == "unused" else STATES.get(state, Health.UNKNOWN)


def read_targets(answer: Mapping[str, Any]) -> tuple[Target, ...]:
    """Read the answer of ``DescribeTargetHealth``."""
    return tuple(_target(one) for one in answer.get("TargetHealthDescriptions") or ())


def _target(said: Mapping[str, Any]) -> Target:
    health, target = said.get("TargetHealth") or {}, said.get("Target") or {}
    state, reason = str(health.get("State") or ""), str(health.get("Reason") or "")
    words = f"{state or 'without a state'} ({reason})" if reason else state or "without a state"
    description = str(health.get("Description") or "")
    override = str((said.get("AdministrativeOverride") or {}).get("State") or "")
    return Target(
        address=str(target.get("Id") or ""),
        health=health_of(state, reason),
        words=f"{words}: {description}" if description else words,
        zone=str(target.get("AvailabilityZone") or ""),
        is_shifted=override in SHIFTED,
    )


def read_group(group: Mapping[str, Any], attributes: Iterable[Mapping[str, Any]]) -> Group:
    """Read a target group off ``DescribeTargetGroups`` and ``DescribeTargetGroupAttributes``.

    Raises:
        ValueError: Its targets are no IPs; the message is for the operator.
    """
    name, kind = str(group["TargetGroupName"]), str(group.get("TargetType"))
    if kind != "ip":
        raise ValueError(
            f"target group {name} has targets of type {kind}: what it says is not of pods; "
            "it takes target-type ip (an Ingress or Service annotation of the load balancer controller)"
        )
    said = {str(one.get("Key")): str(one.get("Value")) for one in attributes}
    count, percent = said.get(f"{_MINIMUM}count", "1"), said.get(f"{_MINIMUM}percentage", "off")
    return Group(
        arn=str(group["TargetGroupArn"]),
        name=name,
        least=int(count) if count.isdigit() else 1,
        least_ratio=int(percent) / 100 if percent.isdigit() else 0.0,
    )


def by_address(targets: Iterable[Target]) -> dict[str, Health]:
    """Return the worst of what is said of each IP."""
    said: dict[str, list[Health]] = {}
    for one in targets:
        said.setdefault(one.address, []).append(one.health)
    return {address: worst(healths) for address, healths in said.items()}


def fail_open(group: Group, targets: Sequence[Target]) -> tuple[Fact, ...]:
    """Say so when AWS sends traffic to unhealthy targets too, for want of healthy ones.

    That is counted over the whole group; AWS counts each zone where zones do not share targets.
    Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health.html, routing
    failover ("in a zone"), and the attributes' texts in botocore 1.44.5 (2026-11-24).

    Args:
        group: The target group.
        targets: All of its targets.
    """
    taking = [one for one in targets if one.health not in (Health.LEAVING, Health.ABSENT)]
    healthy = sum(one.health is Health.HEALTHY for one in taking)
    failing = sum(one.health is Health.FAILING for one in taking)
    if not failing or healthy >= max(group.least, group.least_ratio * len(taking)):
        return ()
    text = (
        f"{group.name} fails open: {healthy} of {len(taking)} targets are healthy, so AWS sends traffic to "
        "unhealthy ones too"
    )
    return (Fact(Weight.HOLD, "balancer-fails-open", text),)


def shifted(group: Group, targets: Sequence[Target]) -> tuple[Fact, ...]:
    """Say so when a zone is shifted away: its healthy targets get nothing, and prove nothing."""
    away = [one for one in targets if one.is_shifted]
    if not away:
        return ()
    zones = ", ".join(sorted({one.zone for one in away if one.zone})) or "a zone"
    text = f"{zones} is shifted away from {len(away)} of {len(targets)} targets of {group.name}"
    return (Fact(Weight.HOLD, "zone-shifted", text),)


def reasons(group: Group, targets: Sequence[Target], pods: Iterable[Pod]) -> tuple[Fact, ...]:
    """Tell in AWS's own words why pods that should take traffic there do not.

    Args:
        group: The target group.
        targets: All of its targets.
        pods: What should take traffic at the balancer.
    """
    names = {pod.address: pod.name for pod in pods}
    quiet = (Health.HEALTHY, Health.UNPROVEN)
    bad = [one for one in targets if one.address in names and one.health not in quiet]
    if not bad:
        return ()
    shown = "; ".join(f"{names[one.address]} ({one.address}) {one.words}" for one in bad[:_SHOWN])
    more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return (Fact(Weight.NOTE, "target-words", f"{group.name} says: {shown}{more}"),)


def gateless(pods: Iterable[Pod]) -> tuple[Fact, ...]:
    """Say so when new pods are Ready without the controller's readiness gate that old ones have.

    Args:
        pods: What should take traffic at the balancer: Ready, so that all of their gates are open.
    """
    has = {pod: any(gate.startswith(GATE) for gate in pod.gates) for pod in pods}
    without = [pod.name for pod, one in has.items() if pod.side is Side.NEW and not one]
    if not without or not any(one for pod, one in has.items() if pod.side is Side.OLD):
        return ()
    text = (
        f"{len(without)} new pods, {without[0]} among them, have no readiness gate {GATE}…, as old ones "
        "have: they were Ready without a word of the balancer"
    )
    return (Fact(Weight.NOTE, "readiness-gate-missing", text),)
