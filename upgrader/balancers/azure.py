"""Ask Azure's balancers how they see each backend, and part traffic by the weights of Front Door's origins.

What can be had of which service, and no more:

* ``application_gateway``: health of each pod, as its pools hold pod IPs where its ingress controller fills
  them. It has no weights: its rules send to one pool each. Application Gateway for Containers has; it is
  moved as a Gateway API route, by the balancer ``gateway_api``.
* ``load_balancer``: health by rule, of pods where its pool holds pod IPs. On AKS it usually holds nodes: then
  there is nothing to say of a pod, and that is said.
* ``front_door`` (Standard and Premium): traffic, by `upgrader.model.azure_origins`. Of health its API tells
  nothing; the metric ``OriginHealthPercentage`` speaks of places, minutes late. An entry of another service
  beside it tells health.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from upgrader.model.azure_arm import Arm, Call, Question, Unanswered
from upgrader.model.azure_health import Backends, gateway_backends, rule_backends
from upgrader.model.azure_origins import (
    FINEST_RATIO,
    Origin,
    Pair,
    aimed,
    by_hand,
    changes,
    doubt,
    origins_of,
    patch,
)
from upgrader.model.azure_refusals import Refusal
from upgrader.model.backend_health import LOOKS_TO_BELIEVE, Intake
from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Signal, Split
from upgrader.model.ports import Ports
from upgrader.model.reading import Fact, Reading, Weight

DELAY_SECONDS: Final = 20 * 60.0
"""From an accepted change until every edge has it; for two at once it may be twice that. Source:
Front Door's FAQ as of MicrosoftDocs/azure-docs commit d1e5b7f ("up to 20 minutes … Back-to-back …
approximately 40"; before that it said 45 and 90), 2026-11-24."""
SETTLE_SECONDS: Final = 5 * 60.0
"""Chosen by us: an ingress controller changes the gateway first, then its probes run, 30 s apart."""
READ_SECONDS: Final = 0.9
"""Of the one call of a look, which must be over within a second."""
WRITE_SECONDS: Final = 5.0
"""Of each call that changes something: Azure takes a second or two to accept it."""
KEPT_SECONDS: Final = 90.0
"""An older answer is no answer: Azure needs tens of seconds for the next. Chosen by us."""
NETWORK_API: Final = "2024-05-01"
CDN_API: Final = "2025-06-01"
"""Stable versions of the REST API. Source: Azure/azure-rest-api-specs, 2026-11-24."""


class AzureHealth:
    """An Application Gateway or a Load Balancer as a signal; see the module's text.

    The answer takes seconds or tens of them: one look asks, later looks fetch it, and between two answers a
    look tells the last one with its time. A pod that is younger than the answer is absent in it.
    """

    interval_seconds = 5.0
    """A look is one call; Azure refills 10 writes a second, by subscription, identity and region, and a POST
    may be one. Source: learn.microsoft.com, "Understand how Azure Resource Manager throttles requests",
    2026-11-24."""
    counts_requests = False
    compares_pods = False
    speaks_of_backends = True

    def __init__(self, settings: Mapping[str, Any], ports: Ports) -> None:
        service, name = str(settings["service"]), str(settings["name"])
        self._is_gateway = service == "application_gateway"
        self._pools = tuple(settings.get("pools") or ())
        self.name = f"azure {name}" if self._is_gateway else f"azure {name} {settings['rule']}"
        kind = "applicationGateways" if self._is_gateway else "loadBalancers"
        what = "backendhealth" if self._is_gateway else f"loadBalancingRules/{settings['rule']}/health"
        right = "backendhealth/action" if self._is_gateway else "loadBalancingRules/health/action"
        self._path = f"{_group(settings)}/providers/Microsoft.Network/{kind}/{name}/{what}"
        self._arm = Arm(ports, str(settings.get("endpoint") or ""))
        call = Call("POST", f"{self._path}?api-version={NETWORK_API}", f"Microsoft.Network/{kind}/{right}")
        self._question = Question(self._arm, ports, call)
        self._intake = Intake(self.name, settle_seconds=_seconds(settings, "settle", SETTLE_SECONDS))
        self._clock = ports.clock
        self._backends = Backends({})
        self._answered: tuple[float, float] | None = None
        self._facts: tuple[Fact, ...] = ()

    @property
    def is_waiting(self) -> bool:
        """Tell whether the first answer is still to come; a trial then looks again."""
        return self._answered is None and self._question.is_open

    def read(self, fleet: Fleet) -> Reading:
        """Look once: ask, or fetch what was asked for."""
        try:
            body = self._question.look(deadline_seconds=READ_SECONDS)
            if body is not None:
                self._take(body, fleet)
        except Unanswered as error:
            return self._blind(str(error.why))
        except ValueError as error:
            return self._blind(f"Azure's answer is not understood: {error}")
        return self._reading(fleet)

    def close(self) -> None:
        """Do nothing: the connections belong to the port."""

    def _take(self, body: Mapping[str, Any], fleet: Fleet) -> None:
        is_gateway = self._is_gateway
        self._backends = gateway_backends(body, pools=self._pools) if is_gateway else rule_backends(body)
        now = self._clock.monotonic()
        self._answered = (self._clock.now(), now)
        pods = self._intake.serving(fleet, self._backends.health)
        facts = self._intake.facts(pods, self._backends.health, now=now)
        self._facts = (*facts, *_strange(self.name, self._backends.strange))

    def _reading(self, fleet: Fleet) -> Reading:
        wrong = self._unusable()
        if wrong or self._answered is None:
            return self._blind(wrong)
        pods, health = self._intake.serving(fleet, self._backends.health), self._backends.health
        return Reading(
            signal=self.name,
            read_at=self._clock.now(),
            data_time=self._answered[0],
            source=f"{self._arm.endpoint}{self._path}",
            facts=self._facts,
            values=self._intake.values(pods, health),
        )

    def _unusable(self) -> str:
        """Say why the last answer tells nothing of the gateway's pods now, or the empty text."""
        if self._answered is None:
            return f"Azure has not answered yet; asked {self._question.waited_seconds:.0f} s ago"
        age = self._clock.monotonic() - self._answered[1]
        if age > KEPT_SECONDS:
            return f"Azure answered last {age:.0f} s ago"
        missing = [pool for pool in self._pools if pool not in self._backends.places]
        if missing:
            return f"no backend pool {', '.join(missing)}; there is: {', '.join(self._backends.places)}"
        if self._intake.knows_any:
            return ""
        count = len(self._backends.health)
        if self._is_gateway:
            return f"none of its {count} backends is a pod of the gateway"
        return (
            f"none of its {count} backends is a pod of the gateway: on AKS a load balancer holds nodes, "
            "and a node's health tells nothing of one pod"
        )

    def _blind(self, error: str) -> Reading:
        source = f"{self._arm.endpoint}{self._path}"
        return Reading(self.name, self._clock.now(), None, source, complete=False, error=error)


