"""Ask AWS Elastic Load Balancing how it sees each pod, and part traffic by the weights of two target groups.

What a state means: `upgrader.model.aws_targets`; how weights are written: `upgrader.model.aws_forward`.
Only target groups of target-type ``ip`` are of use: with ``instance`` health is that of a node.

AWS has no fingerprint for a listener or rule: it is read right before the write, and who reads back sees a
race that was lost. Everything but the weights is sent as it was read: other actions, stickiness.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from upgrader.errors import BalancerUnwilling
from upgrader.model.aws_elsewhere import Elsewhere
from upgrader.model.aws_forward import FINEST_RATIO, is_sticky, moved, split_of, weights_for
from upgrader.model.aws_targets import (
    Group,
    Target,
    by_address,
    fail_open,
    gateless,
    read_group,
    read_targets,
    reasons,
    shifted,
)
from upgrader.model.aws_trouble import trouble_of
from upgrader.model.backend_health import Intake
from upgrader.model.fleet import Fleet, Pod
from upgrader.model.plugins import Signal, Split
from upgrader.model.ports import Clock, Ports
from upgrader.model.reading import Fact, Reading, Weight

LOOK_SECONDS: Final = 1.0
"""A look asks nothing more after that; what it learned of the groups is kept for the next."""
SETTLE: Final = timedelta(minutes=5)
DELAY: Final = timedelta(seconds=30)

Actions = Sequence[Mapping[str, Any]]


class AwsTargetGroup:
    """The balancer as a signal; see the module's text.

    It is read every 2 s, 3 calls at most: reads are 40 at once and 10 a second for the whole account and
    region. Source: docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html
    (2026-11-24).
    """

    interval_seconds = 2.0
    counts_requests = False
    compares_pods = False
    speaks_of_backends = True

    def __init__(self, api: Api, *, names: Sequence[str], region: str, settle_seconds: float) -> None:
        """Remember whom to ask.

        Args:
            api: The service ``elbv2``.
            names: ARNs or names of the target groups: blue's, and green's where there is one.
            region: Where they are, for the operator.
            settle_seconds: How long after Ready a pod may take to be healthy there, >= 0.
        """
        self._label = _short(names[0])
        self.name = f"aws_target_group {self._label}"
        self._api = api
        self._names = tuple(names)
        self._region = region
        self._known: dict[str, Group] = {}
        self._source = f"AWS elbv2 {region} {' '.join(map(_short, names))}"
        self._intake = Intake(self._label, settle_seconds=settle_seconds)

    def read(self, fleet: Fleet) -> Reading:
        """Look once at the targets of each group."""
        self._api.begin()
        try:
            seen = {group: self._targets(group) for group in self._groups()}
            split, notes = self._parting()
        except BalancerUnwilling as error:
            return self._blind(_sentence(error))
        health = by_address(one for targets in seen.values() for one in targets)
        pods = self._intake.serving(fleet, health)
        if not self._intake.knows_any:
            return self._blind(f"none of its {len(health)} targets is a pod of the gateway")
        said = self._intake.facts(pods, health, now=self._api.clock.monotonic())
        shares = {} if split.green_ratio is None else {"green_ratio": split.green_ratio}
        now = self._api.clock.now()
        return Reading(
            self.name,
            now,
            now,
            self._source,
            facts=(*said, *self._told(seen, pods, split), *gateless(pods), *notes),
            values={**self._intake.values(pods, health), **shares},
        )

    def close(self) -> None:
        """Do nothing: the connections belong to the port."""

    def _groups(self) -> list[Group]:
        """Return the groups, blue's first; asked for once.

        Raises:
            BalancerUnwilling: AWS did not tell, or its targets are no IPs.
        """
        for name in self._names:
            if name not in self._known:
                self._known[name] = self._group(name)
        groups = [self._known[name] for name in self._names]
        if len({one.arn for one in groups}) < len(groups):
            raise BalancerUnwilling(f"{' and '.join(self._names)} are the same target group")
        return groups

    def _group(self, name: str) -> Group:
        wanted = {"TargetGroupArns": [name]} if name.startswith("arn:") else {"Names": [name]}
        found = self._api.ask("describe_target_groups", wanted)["TargetGroups"]
        if not found:
            raise BalancerUnwilling(f"AWS lists no target group {name}")
        wanted = {"TargetGroupArn": found[0]["TargetGroupArn"]}
        attributes = self._api.ask("describe_target_group_attributes", wanted)["Attributes"]
        try:
            return read_group(found[0], attributes)
        except ValueError as error:
            raise BalancerUnwilling(str(error)) from error

    def _targets(self, group: Group) -> tuple[Target, ...]:
        return read_targets(self._api.ask("describe_target_health", {"TargetGroupArn": group.arn}))

    def _parting(self) -> tuple[Split, tuple[Fact, ...]]:
        """Return how traffic is parted, and what is to be said of that."""
        return Split(None), ()

    def _told(
        self, seen: Mapping[Group, Sequence[Target]], pods: Sequence[Pod], split: Split
    ) -> tuple[Fact, ...]:
        ratios = {self._names[0]: 1 - (split.green_ratio or 0), self._names[-1]: split.green_ratio}
        told: list[Fact] = []
        for name, (group, targets) in zip(self._names, seen.items(), strict=True):
            is_idle = len(self._names) > 1 and ratios[name] == 0
            told += () if is_idle else fail_open(group, targets)
            told += [*shifted(group, targets), *reasons(group, targets, pods)]
        return tuple(told)

    def _blind(self, error: str) -> Reading:
        now = self._api.clock.now()
        return Reading(self.name, now, None, self._source, complete=False, error=error)


class AwsWeightedGroups(AwsTargetGroup):
    """Two target groups behind one listener or rule: tells the health of both, and moves traffic."""

    finest_ratio = FINEST_RATIO

    def __init__(
        self, api: Api, *, names: Sequence[str], region: str, settle_seconds: float, route: Route
    ) -> None:
        """Remember whom to ask, as `AwsTargetGroup`.

        Args:
            api: The service ``elbv2``.
            names: ARNs or names of blue's and green's target group.
            region: Where they are.
            settle_seconds: How long after Ready a pod may take to be healthy there, >= 0.
            route: What parts the traffic.
        """
        super().__init__(api, names=names, region=region, settle_seconds=settle_seconds)
        self.delay_seconds = route.delay_seconds
        self._route = route
        self._elsewhere = Elsewhere(route.arn)

    def split(self) -> Split:
        """Ask how traffic is parted now; what cannot be read is a `Split` with an error."""
        self._api.begin()
        try:
            return self._shares()[0]
        except BalancerUnwilling as error:
            return Split(None, _sentence(error))

    def move(self, green_ratio: float) -> None:
        """Part traffic so, in one call; see `upgrader.model.plugins.Traffic`.

        Args:
            green_ratio: 0-1; rounded to 0.001, and never to 0 or 1 unless it is that.

        Raises:
            BalancerUnwilling: It was refused, throttled or not answered, or does not part traffic between
                these two groups; it may have happened all the same.
        """
        self._api.begin()
        blue, green = self._groups()
        try:
            wanted = moved(self._route.read(self._api), blue, green, green_ratio=green_ratio)
        except ValueError as error:
            raise BalancerUnwilling(f"{self._route.arn}: {error}") from error
        self._route.write(self._api, wanted)

    def by_hand(self, green_ratio: float) -> str:
        """Return the command that sets both weights so, or a sentence while the rule was not read yet."""
        known = [self._known[name] for name in self._names if name in self._known]
        if len(known) == len(self._names) and self._route.last:
            with suppress(ValueError):
                return self._route.by_hand(
                    moved(self._route.last, *known, green_ratio=green_ratio), self._region
                )
        blue, green = zip(map(_short, self._names), weights_for(green_ratio), strict=True)
        return (
            f"in {self._route.arn} give {blue[0]} the weight {blue[1]}, and {green[0]} the weight {green[1]}"
        )

    def _parting(self) -> tuple[Split, tuple[Fact, ...]]:
        split, notes = self._shares()
        arns, now = [one.arn for one in self._groups()], self._api.clock.monotonic()
        past = self._elsewhere.look(self._api.ask, arns, now=now, has_time=lambda: self._api.has_time)
        return split, (*notes, *past)

    def _shares(self) -> tuple[Split, tuple[Fact, ...]]:
        blue, green = self._groups()
        actions = self._route.read(self._api)
        split = split_of(actions, blue, green)
        notes: list[Fact] = []
        if split.error:
            text = f"{self._route.arn} does not tell how it parts traffic: {split.error}"
            notes.append(Fact(Weight.HOLD, "split-unknown", text))
        if is_sticky(actions):
            text = f"{self._route.arn} keeps clients with their target group: weights move new clients only"
            notes.append(Fact(Weight.NOTE, "group-stickiness", text))
        if self._route.is_network:
            text = f"{self._label} is behind a network balancer: weights move new connections only"
            notes.append(Fact(Weight.NOTE, "only-new-connections", text))
        return split, tuple(notes)


class Route:
    """What parts the traffic: a listener's default action, or the actions of one of its rules."""

    def __init__(self, arn: str, *, delay_seconds: float) -> None:
        """Remember it.

        Args:
            arn: Of a rule (``…:listener-rule/…``), or of a listener (``…:listener/…``).
            delay_seconds: How long after an accepted change traffic may go the old way, >= 0.
        """
        self.arn = arn
        self.delay_seconds = delay_seconds
        kind, _, rest = arn.rpartition(":")[2].partition("/")
        self._is_rule = kind == "listener-rule"
        self.is_network = rest.startswith("net/")
        self.last: Actions = ()
        """The actions as they were last read; empty before that."""

    def read(self, api: Api) -> Actions:
        """Return the actions as they are now.

        Raises:
            BalancerUnwilling: AWS did not tell, or it is the rule of a listener's default action.
        """
        if not self._is_rule:
            found = api.ask("describe_listeners", {"ListenerArns": [self.arn]})["Listeners"]
            self.last = self._one(found)["DefaultActions"]
            return self.last
        rule = self._one(api.ask("describe_rules", {"RuleArns": [self.arn]})["Rules"])
        if rule.get("IsDefault"):
            raise BalancerUnwilling(
                f"{self.arn} is the rule of a listener's default action",
                remedy="name the listener's own ARN: AWS changes that action there only",
            )
        self.last = rule["Actions"]
        return self.last

    def by_hand(self, actions: Actions, region: str) -> str:
        """Return the command that replaces the actions.

        Args:
            actions: All of them.
            region: Where it is.
        """
        what = "rule" if self._is_rule else "listener"
        key = "actions" if self._is_rule else "default-actions"
        said = shlex.quote(json.dumps(actions, separators=(",", ":")))
        return f"aws elbv2 modify-{what} --region {region} --{what}-arn {self.arn} --{key} {said}"

    def write(self, api: Api, actions: Actions) -> None:
        """Replace the actions; raises `BalancerUnwilling`, and it may have happened all the same."""
        if self._is_rule:
            api.ask("modify_rule", {"RuleArn": self.arn, "Actions": actions})
        else:
            api.ask("modify_listener", {"ListenerArn": self.arn, "DefaultActions": actions})

    def _one(self, found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        if not found:
            raise BalancerUnwilling(f"AWS lists no {self.arn}")
        return found[0]


class Api:
    """The service ``elbv2``, asked within the time of one look."""

    def __init__(self, connect: Callable[[], Any], clock: Clock) -> None:
        """Remember how to connect: that takes AWS's library and its credentials, and happens when needed.

        Args:
            connect: Makes boto3's client; raises `BalancerUnwilling`.
            clock: Time.
        """
        self.clock = clock
        self._connect = connect
        self._client: Any = None
        self._until = 0.0

    def begin(self) -> None:
        """Begin a look: its time runs from now."""
        if self._client is not None:
            self._until = self.clock.monotonic() + LOOK_SECONDS

    @property
    def has_time(self) -> bool:
        """Tell whether half of the look's time is left: what can wait is asked only then."""
        return self.clock.monotonic() <= self._until - LOOK_SECONDS / 2

    def ask(self, operation: str, parameters: Mapping[str, Any]) -> Any:
        """Call once.

        Args:
            operation: The client's method, such as ``describe_rules``.
            parameters: Its arguments.

        Raises:
            BalancerUnwilling: The look's time is over, or there was no usable answer.
        """
        if self._client is None:
            self._client = self._connect()
            self.begin()
        if self.clock.monotonic() > self._until:
            raise BalancerUnwilling(
                f"AWS answers too slowly: {LOOK_SECONDS:g} s were over before {operation}"
            )
        try:
            return getattr(self._client, operation)(**parameters)
        except Exception as error:
            trouble = trouble_of(error, operation)
            if trouble is None:
                raise
            if trouble.is_login:  # boto3 would keep what it read off a file, however often that is renewed
                self._client = None
            raise BalancerUnwilling(trouble.what, remedy=trouble.remedy) from error


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the balancer; with ``green`` and ``listener_rule`` it moves traffic too.

    Args:
        settings: ``region``, ``target_group``, ``green``, ``listener_rule``, ``settle`` (5 minutes),
            ``delay`` (30 s), ``endpoint`` (AWS's own): `upgrader.model.balancing.AwsTargetGroupBalancer`.
        ports: The world.
    """
    region, endpoint = str(settings["region"]), str(settings.get("endpoint") or "")
    api = Api(lambda: ports.aws("elbv2", region, endpoint), ports.clock)
    names = [str(settings[key]) for key in ("target_group", "green") if settings.get(key)]
    settle = _seconds(settings.get("settle", SETTLE))
    if len(names) == 1:
        return AwsTargetGroup(api, names=names, region=region, settle_seconds=settle)
    route = Route(str(settings["listener_rule"]), delay_seconds=_seconds(settings.get("delay", DELAY)))
    return AwsWeightedGroups(api, names=names, region=region, settle_seconds=settle, route=route)


def _seconds(said: Any) -> float:
    return said.total_seconds() if isinstance(said, timedelta) else float(said)


def _short(name: str) -> str:
    """Return a target group's name: ``arn:…:targetgroup/NAME/ID`` holds it."""
    return name.split("/")[1] if name.startswith("arn:") and "/" in name else name


def _sentence(error: BalancerUnwilling) -> str:
    return f"{error.what}; {error.remedy}" if error.remedy else error.what
