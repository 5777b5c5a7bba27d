"""The playbook's strategies: how the new version takes over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from upgrader.model.strict import Name, ReleaseName, Strict, Text
from upgrader.model.units import BatchSize, Duration, Ratio, Share, require_growing
from upgrader.model.watching import ForeignPlugin, by_kind

STRATEGIES: Final = ("rolling", "canary", "blue_green")
STRATEGIES_NOT_YET: Final = ("gitops", "revision")


DEFAULT_BATCHES: Final = (1, Share(Decimal(10)), Share(Decimal(50)), Share(Decimal(100)))


def _growing(value: tuple[int | Share, ...]) -> tuple[int | Share, ...]:
    require_growing(value)
    return value


class Rolling(Strict):
    """One ``helm upgrade``, its pods let through in batches."""

    green: ClassVar[None] = None
    """There is no place beside the release."""
    direct: ClassVar[Mapping[Literal["blue", "green"], str]] = {}

    kind: Literal["rolling"]
    batches: Annotated[tuple[BatchSize, ...], AfterValidator(_growing)] = Field(
        DEFAULT_BATCHES,
        description="How many pods are new after each batch: whole numbers, then shares rounded up; the last "
        "is 100%. Default [1, 10%, 50%, 100%]: one pod shows what fails for everybody, ten percent what "
        "fails under load.",
    )
    ready_within: Duration = Field(
        timedelta(minutes=5),
        description="How long the pods of one batch may take to turn ready. Default 5m: longer than an image "
        "pull, shorter than Kubernetes' own 10 minutes.",
    )


class GreenPlace(Strict):
    """The place beside the release: the new version goes there, and the next one back to the first."""

    name: ReleaseName = Field(description="Helm release name there. Required.")
    namespace: Name = Field(description="Its namespace; another than the release's own. Required.")
    values_files: tuple[Text, ...] = Field(
        (),
        description="Values files for this place alone, after the release's own: what must differ, such as a "
        "fixed address. Default none.",
    )


DEFAULT_RUNGS: Final = (0.001, 0.01, 0.05, 0.25, 0.5, 1.0)


def _to_all(value: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in pairwise((0.0, *value))):
        raise ValueError("each rung must be above the one before")
    if not value or value[-1] != 1.0:
        raise ValueError("the last rung must be 100%")
    return value


Direct = dict[Literal["blue", "green"], Text]
"""Where each place answers past the balancer."""
_DIRECT: Final = (
    "Where each place answers past the balancer, such as http://gateway.green.svc: every synthetic request "
    "is asked there of the new version before it gets traffic, with its own path, Host and headers. Default "
    "none: it is not asked."
)


class _Beside(Strict):
    """The new version is installed beside the old, and a balancer moves the traffic."""

    green: GreenPlace = Field(description="Where the second installation goes. Required.")
    ready_within: Duration = Field(
        timedelta(minutes=5),
        description="How long the new installation's pods may take to turn ready, once Helm is done. Default "
        "5m: longer than an image pull, shorter than Kubernetes' own 10 minutes.",
    )
    direct: Direct = Field(default_factory=dict, description=_DIRECT)


class Canary(_Beside):
    """A second installation gets traffic in rungs, each gated."""

    kind: Literal["canary"]
    rungs: Annotated[tuple[Ratio, ...], AfterValidator(_to_all)] = Field(
        DEFAULT_RUNGS,
        description="The new version's share of the requests, rung by rung, up to 100%. What a balancer "
        "cannot give is left out, and plan says so. Default [0.1%, 1%, 5%, 25%, 50%, 100%]: the first shows "
        "what fails for everybody, at the price of one request in a thousand.",
    )


class BlueGreen(_Beside):
    """A second installation gets all the traffic at once."""

    kind: Literal["blue_green"]

    @property
    def rungs(self) -> tuple[float, ...]:
        """The one rung."""
        return (1.0,)


class PluginStrategy(ForeignPlugin):
    """A strategy that somebody else's package brings; it validates all keys but these itself."""

    place = "strategies"
    ours = STRATEGIES
    later = STRATEGIES_NOT_YET

    green: GreenPlace | None = Field(
        None,
        description="Where a second installation goes, for strategies that make one. Default none: it "
        "upgrades the release where it is.",
    )
    direct: Direct = Field(default_factory=dict, description=_DIRECT)


StrategySettings = Annotated[
    Annotated[Rolling, Tag("rolling")]
    | Annotated[Canary, Tag("canary")]
    | Annotated[BlueGreen, Tag("blue_green")]
    | Annotated[PluginStrategy, Tag("plugin")],
    Discriminator(by_kind(STRATEGIES)),
]
