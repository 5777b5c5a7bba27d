"""Ask an Envoy in front of the gateway how it sees each backend: readiness in Kubernetes is not that.

How a backend is judged: `upgrader.model.backends`. Retries are watched too, for they hide a drain that loses
requests: a balancer that retries shows its clients none of them.

Where its settings name the green place as well, it moves traffic: by runtime keys, which override the weights
of its routes (`upgrader.model.envoy_split`). They live in the process's memory: a restart, a hot one too,
brings back the weights it is configured with.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from upgrader.errors import BalancerUnwilling
from upgrader.model.backend_health import LOOKS_TO_BELIEVE, Health, Intake, worst
from upgrader.model.backends import Backend, read_backends
from upgrader.model.envoy_split import (
    ADMIN_LAYER_REMEDY,
    FINEST_RATIO,
    Places,
    Routed,
    has_admin_layer,
    move_path,
    read_routes,
    read_runtime,
    routed,
    split_of,
)
from upgrader.model.first_requests import FirstRequests
from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.plugins import Signal, Split
from upgrader.model.ports import Answer, Clock, Http, Ports, Request
from upgrader.model.proxy_stats import read_numbers
from upgrader.model.reading import Fact, Reading, Weight

DEADLINE_SECONDS: Final = 0.4
"""Of each page."""
LOOK_SECONDS: Final = 0.9
"""Of all pages of one look together: it must be over within a second."""
RETRYING_LOOKS: Final = 3
"""Retries in so many looks in a row are no accident."""
ROUTES_SECONDS: Final = 30.0
"""So long the routes are taken for what they were: their page may be large, and they change seldom."""
DELAY_SECONDS: Final = 0.1
"""Workers take new weights up in their next turn; this is slack for busy ones. Of 170,000 requests around 60
moves none that was sent after the answer went the old way (Envoy 1.40.0, one worker, measured 2026-11-24)."""
_STATS: Final = ("upstream_rq_retry", "lb_healthy_panic", "health_check.attempt")


class AdminPages:
    """The admin page of one Envoy, read within the time that one look has."""

    def __init__(self, admin: str, *, http: Http, clock: Clock) -> None:
        """Remember whom to ask.

        Args:
            admin: URL of the admin page, without a path.
            http: Fetches the pages.
            clock: Time.
        """
        self._base = admin.rstrip("/")
        self._http = http
        self.clock = clock
        self._until = 0.0

    def begin(self) -> None:
        """Let the time of a look begin."""
        self._until = self.clock.monotonic() + LOOK_SECONDS

    def ask(self, path: str, *, method: str = "GET", at_most_seconds: float = DEADLINE_SECONDS) -> Answer:
        """Ask for one page; what has no time left is not asked.

        Args:
            path: Path and query.
            method: ``GET`` or ``POST``.
            at_most_seconds: How long it may take, > 0; less where the look has less left.
        """
        seconds = min(at_most_seconds, self._until - self.clock.monotonic())
        if seconds <= 0:
            return Answer(0, error="no time was left to ask: the pages before were slow")
        return self._http.send(Request(method, self.url(path)), deadline_seconds=seconds)

    def url(self, path: str) -> str:
        """Return a page's whole URL."""
        return self._base + path


