"""A balancer whose traffic is parted by the weights in a Kubernetes object: what all of them do alike. Pure.

It tells no health: the object holds none, and readiness, which decides what Services hold, is only
Kubernetes' own word. So it is a signal without counts that says how traffic is parted, and the way to move
it.

A backend that gets no traffic may be absent: before the first canary, and after the old version was retired,
one always is. That a controller cannot find such a one is told, and no doubt of the split.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from upgrader.errors import BalancerUnwilling, ClusterConflict, UpgraderError
from upgrader.model.fleet import Fleet
from upgrader.model.listing import listed
from upgrader.model.plugins import Color, Split
from upgrader.model.ports import Clock, Kube, Manifest, PatchKind, Ports, Ref, Watch
from upgrader.model.reading import Fact, Reading, Weight
from upgrader.model.route_weights import Destination, Shape, Weights, owners, read_weights

STALE_SECONDS: Final = 3.0
"""A copy of the object that may be older than this says nothing."""
DOUBT_SECONDS: Final = 3.0
"""A split that is not known for longer than this, or than the balancer's own delay, holds."""
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Route:
    """One route object, and how to read it.

    Args:
        kind: The balancer's kind in the playbook.
        ref: The object.
        shape: Where its kind keeps weights.
        doubt: Says from the object's status why what is written may not be in force; empty when it is.
        unresolved: Says from it which backend cannot be found; empty when all are.
    """

    kind: str
    ref: Ref
    shape: Shape
    doubt: Callable[[Manifest], str]
    unresolved: Callable[[Manifest], str]


@dataclass(frozen=True, slots=True)
class Terms:
    """How a route object is written.

    Args:
        places: What the playbook means by each color.
        total: The sum of both weights that we write, > 1.
        delay_seconds: How long after an accepted change traffic may still go the old way, >= 0.
    """

    places: Mapping[Color, Destination]
    total: int
    delay_seconds: float