class FrontDoor:
    """A Front Door's origin group as what moves traffic; see the module's text."""

    interval_seconds = 10.0
    """A look is one read of 25 that Azure refills each second; what it tells changes in minutes."""
    counts_requests = False
    compares_pods = False
    speaks_of_backends = False
    """Of health it tells nothing."""
    finest_ratio = FINEST_RATIO

    def __init__(self, settings: Mapping[str, Any], ports: Ports) -> None:
        profile, group = str(settings["name"]), str(settings["origin_group"])
        self.name = f"azure {profile} {group}"
        self.delay_seconds = _seconds(settings, "delay", DELAY_SECONDS)
        self._blue, self._green = str(settings["origin"]), str(settings["green"])
        self._command = (
            f"az afd origin update --subscription {settings['subscription']} "
            f"--resource-group {settings['resource_group']} --profile-name {profile} "
            f"--origin-group-name {group}"
        )
        self._group = f"{_group(settings)}/providers/Microsoft.Cdn/profiles/{profile}/originGroups/{group}"
        self._arm = Arm(ports, str(settings.get("endpoint") or ""))
        self._clock = ports.clock
        self._settings: tuple[Fact, ...] | None = None
        self._doubtful = 0

    def read(self, fleet: Fleet) -> Reading:
        """Look once at the weights; the first look is at the group's settings instead."""
        now, source = self._clock.now(), f"{self._arm.endpoint}{self._group}"
        try:
            if self._settings is None:
                self._settings = self._look_at_settings()
                return Reading(self.name, now, now, source, facts=self._settings)
            pair, why = self._pair(READ_SECONDS)
        except (Unanswered, ValueError) as error:
            said = str(error.why) if isinstance(error, Unanswered) else f"not understood: {error}"
            return Reading(self.name, now, None, source, complete=False, error=said)
        ratio = None if why else pair.green_ratio
        values = {} if ratio is None else {"green_ratio": ratio}
        facts = (*self._settings, *self._doubts(pair, why))
        return Reading(self.name, now, now, source, facts=facts, values=values)

    def close(self) -> None:
        """Do nothing: the connections belong to the port."""

    def split(self) -> Split:
        """Ask for the weights that are set; in force at every edge they are only `delay_seconds` later."""
        try:
            pair, why = self._pair(READ_SECONDS)
        except Unanswered as error:
            return Split(None, str(error.why))
        except ValueError as error:
            return Split(None, f"Azure's answer is not understood: {error}")
        return Split(None, why) if why else Split(pair.green_ratio)

    def move(self, green_ratio: float) -> None:
        """Part traffic so: one call where one origin's change will do, else two; see `azure_origins`.

        Raises:
            Unanswered: A `BalancerUnwilling`. After the first of two calls it says so: both places then get
                traffic, and the same move asked again makes the second.
        """
        try:
            pair, _ = self._pair(READ_SECONDS)
        except ValueError as error:
            raise Unanswered(Refusal(f"Azure's answer is not understood: {error}")) from error
        done: list[Origin] = []
        for after in changes(pair, aimed(pair, green_ratio)):
            before = pair.blue if after.name == pair.blue.name else pair.green
            try:
                self._change(before, after)
            except Unanswered as error:
                raise _halfway(error, done) if done else error from error
            done.append(after)

    def by_hand(self, green_ratio: float) -> str:
        """Return the commands of Azure's own tool that do the same."""
        return by_hand(self._command, (self._blue, self._green), green_ratio)

    def _change(self, before: Origin, after: Origin) -> None:
        path = f"{self._group}/origins/{after.name}?api-version={CDN_API}"
        right = "Microsoft.Cdn/profiles/originGroups/origins/write"
        call = Call("PATCH", path, right, body=patch(before, after))
        self._arm.send(call, deadline_seconds=WRITE_SECONDS)

    def _pair(self, deadline_seconds: float) -> tuple[Pair, str]:
        """Return both origins, and why their weights do not tell how traffic is parted."""
        origins = tuple(self._origins(deadline_seconds))
        by_name = {one.name.lower(): one for one in origins}
        missing = [name for name in (self._blue, self._green) if name.lower() not in by_name]
        if missing:
            raise Unanswered(Refusal(f"no origin {', '.join(missing)} among {', '.join(sorted(by_name))}"))
        pair = Pair(by_name[self._blue.lower()], by_name[self._green.lower()])
        return pair, doubt(pair, origins)

    def _origins(self, deadline_seconds: float) -> Iterator[Origin]:
        """Yield all origins of the group, page by page within the deadline."""
        began, left = self._clock.monotonic(), deadline_seconds
        where = f"{self._group}/origins?api-version={CDN_API}"
        while where:
            if left <= 0:
                raise Unanswered(Refusal("the pages of origins come too slowly", may_pass=True))
            right = "Microsoft.Cdn/profiles/originGroups/origins/read"
            body = self._arm.get(where, action=right, deadline_seconds=left)
            yield from origins_of(body)
            where = str(body.get("nextLink") or "")
            left = deadline_seconds - (self._clock.monotonic() - began)

    def _doubts(self, pair: Pair, why: str) -> tuple[Fact, ...]:
        """Hold where the share cannot be told in so many looks, unless it is just being changed."""
        is_moving = pair.blue.is_moving or pair.green.is_moving
        self._doubtful = self._doubtful + 1 if why and not is_moving else 0
        if self._doubtful < LOOKS_TO_BELIEVE:
            return ()
        return (Fact(Weight.HOLD, "split-unknown", f"{self.name}: {why}"),)

    def _look_at_settings(self) -> tuple[Fact, ...]:
        body = self._arm.get(
            f"{self._group}?api-version={CDN_API}",
            action="Microsoft.Cdn/profiles/originGroups/read",
            deadline_seconds=READ_SECONDS,
        )
        return tuple(_of_group(self.name, body.get("properties") or {}))


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the balancer.

    Args:
        settings: ``service``: ``application_gateway``, ``load_balancer`` or ``front_door``; ``subscription``,
            ``resource_group`` and ``name`` of the resource; ``pools``, ``rule``, or ``origin_group``,
            ``origin`` and ``green``; ``settle`` (5 m), ``delay`` (20 m), ``endpoint`` (Azure's own).
        ports: The world.
    """
    return FrontDoor(settings, ports) if settings["service"] == "front_door" else AzureHealth(settings, ports)


def _group(settings: Mapping[str, Any]) -> str:
    return f"/subscriptions/{settings['subscription']}/resourceGroups/{settings['resource_group']}"


def _seconds(settings: Mapping[str, Any], key: str, usual: float) -> float:
    value = settings.get(key, usual)
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _strange(balancer: str, words: Sequence[str]) -> tuple[Fact, ...]:
    text = f"{balancer} says {', '.join(words)}: a state that is not known here, and counts as unknown"
    return (Fact(Weight.NOTE, "unknown-health-word", text),) if words else ()


def _of_group(balancer: str, said: Mapping[str, Any]) -> Iterator[Fact]:
    """Tell which settings of an origin group make the share another than the weights say.

    Source: learn.microsoft.com, "Traffic routing methods to origin" (latency sensitivity 0 ms: weights
    "don't take effect unless two origins have the same network latency"), 2026-11-24.
    """
    if str(said.get("sessionAffinityState") or "").lower() == "enabled":
        text = f"{balancer} keeps sessions at their origin: a share is one of new sessions, not of requests"
        yield Fact(Weight.NOTE, "session-affinity", text)
    if (said.get("loadBalancingSettings") or {}).get("additionalLatencyInMilliseconds") == 0:
        text = (
            f"{balancer} has a latency sensitivity of 0 ms: all goes to the faster origin, whatever the "
            "weights; give it additionalLatencyInMilliseconds (50 is usual)"
        )
        yield Fact(Weight.HOLD, "weights-not-heeded", text)


def _halfway(error: Unanswered, done: Sequence[Origin]) -> Unanswered:
    changed = ", ".join(one.shown() for one in done)
    remedy = f"{error.why.remedy + '; ' if error.why.remedy else ''}the same move again does the rest"
    return Unanswered(Refusal(f"{error.why.what}; changed so far: {changed}", remedy, error.why.may_pass))