class EnvoyBalancer:
    """The balancer as a signal; see the module's text."""

    interval_seconds = 1.0
    counts_requests = False
    compares_pods = False
    speaks_of_backends = True

    def __init__(self, pages: AdminPages, *, clusters: Sequence[str], settle_seconds: float) -> None:
        """Remember whom to ask.

        Args:
            pages: Its admin page.
            clusters: The clusters that hold the gateway's pods; the first gives the name.
            settle_seconds: How long after Ready a pod may take to be healthy there, >= 0.
        """
        self.name = f"envoy {clusters[0]}"
        self._clusters_path = f"/clusters?format=json&filter={_filter(_any_of(clusters))}"
        counters = rf"cluster\.{_any_of(clusters)}\.{_any_of(_STATS)}"
        self._stats_path = f"/stats?filter={_filter(counters)}"
        self._clusters = tuple(clusters)
        self._intake = Intake(clusters[0], settle_seconds=settle_seconds)
        self._pages = pages
        self._before: dict[tuple[str, str, int], Backend] = {}
        self._stats: dict[str, int] = {}
        self._retrying = 0
        self._first_requests = FirstRequests(self.name)

    def read(self, fleet: Fleet) -> Reading:
        """Look once at both pages."""
        self._pages.begin()
        page = self._pages.ask(self._clusters_path)
        if page.status != 200:
            return self._blind(_why_unread(page))
        backends = {one: read_backends(page.body, one) for one in self._clusters}
        found = {one: said for one, said in backends.items() if said is not None}
        if missing := backends.keys() - found.keys():
            return self._blind(f"no cluster {min(missing)} on its page")
        answer = self._pages.ask(self._stats_path)
        stats = read_numbers(answer.body)
        if answer.status != 200:
            return self._blind(_why_unread(answer))
        # Not the retries: an Envoy that creates counters late has none of them before the first request.
        if missing := {one for one in self._clusters if f"cluster.{one}.lb_healthy_panic" not in stats}:
            return self._blind(f"no counters of cluster {min(missing)}")
        pods = self._intake.serving(fleet, {one.address for said in found.values() for one in said})
        if not self._intake.knows_any:
            count = sum(map(len, found.values()))
            return self._blind(f"none of its {count} backends is a pod of the gateway")
        first = self._first_requests.look(pods, self._sent(pods, found), new_ratio=fleet.new_ratio)
        return self._reading(pods, found, stats, first)

    def close(self) -> None:
        """Do nothing: the connections belong to the port."""

    def _blind(self, error: str) -> Reading:
        return Reading(
            signal=self.name,
            read_at=self._pages.clock.now(),
            data_time=None,
            source=self._source,
            complete=False,
            error=error,
        )

    @property
    def _source(self) -> str:
        return self._pages.url("/clusters")

    def _reading(
        self,
        pods: Sequence[Pod],
        backends: Mapping[str, Sequence[Backend]],
        stats: Mapping[str, int],
        first: tuple[Fact, ...],
    ) -> Reading:
        grown = {name: self._all_grown(stats, name) for name in _STATS}
        unchecked = {one for one in self._clusters if not stats.get(f"cluster.{one}.health_check.attempt")}
        health = self._health(backends, unchecked)
        facts = (
            *self._intake.facts(pods, health, now=self._pages.clock.monotonic()),
            *_strange(self.name, backends),
            *self._retries(grown["upstream_rq_retry"]),
            *_panic(grown["lb_healthy_panic"]),
            *((_UNCHECKED,) if any(backends[one] for one in unchecked) else ()),
            *first,
        )
        values = (
            self._intake.values(pods, health)
            | self._errors(pods, backends)
            | {"retries": grown["upstream_rq_retry"]}
        )
        self._before = {
            (cluster, one.address, one.port): one for cluster, said in backends.items() for one in said
        }
        self._stats = dict(stats)
        now = self._pages.clock.now()
        return Reading(self.name, now, now, self._source, facts=facts, values=values)

    def _all_grown(self, stats: Mapping[str, int], name: str) -> int:
        return sum(_grown(self._stats, stats, f"cluster.{one}.{name}") for one in self._clusters)

    def _health(
        self, backends: Mapping[str, Sequence[Backend]], unchecked: Collection[str]
    ) -> Mapping[str, Health]:
        """Return each IP's health."""
        by_address: dict[str, list[Health]] = {}
        for cluster, said in backends.items():
            for one in said:
                before = self._before.get((cluster, one.address, one.port))
                health = one.health(before, is_checked=cluster not in unchecked)
                by_address.setdefault(one.address, []).append(health)
        return {address: worst(said) for address, said in by_address.items()}

    def _retries(self, grown: int) -> tuple[Fact, ...]:
        self._retrying = self._retrying + 1 if grown else 0
        if not grown:
            return ()
        weight = Weight.HOLD if self._retrying >= RETRYING_LOOKS else Weight.NOTE
        which = " and ".join(self._clusters)
        text = f"{which} retried {grown} requests since the last look: its clients do not see them fail"
        return (Fact(weight, "retries-hide-failures", text),)

    def _sent(self, pods: Sequence[Pod], backends: Mapping[str, Sequence[Backend]]) -> dict[str, int]:
        """Return the requests sent to each pod since the last look, by uid; a backend begins with none."""
        uids = {pod.address: pod.uid for pod in pods}
        grown: Counter[str] = Counter()
        for cluster, said in backends.items() if self._before else ():
            for one in said:
                if one.address in uids:
                    before = self._before.get((cluster, one.address, one.port))
                    known = before.requests if before and before.requests <= one.requests else 0
                    grown[uids[one.address]] += one.requests - known
        return grown

    def _errors(self, pods: Sequence[Pod], backends: Mapping[str, Sequence[Backend]]) -> dict[str, float]:
        """Return requests and errors of each side since the last look, as the balancer counts them."""
        sides = {pod.address: pod.side.value for pod in pods}
        values = {f"{side.value}_{what}": 0.0 for side in Side for what in ("requests", "errors")}
        for cluster, one in ((cluster, one) for cluster, said in backends.items() for one in said):
            before = self._before.get((cluster, one.address, one.port))
            if one.address in sides and before is not None:
                side = sides[one.address]
                values[f"{side}_requests"] += max(0, one.requests - before.requests)
                values[f"{side}_errors"] += max(0, one.errors - before.errors)
        return values