class RoutedTraffic:
    """The balancer; see the module's text. It is a `Signal` and a `Traffic`."""

    interval_seconds = 1.0
    """A reading looks at a watch; it costs a call only while a controller cannot find a backend."""
    counts_requests = False
    compares_pods = False
    speaks_of_backends = False

    def __init__(self, route: Route, terms: Terms, *, kube: Kube, clock: Clock) -> None:
        """Remember what to ask for.

        Args:
            route: The object.
            terms: How it is written.
            kube: The API server.
            clock: Time.
        """
        self.name = f"{route.kind} {route.ref.name}"
        self.finest_ratio = 1 / terms.total
        self.delay_seconds = terms.delay_seconds
        self._route = route
        self._terms = terms
        self._kube = kube
        self._clock = clock
        self._watch: Watch | None = None
        self._unclear_since: float | None = None

    @property
    def ref(self) -> Ref:
        """Return the object that is written."""
        return self._route.ref

    def read(self, fleet: Fleet) -> Reading:
        """Look at the live copy of the object; the first call starts the watch."""
        if self._watch is None:
            kinds = [(self.ref.api_version, self.ref.kind)]
            self._watch = self._kube.watch(kinds, namespace=self.ref.namespace)
        age = self._watch.age_seconds()
        if age > STALE_SECONDS:
            return self._reading(error=self._watch.error() or f"not heard of for {age:.0f} s")
        objects = {one["metadata"]["name"]: one for one in self._watch.objects()}
        route = objects.pop(self.ref.name, None)
        if route is None:
            return self._reading(error=str(self._absent()))
        split = self._read_split(route)
        facts = (*self._unclear(split), *self._told(route), *self._past(objects.values()))
        values = {} if split.green_ratio is None else {"green_ratio": split.green_ratio}
        return self._reading(age=age, facts=facts, values=values)

    def close(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.close()

    def split(self) -> Split:
        """Ask the API server what is written, and the object's status whether it is in force."""
        try:
            return self._read_split(self._get())
        except UpgraderError as error:
            return Split(None, _one_line(error))

    def move(self, green_ratio: float) -> None:
        """Write the weights of all rules that hold both places in one patch; see `Traffic.move`.

        Raises:
            BalancerUnwilling: Somebody else changed the object meanwhile, it cannot be moved as it stands,
                what is to get traffic is not there, we lack the right, or the API server did not take it.
        """
        weights = self._weights(self._get())
        body = weights.patch(green_ratio, total=self._terms.total)
        self._require_backends(weights, green_ratio)
        try:
            self._kube.patch(self.ref, body, kind=PatchKind.JSON)
        except ClusterConflict as error:
            raise BalancerUnwilling(
                f"{self.ref} was changed by somebody else meanwhile, so nothing was written: {error.what}",
                remedy="look who writes to it; the next try starts from what it is then",
            ) from error
        except UpgraderError as error:
            raise BalancerUnwilling(error.what, remedy=error.remedy) from error
        with suppress(UpgraderError):  # else the owner's next server-side apply would meet a conflict
            self._kube.drop_ownership(self.ref)

    def by_hand(self, green_ratio: float) -> str:
        """Return the command that does the same as `move`, and fails where the rules were moved since."""
        try:
            weights = self._weights(self._get())
            changes = [*weights.guards(), *weights.changes(green_ratio, total=self._terms.total)]
        except BalancerUnwilling as error:
            return f"set the weights in {self.ref}, which cannot be read now: {error.what}"
        what = f"{self.ref.kind.lower()}.{self.ref.api_version.partition('/')[0]}"
        where = f"kubectl -n {self.ref.namespace} patch {what} {self.ref.name}"
        return f"{where} --type=json -p {shlex.quote(json.dumps(changes))}"

    def _require_backends(self, weights: Weights, green_ratio: float) -> None:
        """Refuse to send traffic to what is not there; where that cannot be asked, the status will tell."""
        getting = {Color.BLUE: green_ratio < 1, Color.GREEN: green_ratio > 0}
        for color in weights.without():
            ref = self._terms.places[color].ref
            if getting[color] and not self._may_be(ref):
                raise BalancerUnwilling(
                    f"there is no {ref}, to which {self.ref} would send traffic",
                    remedy="see that it is installed, or correct the balancer's backends in the playbook",
                )

    def _may_be(self, ref: Ref) -> bool:
        try:
            return self._kube.get(ref) is not None
        except UpgraderError:
            return True

    def _get(self) -> Manifest:
        try:
            route = self._kube.get(self.ref)
        except UpgraderError as error:
            raise BalancerUnwilling(error.what, remedy=error.remedy) from error
        if route is None:
            raise self._absent()
        return route

    def _absent(self) -> BalancerUnwilling:
        return BalancerUnwilling(
            f"there is no {self.ref} of {self.ref.api_version}",
            remedy="correct namespace, name or object of the balancer in the playbook, or install its CRDs",
        )

    def _weights(self, route: Manifest) -> Weights:
        return read_weights(route, self._route.shape, self._terms.places)

    def _read_split(self, route: Manifest) -> Split:
        weights = self._weights(route)
        try:
            ratio = weights.green_ratio()
        except BalancerUnwilling as error:
            return Split(None, _one_line(error))
        if route["metadata"].get("deletionTimestamp"):
            return Split(None, f"{self.ref} is being deleted")
        doubt = self._route.doubt(route)
        if not doubt and (unresolved := self._route.unresolved(route)):
            doubt = "" if self._lacks_only_the_unused(weights) else unresolved
        return Split(None, f"{self.ref}: {doubt}") if doubt else Split(ratio)

    def _lacks_only_the_unused(self, weights: Weights) -> bool:
        """Tell whether a place without weight is absent, which is why the controller cannot find it."""
        return any(not self._may_be(self._terms.places[color].ref) for color in weights.without())

    def _unclear(self, split: Split) -> Iterator[Fact]:
        now = self._clock.monotonic()
        if split.green_ratio is not None:
            self._unclear_since = None
            return
        since = self._unclear_since = now if self._unclear_since is None else self._unclear_since
        if now - since >= max(DOUBT_SECONDS, self.delay_seconds):
            yield Fact(Weight.HOLD, "split-unknown", f"for {now - since:.0f} s: {split.error}")

    def _told(self, route: Manifest) -> Iterator[Fact]:
        weights = self._weights(route)
        if alone := weights.alone():
            text = f"{self.ref}: traffic of {', '.join(alone)} is not moved, and ends with that place"
            yield Fact(Weight.NOTE, "traffic-not-moved", text)
        if sticky := weights.sticky():
            text = (
                f"{', '.join(sticky)} of {self.ref} keeps sessions at their backend, even at weight 0: "
                "shares are of new sessions, on the way back too"
            )
            yield Fact(Weight.NOTE, "session-affinity", text)
        if unresolved := self._route.unresolved(route):
            yield Fact(Weight.NOTE, "backend-unresolved", f"{self.ref}: {unresolved}")
        if others := owners(route, self._route.shape.lists):
            text = f"{', '.join(others)} wrote the rules of {self.ref}, and may put its own weights back"
            yield Fact(Weight.NOTE, "weights-owned", text)

    def _past(self, others: Iterable[Manifest]) -> Iterator[Fact]:
        """Name other objects of the namespace that send to a place: nobody moves what they send."""
        past = sorted(str(Ref.of(one)) for one in others if self._weights(one).is_any)
        if past:
            text = f"traffic of {listed(past, _SHOWN)} is not moved, and ends with its place"
            yield Fact(Weight.NOTE, "traffic-not-moved", text)

    def _reading(
        self,
        *,
        error: str = "",
        age: float = 0.0,
        facts: tuple[Fact, ...] = (),
        values: Mapping[str, float] | None = None,
    ) -> Reading:
        now = self._clock.now()
        return Reading(
            signal=self.name,
            read_at=now,
            data_time=None if error else now - age,
            source=str(self.ref),
            facts=facts,
            values=values or {},
            complete=not error,
            error=error,
        )


def routed(route: Route, settings: Mapping[str, Any], ports: Ports) -> RoutedTraffic:
    """Make the balancer of a route object.

    Args:
        route: The object.
        settings: The playbook's keys; see `upgrader.model.balancing_routes`.
        ports: The world.
    """
    named = {Color.BLUE: settings["backend"], Color.GREEN: settings["green"]}
    places = {color: one.destination(settings["namespace"]) for color, one in named.items()}
    terms = Terms(places, settings["total"], settings["delay"].total_seconds())
    return RoutedTraffic(route, terms, kube=ports.kube, clock=ports.clock)


def _one_line(error: UpgraderError) -> str:
    return f"{error.what}; {error.remedy}" if error.remedy else error.what
