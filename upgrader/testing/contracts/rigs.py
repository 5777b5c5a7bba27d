"""What the author of a signal or a balancer lays before its contract: the provider, in a test's hands.

A rig is made anew for each test. Nothing in it waits: its clock stands until it is moved, and whatever asks
the provider does so through ports that the rig fills.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from upgrader.model.backend_health import Health
from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.plugins import Signal
from upgrader.model.ports import Clock

OLD_ADDRESS = "10.0.0.1"
NEW_ADDRESS = "10.0.0.2"


class Trouble(StrEnum):
    """How a call to a provider can fail."""

    THROTTLED = "throttled"
    QUOTA = "quota"
    """It is refused because a quota is used up; asking again does not help."""
    RIGHTS = "rights"
    """It is refused because a right is missing."""
    DOWN = "down"
    """The provider says that it has failed itself, such as HTTP 503."""
    SILENT = "silent"
    """No answer comes within the time that the call was given, which passes; nothing was done."""
    LOST = "lost"
    """The same, but a change that was asked for is made all the same."""


def a_pod(name: str, side: Side, *, address: str, namespace: str = "gw") -> Pod:
    """Return a pod that is Ready."""
    return Pod(
        name=name,
        namespace=namespace,
        uid=f"uid-{name}",
        address=address,
        workload="gateway",
        group="proxies",
        side=side,
        ready=True,
        terminating=False,
        restarts=0,
        waiting="",
        images=("gateway:1",),
        ready_at="2026-11-24T08:00:00Z",
        created_at="2026-11-24T07:59:50Z",
    )


def two_pods() -> Fleet:
    """Return a gateway with an old pod at `OLD_ADDRESS` and a new one at `NEW_ADDRESS`, both Ready."""
    old = a_pod("old-1", Side.OLD, address=OLD_ADDRESS)
    return Fleet((), (old, a_pod("new-1", Side.NEW, address=NEW_ADDRESS)))


class SignalRig(ABC):
    """A signal's source in a test's hands; at first all is well.

    ``clock``: the clock of the ports that `make` uses.

    ``troubles``: each way its source can fail → words that the error must hold, such as the right to ask for.

    ``secrets``: what the signal is given and may not tell.
    """

    clock: Clock
    troubles: ClassVar[Mapping[Trouble, str]]
    secrets: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def make(self) -> Signal:
        """Build the signal, as the wiring does."""

    @abstractmethod
    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        """Let every call fail so from now on; ``None``: none any more.

        Args:
            trouble: One of ``troubles``.
            writes_only: Only calls that change something fail.
        """

    def fleet(self) -> Fleet:
        """Return the gateway as the watch of the cluster shows it now."""
        return two_pods()

    def pass_time(self, seconds: float) -> None:
        """Let time pass before the next look."""
        self.clock.sleep(seconds)

    def serve(self, *, old: tuple[int, int], new: tuple[int, int]) -> None:
        """Let requests end on both sides, so many, so many failed, and nothing else any more."""
        raise NotImplementedError

    def restart(self) -> None:
        """Let the source count from 0 again; only asked where requests are counted."""
        raise NotImplementedError


class HealthRig(SignalRig):
    """A balancer's provider that tells the health of backends.

    ``words``: every word that the provider says of a backend → what it must mean. States in which it sends
    traffic without proof (fails open) are among them, and unknown.

    ``strange``: a word that it never said yet.
    """

    words: ClassVar[Mapping[str, Health]]
    strange: str

    @abstractmethod
    def make(self, *, settle_seconds: float = 0.0) -> Signal:
        """Build the balancer with this ``settle``."""

    @abstractmethod
    def say(self, address: str, word: str | None) -> None:
        """Say this of the backend with that IP from now on; ``None``: it is not listed any more.

        At first both `OLD_ADDRESS` and `NEW_ADDRESS` are healthy.
        """

    def word_for(self, health: Health) -> str:
        """Return the first word that means this."""
        return next(word for word, meant in self.words.items() if meant is health)


class TrafficRig(SignalRig):
    """A provider that parts traffic between the two places; at first blue has all."""

    @abstractmethod
    def front_share(self) -> float:
        """Return green's share as the provider really holds it, 0-1, past the balancer's own code."""

    @abstractmethod
    def meddle(self, green_ratio: float) -> None:
        """Have somebody else set green's share, in force at once."""

    @abstractmethod
    def lie(self) -> None:
        """Let the provider accept every change from now on, and make none."""

    @property
    @abstractmethod
    def writes(self) -> int:
        """How many changes the provider was asked for so far."""

    def take_effect(self) -> None:
        """Let what the provider accepted come into force, where that takes time."""