class EnvoyTraffic(EnvoyBalancer):
    """The same with both places: it moves traffic between them, too."""

    finest_ratio = FINEST_RATIO
    delay_seconds = DELAY_SECONDS

    def __init__(self, pages: AdminPages, *, places: Places, settle_seconds: float) -> None:
        """Remember whom to ask.

        Args:
            pages: Its admin page.
            places: The clusters of both places, and the prefix of the runtime keys.
            settle_seconds: How long after Ready a pod may take to be healthy there, >= 0.
        """
        super().__init__(pages, clusters=(places.blue, places.green), settle_seconds=settle_seconds)
        self._places = places
        self._routed: Routed | None = None
        self._routes_until = 0.0
        self._unknown = 0

    def read(self, fleet: Fleet) -> Reading:
        """Look once at the pages of backends, and at how traffic is parted."""
        reading = super().read(fleet)
        if reading.error:
            return reading
        split = self._split()
        known = {} if split.green_ratio is None else {"green_ratio": split.green_ratio}
        return replace(
            reading, values={**reading.values, **known}, facts=(*reading.facts, *self._facts(split))
        )

    def split(self) -> Split:
        """Ask the balancer how it parts traffic now; what cannot be read is a `Split` with an error."""
        self._pages.begin()
        return self._split()

    def move(self, green_ratio: float) -> None:
        """Set both weights by one call; they are in force on every route within `delay_seconds`.

        Args:
            green_ratio: 0-1; rounded to `finest_ratio`, and to 0 or 1 only where it is that.

        Raises:
            BalancerUnwilling: It was refused or not answered, or no route obeys.
        """
        self._pages.begin()
        found = self._routes()
        # The way back must not hang on a page that cannot be read now, nor on a route that somebody added.
        if isinstance(found, Routed) and not found.weights:
            raise BalancerUnwilling(f"{self.name}: {found.error}", remedy=found.remedy)
        answer = self._pages.ask(move_path(self._places, green_ratio), method="POST")
        if answer.status != 200:
            raise BalancerUnwilling(f"{self.name}: {_why_unread(answer)}", remedy=_remedy(answer))

    def by_hand(self, green_ratio: float) -> str:
        """Return the command that sets both weights so, for an operator without this tool."""
        url = self._pages.url(move_path(self._places, green_ratio))
        return f"curl --fail --silent --show-error --request POST {shlex.quote(url)}"

    def _split(self) -> Split:
        found = self._routes()
        if not isinstance(found, Routed):
            return Split(None, f"its routes are not known: {found}")
        answer = self._pages.ask("/runtime?format=json")
        runtime = read_runtime(answer.body) if answer.status == 200 else None
        if runtime is None:
            return Split(None, _why_unread(answer, "no runtime on its page"))
        return split_of(self._places, found, runtime)

    def _routes(self) -> Routed | str:
        """Return what the routes make of the places, or why that was never known."""
        now = self._pages.clock.monotonic()
        if self._routed is not None and now < self._routes_until:
            return self._routed
        self._routes_until = now + ROUTES_SECONDS
        seen = self._read_routes()
        if isinstance(seen, str):
            return self._routed or seen
        self._routed = seen
        return seen

    def _read_routes(self) -> Routed | str:
        answer = self._dump("mask=bootstrap.layered_runtime")
        can_be_set = has_admin_layer(answer.body) if answer.status == 200 else None
        if can_be_set is None:
            return _why_unread(answer, "no bootstrap on its page")
        if not can_be_set:
            return Routed(error="its runtime keys cannot be set", remedy=ADMIN_LAYER_REMEDY)
        routes: list[Mapping[str, Any]] = []
        for where in ("static", "dynamic"):
            answer = self._dump(f"resource={where}_route_configs")
            found = read_routes(answer.body) if answer.status == 200 else None
            if found is None:
                return _why_unread(answer, "no routes on its page")
            routes += found
        return routed(routes, self._places)

    def _dump(self, what: str) -> Answer:
        return self._pages.ask(f"/config_dump?{what}", at_most_seconds=LOOK_SECONDS)

    def _facts(self, split: Split) -> tuple[Fact, ...]:
        self._unknown = self._unknown + 1 if split.green_ratio is None else 0
        if self._unknown >= LOOKS_TO_BELIEVE:
            return (Fact(Weight.HOLD, "split-unknown", f"how it parts traffic is not known: {split.error}"),)
        if split.green_ratio is None or self._routed is None:
            return ()
        lasting = split_of(self._places, self._routed, {})
        if lasting.green_ratio == split.green_ratio:
            return ()
        by_them = f"green {lasting.green_ratio:.2%}" if lasting.green_ratio is not None else lasting.error
        text = f"a restart of this Envoy would bring back its configured weights: {by_them}"
        return (Fact(Weight.NOTE, "split-not-lasting", text),)


