"""The playbook: what to upgrade, in which batches, watched by what, and how sure to be.

Every field says its unit, its default and why. What the operator left out is decided here and nowhere
else; what this version cannot do is refused by name. Files and environment variables are looked at by
the adapter that reads a playbook, never here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    model_validator,
)

from upgrader.model.balancing import BALANCERS, BalancerSettings
from upgrader.model.lab_settings import Lab
from upgrader.model.plugins import Color
from upgrader.model.strategy import STRATEGIES, Rolling, StrategySettings
from upgrader.model.strict import (
    EnvName,
    GroupName,
    Name,
    ReleaseName,
    Strict,
    Text,
    at_fault,
    nearest,
    not_empty,
)
from upgrader.model.units import Duration, Ratio
from upgrader.model.watching import SIGNALS, EnvoyStats, KeysOf, SignalSettings, Synthetic

__all__ = ["BALANCERS", "SIGNALS", "STRATEGIES", "Playbook"]

_SELECTOR_PART = re.compile(
    r"!?[\w./-]+|[\w./-]+\s*(=|==|!=)\s*[\w.-]*|[\w./-]+\s+(in|notin)\s*\([\w.,\s-]*\)", re.ASCII
)


def _version(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError(
            f'put the version in quotes: "{value}" may not be what you wrote (1.10 is read as 1.1)'
        )
    return value


def _selector(value: str) -> str:
    parts = re.split(r",(?![^(]*\))", value)
    if not all(_SELECTOR_PART.fullmatch(part.strip()) for part in parts):
        raise ValueError(
            f'{value!r} is no label selector; write it as kubectl takes it: "app=gloo,tier in (a, b)"'
        )
    return value


def _chart_ref(value: str) -> str:
    scheme, separator, _ = value.partition("://")
    if not value or (separator and scheme not in ("oci", "http", "https")):
        raise ValueError(f"{value!r}: a chart is oci://…, https://… or a path beside the playbook")
    return value


Version = Annotated[Text, BeforeValidator(_version)]


class ChartSource(Strict):
    """Which chart, from which version to which."""

    ref: Annotated[str, AfterValidator(_chart_ref)] = Field(
        description="oci://…, https://… or a path relative to the playbook. {version} in it stands for the "
        "version, for charts that are kept one folder or file a version. Required."
    )
    from_version: Version = Field(
        alias="from", description="Chart version that runs now; checked against the cluster. Required."
    )
    to_version: Version = Field(alias="to", description="Chart version to end with. Required.")

    @property
    def is_local(self) -> bool:
        """Whether the chart is a path and not fetched from elsewhere."""
        return "://" not in self.ref

    def at(self, version: str) -> str:
        """Return the reference of one version of the chart."""
        return self.ref.replace("{version}", version)


class Values(Strict):
    """What the chart is configured with."""

    files: tuple[Text, ...] = Field(
        (), description="Values files in Helm's order, relative to the playbook. Default none."
    )
    env: dict[Text, EnvName] = Field(
        default_factory=dict,
        description="Dotted value path to the environment variable that holds it; for secrets: they never "
        "reach a command line, journal, log or report. Default none.",
    )


def _service(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", value.replace("{release}", "release")):
        raise ValueError(f"{value!r} is no name of a Service")
    return value


class Workloads(Strict):
    """One group of Deployments that are upgraded and gated together."""

    selector: Annotated[Text, AfterValidator(_selector)] = Field(
        description="Label selector of the group's Deployments and pods, as kubectl takes it. Required."
    )
    service: Annotated[Text, AfterValidator(_service)] | None = Field(
        None,
        description="The Service that carries traffic to the group; {release} in it stands for the release's "
        "name, which differs between the two places of a canary. Default none: no traffic of its own.",
    )


class Release(Strict):
    """One Helm release."""

    name: ReleaseName = Field(description="Helm release name. Required.")
    namespace: Name = Field(description="Its namespace. Required: guessing one would be dangerous.")
    chart: ChartSource
    values: Values = Field(default_factory=Values, description="Default: the chart's own values alone.")
    workloads: dict[GroupName, Workloads] = Field(
        default_factory=dict,
        description="Groups in the order of the upgrade. Default: found from the manifest.",
    )

    def named(self) -> Release:
        """Return it with its own name where ``{release}`` stands."""
        filled = {
            group: one.model_copy(
                update={"service": one.service and one.service.replace("{release}", self.name)}
            )
            for group, one in self.workloads.items()
        }
        return self.model_copy(update={"workloads": filled})


class ErrorRatio(Strict):
    """How many more failed requests are too many."""

    tolerate: Ratio = Field(
        0.001,
        description="Extra failures accepted of new pods against old ones in the same seconds. Default 0.1%: "
        "smaller differences are noise at most gateways.",
    )
    exclude: Ratio = Field(
        0.05,
        description="The size of fault that each batch must rule out before the next; smaller makes gates "
        "longer. Default 5%.",
    )
    ceiling: Ratio = Field(
        0.05,
        description="Failure ratio that is too much with no old pod left to compare with. Default 5%.",
    )

    @model_validator(mode="after")
    def _exclude_is_visible(self) -> Self:
        if self.exclude <= self.tolerate:
            raise at_fault(("exclude",), "must be above tolerate: what is tolerated can never be ruled out")
        if not 0 < self.ceiling < 1:
            raise at_fault(("ceiling",), "must be above 0% and below 100%")
        return self


class Limits(Strict):
    """What counts as worse, and how sure to be."""

    not_yet = frozenset({"latency_p99", "traffic_share"})

    error_ratio: ErrorRatio = Field(default_factory=ErrorRatio)
    false_alarm: Ratio = Field(
        0.001,
        description="Chance that a good release is rolled back, over the whole run. Default 0.1%: evidence "
        "of 1,000 to 1 rolls back.",
    )

    @model_validator(mode="after")
    def _false_alarm_is_a_chance(self) -> Self:
        if not 0 < self.false_alarm <= 0.1:
            raise at_fault(("false_alarm",), "must be above 0% and at most 10%")
        return self


class Gate(Strict):
    """What each batch must pass."""

    stand: Duration = Field(
        timedelta(minutes=2),
        description="Least time of good readings after each batch; longer where the traffic needs it to rule "
        "out error_ratio.exclude. Default 2m.",
    )


class Blind(Strict):
    """What happens while there is no usable reading."""

    hold: Duration = Field(
        timedelta(minutes=2),
        description="How long to hold before pausing. Default 2m: a scrape or two may fail.",
    )
    then: Literal["pause"] = Field(
        "pause", description="Pause the run, the brake on. Nothing else: doubt is no reason to roll back."
    )


class Waiver(Strict):
    """A pre-flight rule that may not refuse this upgrade."""

    rule: Text = Field(description="The rule's id, as plan prints it. Required.")
    reason: Text = Field(description="Why, for the report: a change number, a name. Required.")


class Declarations(Strict):
    """What cannot be seen from outside and the operator vouches for."""

    config_compatible: StrictBool = Field(
        False,
        description="ConfigMaps and Secrets that change in place suit old pods too. Default false: an old "
        "pod that restarts reads the new ones.",
    )
    hooks_safe: tuple[Text, ...] = Field(
        (),
        description="Names of post-upgrade hooks that may run before any new pod exists. Default none.",
    )


class Checks(Strict):
    """Exceptions from the pre-flight rules."""

    waive: tuple[Waiver, ...] = Field((), description="Default none.")
    declare: Declarations = Field(default_factory=Declarations)

    @model_validator(mode="after")
    def _each_rule_once(self) -> Self:
        rules = [waiver.rule for waiver in self.waive]
        for at, rule in enumerate(rules):
            if rule in rules[:at]:
                raise at_fault(("waive", at, "rule"), f"{rule} is waived twice")
        return self


class Playbook(Strict):
    """A whole playbook, valid in itself. Paths and variables in it have not been looked at."""

    api_version: Literal["upgrader/v1"] = Field(alias="apiVersion", description="The format. Required.")
    name: Name = Field(description="What this upgrade is called in journals and reports. Required.")
    context: Text | None = Field(
        None, description="kubeconfig context. Default: the current one, which plan names."
    )
    releases: Annotated[tuple[Release, ...], AfterValidator(not_empty)] = Field(
        description="What to upgrade: one release, or several tiers of a gateway in the order of the "
        "upgrade, the inner one first. Several only with rolling. Required."
    )
    strategy: StrategySettings = Field(
        default_factory=lambda: Rolling(kind="rolling"),
        description="How the new version takes over. Default: rolling, in its default batches.",
    )
    signals: Annotated[tuple[SignalSettings, ...], AfterValidator(not_empty)] = Field(
        description="What tells good from bad; at least one. Required."
    )
    balancers: tuple[BalancerSettings, ...] = Field(
        (), description="Load balancers in front, asked how they see each backend. Default none."
    )
    limits: Limits = Field(default_factory=Limits)
    gate: Gate = Field(default_factory=Gate)
    bake: Duration = Field(
        timedelta(minutes=10),
        description="How long all new pods must stand before the run is over; one old pod stays to compare "
        "with. Default 10m.",
    )
    blind: Blind = Field(default_factory=Blind)
    checks: Checks = Field(default_factory=Checks)
    lab: Lab = Field(default_factory=Lab)

    @classmethod
    def read(
        cls,
        data: Mapping[str, Any],
        *,
        plugins: Mapping[str, Sequence[str]] | None = None,
        keys_of: KeysOf | None = None,
    ) -> Playbook:
        """Build a playbook from plain data.

        Args:
            data: What the YAML holds.
            plugins: Kinds that others installed, by ``signals``, ``balancers`` and ``strategies``.
            keys_of: Finds the model of the keys of such a kind. Default: they are taken as written.

        Raises:
            pydantic.ValidationError: with the path of each key at fault.
        """
        return cls.model_validate(data, context={"plugins": plugins or {}, "keys_of": keys_of})

    @property
    def release(self) -> Release:
        """The one release; of several, see `tiers`, the first."""
        return self.releases[0].named()

    @property
    def tiers(self) -> tuple[Playbook, ...]:
        """The playbook as it reads for each release alone, in the order of the upgrade."""
        if self.is_beside:
            return (self,)  # a second release is the place beside the first
        return tuple(self.model_copy(update={"releases": (one,)}) for one in self.releases)

    def place(self, color: Color) -> Release:
        """Return the release in one of the two places that a second installation needs; blue is `release`."""
        green = self.strategy.green
        if color is Color.BLUE or green is None:
            return self.release
        files = (*self.release.values.files, *green.values_files)
        values = self.release.values.model_copy(update={"files": files})
        names = {"name": green.name, "namespace": green.namespace, "values": values}
        return self.releases[0].model_copy(update=names).named()

    @property
    def is_beside(self) -> bool:
        """Whether the new version is installed beside the old one, and traffic moved by a balancer."""
        return self.strategy.green is not None

    def asks_directly(self, color: Color) -> bool:
        """Tell whether a place is asked past the balancer: it is said where, and what to ask."""
        probed = any(isinstance(one, Synthetic) for one in self.signals)
        return probed and color.value in self.strategy.direct

    @property
    def beside(self) -> Release:
        """The release in the place that does not carry the traffic, as `with_live` left it."""
        return self.releases[1].named()

    def with_live(self, color: Color) -> Playbook:
        """Return the playbook as it reads for a run that begins with this color live.

        Its first release is the live one; the second is the same in the other place.
        """
        return self.model_copy(update={"releases": (self.place(color), self.place(color.other))})

    @model_validator(mode="after")
    def _tiers(self) -> Self:
        """Several releases are upgraded in place, one after the other, and none of them twice."""
        if len(self.releases) > 1 and self.is_beside:
            what = f"one release with {self.strategy.kind} in this version; several only with rolling"
            raise at_fault(("releases", 1), what)
        known = [(one.namespace, one.name) for one in self.releases]
        for at, one in enumerate(known):
            if one in known[:at]:
                raise at_fault(("releases", at, "name"), f"the same release as releases[{known.index(one)}]")
        return self

    @model_validator(mode="after")
    def _two_places(self) -> Self:
        """A second installation needs a place of its own, and a balancer that knows both."""
        green = self.strategy.green
        if green is None:
            return self
        if green.namespace == self.release.namespace:
            raise at_fault(("strategy", "green", "namespace"), "must be another than the release's own")
        moving = [at for at, one in enumerate(self.balancers) if getattr(one, "green", None)]
        if len(moving) != 1:
            what = (
                "one balancer must have a green backend, to move traffic to; "
                f"{len(moving) or 'none'} of {len(self.balancers)} has"
            )
            raise at_fault(("balancers", moving[1]) if moving else ("balancers",), what)
        return self

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        named = [(at, one.group) for at, one in enumerate(self.signals) if isinstance(one, EnvoyStats)]
        for number, release in enumerate(self.releases):
            groups = release.workloads
            for at, group in named:
                if group and groups and group not in groups:
                    whose = f"releases[{number}].workloads" if len(self.releases) > 1 else "workloads"
                    what = f"no such group; {whose} has: {', '.join(groups)}{nearest(group, groups)}"
                    raise at_fault(("signals", at, "group"), what)
        return self

    @model_validator(mode="after")
    def _no_probe_twice(self) -> Self:
        probes = [(at, one) for at, one in enumerate(self.signals) if isinstance(one, Synthetic)]
        for number, (at, probe) in enumerate(probes):
            for first, other in probes[:number]:
                if (probe.url, probe.expect, probe.headers) == (other.url, other.expect, other.headers):
                    raise at_fault(("signals", at, "url"), f"the same probe as signals[{first}]; keep one")
        return self
