"""The weights in a Kubernetes object by which its rules part traffic: found, read as a share, and set. Pure.

Gateway API, Istio and Gloo all keep lists of weighted destinations in the rules of a route object. What
differs (where the lists lie, how a destination is named, what an absent weight means) is a `Shape`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from upgrader.errors import BalancerUnwilling
from upgrader.model.plugins import Color
from upgrader.model.ports import Manifest, Ref

UPSTREAM = "Upstream"
"""The detail of a destination that names an Upstream of Gloo."""
_NAMES = ("name", "namespace", "destination")
"""Keys of an entry that say where it sends to, in any of the kinds."""
OURS = "upgrader"
"""Our field manager."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a rule sends traffic, or where the playbook means.

    Args:
        name: Name of the Service, or of Gloo's Upstream.
        namespace: Its namespace.
        port: Port of the Service; 0 where none is named, which means any.
        detail: What else tells two destinations apart: Istio's subset, Gloo's type.
    """

    name: str
    namespace: str
    port: int = 0
    detail: str = ""

    @property
    def ref(self) -> Ref:
        """Return the object that it names."""
        if self.detail == UPSTREAM:
            return Ref("gloo.solo.io/v1", UPSTREAM, self.namespace, self.name)
        return Ref("v1", "Service", self.namespace, self.name)

    def is_meant_by(self, meant: Destination) -> bool:
        """Tell whether the playbook means this destination."""
        same_port = self.port == meant.port or not (self.port and meant.port)
        return same_port and (self.name, self.namespace, self.detail) == (
            meant.name,
            meant.namespace,
            meant.detail,
        )


Named = Callable[[Mapping[str, Any], str], Destination | None]
"""From an entry of a rule and the object's namespace to what it names; ``None`` for what is no Service."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Where one kind of object keeps its weights.

    Args:
        lists: Where lists of rules lie, as keys below ``spec``.
        entries: Where a rule's weighted destinations lie, as keys below the rule.
        named: Reads what an entry names.
        absent: What an absent weight means.
        single: Where a rule names one destination without a weight, below the rule; empty for nowhere.
        sticky: What in a rule keeps sessions at their backend whatever its weight; empty for nothing.
    """

    lists: tuple[tuple[str, ...], ...]
    entries: tuple[str, ...]
    named: Named
    absent: int
    single: tuple[str, ...] = ()
    sticky: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One destination of a rule.

    Args:
        pointer: JSON pointer of its weight.
        weight: Its weight, >= 0.
        names: What tells that it is this one: JSON pointers and the values there.
    """

    pointer: str
    weight: int
    names: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a route object.

    Args:
        name: How sentences call it, such as ``rules[0]``.
        places: The entries of each color.
        others: The entries of neither.
        is_sticky: It keeps sessions at their backend, also at one whose weight is 0.
    """

    name: str
    places: Mapping[Color, tuple[Entry, ...]]
    others: tuple[Entry, ...] = ()
    is_sticky: bool = False

    @property
    def is_parted(self) -> bool:
        """Tell whether it holds both colors: only such rules are moved."""
        return all(self.places[color] for color in Color)

    @property
    def only(self) -> Color | None:
        """Return the color that it holds alone; ``None`` where it holds both or neither."""
        held = [color for color in Color if self.places[color]]
        return held[0] if len(held) == 1 else None


@dataclass(frozen=True, slots=True)
class Weights:
    """All weights of one route object, as last read.

    Args:
        ref: The object.
        version: Its ``metadata.resourceVersion``.
        rules: Its rules.
    """

    ref: Ref
    version: str
    rules: tuple[Rule, ...] = field(default=())

    def parted(self) -> tuple[Rule, ...]:
        """Return the rules that part traffic between the two places, each of them clear.

        Raises:
            BalancerUnwilling: There is none, or one can't be moved without a change to others' traffic.
        """
        rules = self._both()
        for rule in rules:
            self._require_clear(rule)
        return rules

    def _both(self) -> tuple[Rule, ...]:
        rules = tuple(rule for rule in self.rules if rule.is_parted)
        if not rules:
            raise BalancerUnwilling(
                f"no rule of {self.ref} holds both backends, so it cannot part traffic between them",
                remedy="name the second backend beside the first one, with weight 0",
            )
        return rules

    def _require_clear(self, rule: Rule) -> None:
        for color in Color:
            if len(rule.places[color]) > 1:
                raise BalancerUnwilling(
                    f"{rule.name} of {self.ref} names the {color} backend more than once",
                    remedy="name the port of the one that is meant, or leave one entry",
                )
        if any(entry.weight for entry in rule.others):
            raise BalancerUnwilling(
                f"{rule.name} of {self.ref} gives a third backend a share too, which would change with ours",
                remedy="give the third backend weight 0 or a rule of its own",
            )

    def green_ratio(self) -> float:
        """Return green's share of the requests, 0-1: what all rules agree on.

        Raises:
            BalancerUnwilling: They do not, or one of them sends its traffic nowhere.
        """
        shares = {rule.name: self._share(rule) for rule in self.parted()}
        (first, share), *_ = shares.items()
        for name, other in shares.items():
            if other != share:
                raise BalancerUnwilling(
                    f"the rules of {self.ref} do not agree: green gets {float(share):.4%} of {first}, "
                    f"but {float(other):.4%} of {name}",
                    remedy="somebody else changed one of them; set all to the same weights",
                )
        return float(share)

    def _share(self, rule: Rule) -> Fraction:
        weights = {color: rule.places[color][0].weight for color in Color}
        total = sum(weights.values())
        if total == 0:
            raise BalancerUnwilling(
                f"{rule.name} of {self.ref} gives both backends weight 0: its requests go nowhere",
                remedy="give one of them a weight",
            )
        return Fraction(weights[Color.GREEN], total)

    def patch(self, green_ratio: float, *, total: int) -> list[dict[str, Any]]:
        """Return the JSON patch that gives green this share in every rule that holds both places.

        With the ``resourceVersion`` in it the API server answers 409 if the object has changed since.

        Args:
            green_ratio: 0-1.
            total: The sum of both weights, > 1.

        Raises:
            BalancerUnwilling: As `parted`; for 0 and 1 only where no rule holds both.
        """
        version = {"op": "replace", "path": "/metadata/resourceVersion", "value": self.version}
        return [version, *self.changes(green_ratio, total=total)]

    def changes(self, green_ratio: float, *, total: int) -> list[dict[str, Any]]:
        """Return the operations of `patch` alone, for whoever changes the object by hand.

        The way back must be open whatever somebody has done meanwhile: all is given to one place in rules
        that are not clear, too, and a third backend keeps its share of them.
        """
        green = rounded(green_ratio, total=total)
        wanted = {Color.BLUE: total - green, Color.GREEN: green}
        if 0 < green < total:
            return [_set(rule.places[color][0], wanted[color]) for rule in self.parted() for color in Color]
        winner = Color.GREEN if green else Color.BLUE
        return [one for rule in self._both() for one in _give_all(rule, winner, total=total)]

    def guards(self) -> list[dict[str, Any]]:
        """Return operations that fail unless the entries are still where they were: paths count rules.

        `patch` needs none: it has the version.
        """
        entries = (one for rule in self._both() for color in Color for one in rule.places[color])
        named = (each for one in entries for each in one.names.items())
        return [{"op": "test", "path": path, "value": value} for path, value in named]

    def without(self) -> tuple[Color, ...]:
        """Return the places that some rule gives no weight."""
        rules = self._both()
        return tuple(color for color in Color if any(not rule.places[color][0].weight for rule in rules))

    def alone(self) -> tuple[str, ...]:
        """Return in words which rules hold one place only: their traffic is never moved."""
        return tuple(f"{rule.name} ({rule.only} only)" for rule in self.rules if rule.only)

    def sticky(self) -> tuple[str, ...]:
        """Return the names of the rules that part traffic, but of new sessions only."""
        return tuple(rule.name for rule in self.rules if rule.is_parted and rule.is_sticky)

    @property
    def is_any(self) -> bool:
        """Tell whether some rule holds a place."""
        return any(rule.is_parted or rule.only for rule in self.rules)


def _set(entry: Entry, weight: int) -> dict[str, Any]:
    """Return the operation that sets a weight; ``add`` also replaces one that is there (RFC 6902, 4.1)."""
    return {"op": "add", "path": entry.pointer, "value": weight}


def _give_all(rule: Rule, winner: Color, *, total: int) -> Iterator[dict[str, Any]]:
    """Yield the operations that give one place all that both have in a rule."""
    if any(entry.weight for entry in rule.others):
        total = max(1, sum(entry.weight for entries in rule.places.values() for entry in entries))
    for color in Color:
        for index, entry in enumerate(rule.places[color]):
            yield _set(entry, total if color is winner and index == 0 else 0)


def rounded(green_ratio: float, *, total: int) -> int:
    """Return green's weight; a share that is not 0 or 1 never becomes that.

    Args:
        green_ratio: 0-1.
        total: The sum of both weights, > 1.
    """
    if not 0 <= green_ratio <= 1:
        raise ValueError(f"a share of {green_ratio} is not between 0 and 1")
    if green_ratio in (0, 1):
        return round(green_ratio) * total
    return min(total - 1, max(1, round(green_ratio * total)))


def read_weights(route: Manifest, shape: Shape, places: Mapping[Color, Destination]) -> Weights:
    """Read all rules of a route object.

    Args:
        route: The object.
        shape: Where its kind keeps weights.
        places: What the playbook means by each color.
    """
    namespace = str(route["metadata"].get("namespace", ""))
    rules = tuple(
        _rule(rule, at, shape=shape, color=lambda entry: _color(shape.named(entry, namespace), places))
        for at, rule in _rules(route, shape)
    )
    return Weights(Ref.of(route), str(route["metadata"].get("resourceVersion", "")), rules)


def _rules(route: Manifest, shape: Shape) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each rule with its JSON pointer."""
    for keys in shape.lists:
        for index, rule in enumerate(below(route.get("spec"), keys) or ()):
            yield f"/{'/'.join(('spec', *keys))}/{index}", rule