_UNCHECKED: Final = Fact(
    Weight.NOTE,
    "no-active-check",
    "the balancer has no active health check: a backend counts as healthy once it answered a request",
)


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the balancer; with ``green`` it is a `Traffic`, too.

    Args:
        settings: ``admin``: URL of the admin page; ``cluster`` (``gateways``); ``settle`` (30 s); ``green``
            and ``split`` both or neither: green's cluster, and the prefix of the runtime keys.
        ports: The world.
    """
    settle = settings.get("settle", timedelta(seconds=30))
    seconds = settle.total_seconds() if isinstance(settle, timedelta) else float(settle)
    pages = AdminPages(str(settings["admin"]), http=ports.http, clock=ports.clock)
    blue = str(settings.get("cluster") or "gateways")
    if not settings.get("green"):
        return EnvoyBalancer(pages, clusters=(blue,), settle_seconds=seconds)
    places = Places(blue, str(settings["green"]), str(settings["split"]))
    return EnvoyTraffic(pages, places=places, settle_seconds=seconds)


def _any_of(names: Sequence[str]) -> str:
    escaped = "|".join(map(re.escape, names))
    return f"(?:{escaped})" if len(names) > 1 else escaped


def _filter(pattern: str) -> str:
    return quote(f"^{pattern}$", safe="")


def _strange(balancer: str, backends: Mapping[str, Sequence[Backend]]) -> tuple[Fact, ...]:
    marks = sorted({mark for said in backends.values() for one in said for mark in one.strange})
    text = f"{balancer} marks backends as {', '.join(marks)}, which we do not know: taken as unknown"
    return (Fact(Weight.NOTE, "unknown-health-word", text),) if marks else ()


def _why_unread(answer: Answer, otherwise: str = "") -> str:
    if answer.status == 200 or answer.error:
        return answer.error or otherwise
    words = " ".join(answer.body[:200].decode("utf-8", "replace").split())
    return f"HTTP {answer.status}" + (f": {words}" if words else "")


def _remedy(answer: Answer) -> str:
    """Return what helps where new weights were not taken. Source: Envoy 1.40.0, measured 2026-11-24."""
    if answer.status == 0:
        return "they may be in force all the same: GET /runtime tells"
    if answer.status == 503 and b"admin layer" in answer.body:
        return ADMIN_LAYER_REMEDY
    if answer.status in (401, 403, 405):
        return "let us POST /runtime_modify: admin.allow_paths, and what stands before the admin page"
    return ""


def _grown(before: Mapping[str, int], now: Mapping[str, int], name: str) -> int:
    """Return what a counter grew by; 0 at the first look, all of it after a restart."""
    value, old = now.get(name, 0), before.get(name)
    if old is None:
        return 0
    return value - old if value >= old else value


def _panic(grown: int) -> tuple[Fact, ...]:
    text = f"the balancer is in panic: {grown} requests went to backends it knows to be bad"
    return (Fact(Weight.HOLD, "balancer-panic", text),) if grown else ()
