"""What else of an AWS load balancer sends to a target group: our weights move none of that. Pure.

A rule of another host, or the listener of another port, that forwards to the old group alone ends with it.

Source: botocore 1.44.5, service ``elbv2``: ``DescribeListeners`` and ``DescribeRules`` (paged by ``Marker``;
the rules of a listener hold its default one), and the ARNs in its examples; 2026-11-24.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from typing import Any, Final

from upgrader.errors import BalancerUnwilling
from upgrader.model.aws_forward import weights_of
from upgrader.model.listing import listed
from upgrader.model.reading import Fact, Weight

AGAIN_SECONDS: Final = 300.0
"""So often it is looked through; rules are seldom made. Chosen by us."""
_SHOWN: Final = 3

Ask = Callable[[str, Mapping[str, Any]], Any]
"""Calls AWS once: the client's method and its arguments. Raises `BalancerUnwilling`."""
Walk = Generator[tuple[str, Mapping[str, Any]], Mapping[str, Any], tuple[str, ...]]
"""Yields calls, is sent their answers, and returns the ARNs that were found."""


class Elsewhere:
    """Looks through all listeners and rules of the load balancer, as far as a look has time.

    Args:
        arn: Of the listener or rule that is ours.
    """

    def __init__(self, arn: str) -> None:
        self._arn = arn
        self._walk: Walk | None = None
        self._call: tuple[str, Mapping[str, Any]] = ("", {})
        self._not_before = 0.0
        self._facts: tuple[Fact, ...] = ()

    def look(
        self, ask: Ask, groups: Collection[str], *, now: float, has_time: Callable[[], bool]
    ) -> tuple[Fact, ...]:
        """Go on, and return what was found when it was last looked through to the end.

        Args:
            ask: Calls AWS.
            groups: ARNs of the target groups of both places.
            now: Monotonic seconds.
            has_time: Tells whether this look has time for another call.
        """
        if self._walk is None and now >= self._not_before:
            self._not_before = now + AGAIN_SECONDS
            self._walk = past(self._arn, groups)
            self._call = next(self._walk)
        while self._walk is not None and has_time():
            self._step(self._walk, ask)
        return self._facts

    def _step(self, walk: Walk, ask: Ask) -> None:
        try:
            self._call = walk.send(ask(*self._call))
        except BalancerUnwilling as error:
            self._walk = None
            text = f"whether more than {self._arn} sends to the target groups is not known: {error.what}"
            remedy = f"; {error.remedy}" if error.remedy else ""
            self._facts = (Fact(Weight.NOTE, "rules-not-read", text + remedy),)
        except StopIteration as end:
            self._walk = None
            self._facts = _told(end.value)


def past(arn: str, groups: Collection[str]) -> Walk:
    """Find what else of the load balancer forwards to one of the groups.

    Args:
        arn: Of the listener or rule that is ours: it is left out.
        groups: ARNs of target groups.
    """
    where = arn.replace(":listener-rule/", ":listener/").split("/")
    balancer = "/".join(where[:4]).replace(":listener/", ":loadbalancer/")
    found: list[str] = []
    listeners = yield from _pages("describe_listeners", {"LoadBalancerArn": balancer}, "Listeners")
    for listener in listeners:
        own = str(listener["ListenerArn"])
        rules: list[Mapping[str, Any]]
        if "/net/" in arn:  # only those of an application balancer have rules
            rules = [{"RuleArn": own, "IsDefault": True, "Actions": listener.get("DefaultActions") or ()}]
        else:
            rules = yield from _pages("describe_rules", {"ListenerArn": own}, "Rules")
        for rule in rules:
            name = own if rule.get("IsDefault") else str(rule["RuleArn"])
            if name != arn and not weights_of(rule.get("Actions") or ()).keys().isdisjoint(groups):
                found.append(name)
    return tuple(found)


def _pages(
    operation: str, wanted: Mapping[str, Any], key: str
) -> Generator[tuple[str, Mapping[str, Any]], Mapping[str, Any], list[Mapping[str, Any]]]:
    """Return all entries of a paged answer."""
    found: list[Mapping[str, Any]] = []
    marker: Mapping[str, Any] = {}
    while True:
        answer = yield operation, {**wanted, **marker}
        found += answer.get(key) or ()
        if not answer.get("NextMarker"):
            return found
        marker = {"Marker": answer["NextMarker"]}


def _told(arns: tuple[str, ...]) -> tuple[Fact, ...]:
    if not arns:
        return ()
    text = f"traffic of {listed(arns, _SHOWN)} is not moved, and ends with its target group"
    return (Fact(Weight.NOTE, "traffic-not-moved", text),)