def _rule(
    rule: Mapping[str, Any], at: str, *, shape: Shape, color: Callable[[Mapping[str, Any]], Color | None]
) -> Rule:
    found: dict[Color | None, list[Entry]] = {}
    for index, entry in enumerate(below(rule, shape.entries) or ()):
        pointer = f"{at}/{'/'.join(shape.entries)}/{index}"
        weight = entry.get("weight")
        names = {f"{pointer}/{key}": entry[key] for key in _NAMES if key in entry}
        found.setdefault(color(entry), []).append(
            Entry(f"{pointer}/weight", int(shape.absent if weight is None else weight), names)
        )
    single = below(rule, shape.single) if shape.single else None
    if single:
        found.setdefault(color(single), []).append(Entry("", 1))
    *_, where, number = at.split("/")
    places = {one: tuple(found.get(one, ())) for one in Color}
    is_sticky = bool(shape.sticky) and bool(below(rule, shape.sticky))
    return Rule(f"{where}[{number}]", places, tuple(found.get(None, ())), is_sticky)


def _color(found: Destination | None, places: Mapping[Color, Destination]) -> Color | None:
    if found is None:
        return None
    return next((color for color, meant in places.items() if found.is_meant_by(meant)), None)


def below(part: Any, keys: Iterable[str]) -> Any:
    """Return what lies below a mapping; ``None`` where a key on the way is absent."""
    for key in keys:
        part = part.get(key) if isinstance(part, Mapping) else None
    return part


def owners(route: Manifest, lists: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the field managers, other than we and kubectl, that own the rules and may write their own back.

    Lists of rules are owned whole. Source: their CRDs: ``x-kubernetes-list-type: atomic`` (Gateway API
    v1.7.0) or none, which means the same; checked 2026-11.
    """
    entries = route["metadata"].get("managedFields") or ()
    found = {
        str(entry.get("manager", ""))
        for entry in entries
        if not entry.get("subresource")
        for keys in lists
        if below(entry.get("fieldsV1"), ("f:spec", *(f"f:{key}" for key in keys))) is not None
    }
    return tuple(sorted(one for one in found if one != OURS and not one.startswith("kubectl")))
