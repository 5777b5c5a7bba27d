"""Ask Google's load balancer about the endpoints of its network endpoint groups (NEGs), and move its traffic.

Health is had per NEG by ``networkEndpointGroups.listNetworkEndpoints``, which lists attached endpoints that
no check has met yet, too. The calls of a look share one second; what there is no time for comes in the next
look, and a round over all NEGs is judged once.

Rate quotas are per project and minute, those of zonal and regional calls per region too, and
``listNetworkEndpoints`` has one of its own; others in the project spend them as well: hence a look every 5 s.
Source: https://docs.cloud.google.com/compute/docs/api-rate-limits (of 2026-04-14, which no longer says how
large they are), 2026-11-24.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

from upgrader.adapters.gcp_compute import LONGEST_CALL_SECONDS, Budget, Call, ComputeApi, Unanswered
from upgrader.adapters.gcp_traffic import UrlMap, backend_services
from upgrader.errors import BalancerUnwilling
from upgrader.model.backend_health import Health, Intake, worst
from upgrader.model.balancing import LOOPBACK
from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.gcp_health import (
    GATE,
    OPEN_GATES,
    Attached,
    Group,
    drained,
    groups_of,
    judged,
    read_endpoints,
    strange_words,
)
from upgrader.model.gcp_url_map import HEAVIEST, SCHEMES, Pair
from upgrader.model.plugins import Signal, Split
from upgrader.model.ports import Clock, Ports
from upgrader.model.reading import Fact, Reading, Weight

LOOK_SECONDS: Final = 0.9
"""All calls of one look together."""
SERVICES_SECONDS: Final = 60.0
"""So often the backend services are asked for their NEGs: a zone is seldom added."""
_NOT_AS_IT_WAS: Final = (400, 404)
"""A group that was deleted, or a page whose token is worth nothing any more: asking again brings the same."""
_LIST_ENDPOINTS: Final = "compute.networkEndpointGroups.get"


@dataclass(frozen=True, slots=True)
class _Heard:
    """What a NEG said at its last full reading.

    Args:
        at: UTC seconds of its first page.
        attached: Its endpoints.
    """

    at: float
    attached: tuple[Attached, ...]


@dataclass
class _Round:
    """A walk over all NEGs, which may take several looks."""

    waiting: list[tuple[str, Group]] = field(default_factory=list)
    pages: list[Attached] = field(default_factory=list)
    began: float = 0.0
    token: str = ""


class GcpNeg:
    """The balancer as a signal; see the module's text."""

    interval_seconds = 5.0
    counts_requests = False
    compares_pods = False
    speaks_of_backends = True

    def __init__(
        self, api: ComputeApi, *, project: str, services: Sequence[str], settle: float, clock: Clock
    ) -> None:
        """Remember whom to ask.

        Args:
            api: The API.
            project: The project's id.
            services: The backend services, each from ``global/`` or ``regions/`` on; blue's first.
            settle: How long a pod may take to be healthy there, in seconds.
            clock: Time.
        """
        self.name = f"gcp_neg {services[0].rsplit('/', 1)[-1]}"
        self._api = api
        self._project = project
        self._services = tuple(services)
        self._settle = settle
        self._clock = clock
        self._intake = Intake(self.name, settle_seconds=settle)
        self._groups: dict[str, tuple[Group, ...]] = {}
        self._schemes: dict[str, str] = {}
        self._affinities: dict[str, str] = {}
        self._asked_at: dict[str, float] = {}
        self._shares: Mapping[str, float] = {}
        self._round = _Round()
        self._heard: dict[tuple[str, Group], _Heard] = {}
        self._first_heard: dict[tuple[str, Group], float] = {}
        self._checked: set[tuple[str, Group]] = set()
        self._facts: tuple[Fact, ...] = ()

    def read(self, fleet: Fleet) -> Reading:
        """Go on with the round over the NEGs as far as a look's time reaches."""
        budget = Budget(self._clock, LOOK_SECONDS)
        try:
            if not self._round.waiting:
                self._ask_services(budget)
                self._shares = self._ask_shares(budget)
                self._round.waiting = list(self._places())
            is_round = self._go_round(budget)
        except BalancerUnwilling as error:
            return self._blind(f"{error.what}: {error.remedy}" if error.remedy else error.what)
        missing = [place for place in self._places() if place not in self._heard]
        if missing:
            return self._blind(f"{len(missing)} of its groups are not read yet, {missing[0][1]} among them")
        pods = self._intake.serving(
            fleet, {one.address for heard in self._heard.values() for one in heard.attached}
        )
        if not self._intake.knows_any:
            count = sum(len(heard.attached) for heard in self._heard.values())
            return self._blind(f"none of its {count} endpoints is a pod of the gateway")
        return self._reading(pods, is_round=is_round)

    def close(self) -> None:
        """Do nothing: the connections belong to the port."""

    def _ask_shares(self, budget: Budget) -> Mapping[str, float]:
        """Return what is said of traffic: nothing, by a balancer that only tells health."""
        return {}

    def _traffic_facts(self) -> tuple[Fact, ...]:
        return ()

    def _places(self) -> Iterator[tuple[str, Group]]:
        return ((service, group) for service, groups in self._groups.items() for group in groups)

    def _ask_services(self, budget: Budget) -> None:
        """Ask the backend services for their NEGs; one that is cut off goes on at the next look."""
        now = self._clock.monotonic()
        for service in self._services:
            if service in self._asked_at and now - self._asked_at[service] < SERVICES_SECONDS:
                continue
            kind = backend_services(service)
            call = Call(f"{kind}.get", f"projects/{self._project}/{service}", f"compute.{kind}.get")
            said = self._api.send(call, deadline_seconds=budget.next_seconds())
            try:
                self._groups[service] = groups_of(said)
            except ValueError as error:
                raise BalancerUnwilling(f"backend service {service}: {error}") from error
            self._schemes[service] = str(said.get("loadBalancingScheme") or "")
            self._affinities[service] = str(said.get("sessionAffinity") or "NONE")
            self._asked_at[service] = now
        places = set(self._places())
        self._heard = {place: heard for place, heard in self._heard.items() if place in places}

    def _go_round(self, budget: Budget) -> bool:
        """Read NEG after NEG; return whether the round came to its end.

        A page that the look's end cut off is no failure: it is the next look's.
        """
        while self._round.waiting:
            if budget.is_spent:
                return False
            seconds = budget.next_seconds()
            try:
                self._read_page(self._round, seconds)
            except Unanswered as error:
                if not error.status and seconds < LONGEST_CALL_SECONDS:
                    return False
                if error.status in _NOT_AS_IT_WAS:
                    self._round, self._asked_at = _Round(), {}
                raise
        return True

    def _read_page(self, walk: _Round, seconds: float) -> None:
        service, group = walk.waiting[0]
        token = f"?pageToken={quote(walk.token, safe='')}" if walk.token else ""
        call = Call(
            "networkEndpointGroups.listNetworkEndpoints",
            f"{group.path}/listNetworkEndpoints{token}",
            _LIST_ENDPOINTS,
            "POST",
            {"healthStatus": "SHOW"},
        )
        began = self._clock.now()
        page = self._api.send(call, deadline_seconds=seconds)
        walk.began = walk.began if walk.token else began
        walk.pages.extend(read_endpoints(page, service))
        walk.token = str(page.get("nextPageToken") or "")
        if not walk.token:
            self._heard[service, group] = _Heard(walk.began, tuple(walk.pages))
            walk.pages = []
            del walk.waiting[0]

    def _reading(self, pods: Sequence[Pod], *, is_round: bool) -> Reading:
        health = self._health()
        if is_round:
            self._facts = (
                *self._intake.facts(pods, health, now=self._clock.monotonic()),
                *self._strange(),
                *self._silent(),
                *self._drained(),
                *self._traffic_facts(),
                *_open_gates(pods, health),
            )
        return Reading(
            signal=self.name,
            read_at=self._clock.now(),
            data_time=min(heard.at for heard in self._heard.values()),
            source=self._source,
            facts=self._facts,
            values={**self._intake.values(pods, health), **self._shares},
        )

    def _health(self) -> Mapping[str, Health]:
        """Return each IP's health; the worst, where it stands in several groups."""
        said: dict[str, list[Health]] = {}
        for place, heard in self._heard.items():
            for address, healths in judged(heard.attached, unsaid=self._unsaid(place, heard)).items():
                said.setdefault(address, []).extend(drained(healths) if place[1].is_drained else healths)
        return {address: worst(healths) for address, healths in said.items()}

    def _unsaid(self, place: tuple[str, Group], heard: _Heard) -> Health:
        """Judge endpoints without health: nobody knows, if all are so and first checks had their time."""
        now = self._clock.monotonic()
        if any(one.words for one in heard.attached):
            self._checked.add(place)
            return Health.UNPROVEN
        if heard.attached:
            self._first_heard.setdefault(place, now)
        waited = now - self._first_heard.get(place, now)
        return Health.UNKNOWN if place in self._checked or waited >= self._settle else Health.UNPROVEN

    def _strange(self) -> tuple[Fact, ...]:
        words = strange_words(one for heard in self._heard.values() for one in heard.attached)
        text = f"{self.name} calls endpoints {', '.join(words)}, which we do not know: taken as unknown"
        return (Fact(Weight.NOTE, "unknown-health-word", text),) if words else ()

    def _silent(self) -> tuple[Fact, ...]:
        """Name the NEGs of which no endpoint has any health."""
        silent = [
            f"{group} ({len(heard.attached)})"
            for (_, group), heard in self._heard.items()
            if heard.attached and not any(one.words for one in heard.attached)
        ]
        text = (
            f"the balancer has no health of any endpoint in {', '.join(silent)}: no check has come to an end "
            "yet, or the group is not attached to a backend service that checks health"
        )
        return (Fact(Weight.NOTE, "group-without-health", text),) if silent else ()

    def _drained(self) -> tuple[Fact, ...]:
        """Name the NEGs that get nothing."""
        names = sorted({str(group) for _, group in self._heard if group.is_drained})
        text = (
            f"{', '.join(names)} gets no traffic (capacityScaler 0): its endpoints are not taken for healthy"
        )
        return (Fact(Weight.NOTE, "group-drained", text),) if names else ()

    @property
    def _source(self) -> str:
        return self._api.url(f"projects/{self._project}/{self._services[0]}")

    def _blind(self, error: str) -> Reading:
        now = self._clock.now()
        return Reading(self.name, now, data_time=None, source=self._source, complete=False, error=error)


class GcpTraffic(GcpNeg):
    """The balancer with both places named: it moves traffic by the weights of a URL map.

    ``finest_ratio`` is 1 of 1000, the heaviest weight.
    """

    finest_ratio = 1 / HEAVIEST

    def __init__(
        self,
        api: ComputeApi,
        *,
        url_map: UrlMap,
        services: Sequence[str],
        seconds: tuple[float, float],
        clock: Clock,
    ) -> None:
        """Remember whom to ask; as `GcpNeg`.

        Args:
            api: The API.
            url_map: Where the weights are.
            services: Blue's and green's backend service.
            seconds: ``settle`` and ``delay``.
            clock: Time.
        """
        super().__init__(api, project=url_map.project, services=services, settle=seconds[0], clock=clock)
        self.delay_seconds = seconds[1]
        self._url_map = url_map

    def split(self) -> Split:
        """Read the weights back; not known while an operation on the URL map runs."""
        try:
            return self._url_map.split(Budget(self._clock, LOOK_SECONDS))
        except BalancerUnwilling as error:
            return Split(None, f"{error.what}: {error.remedy}" if error.remedy else error.what)

    def move(self, green_ratio: float) -> None:
        """Set the weights in every place of the URL map that names both, by one patch."""
        budget = Budget(self._clock, LOOK_SECONDS)
        if not self._schemes:
            self._ask_services(budget)
        self._refuse_classic()
        self._shares = {}
        self._url_map.move(green_ratio, budget)

    def by_hand(self, green_ratio: float) -> str:
        """Return how an operator sets the weights without this tool."""
        return self._url_map.by_hand(green_ratio)

    def _traffic_facts(self) -> tuple[Fact, ...]:
        text = f"how it parts traffic is not known: {self._url_map.trouble}"
        unknown = (Fact(Weight.HOLD, "split-unknown", text),) if self._url_map.trouble else ()
        return (*unknown, *_sticky(self._affinities))

    def _ask_shares(self, budget: Budget) -> Mapping[str, float]:
        self._refuse_classic()
        ratio = self._url_map.split(budget).green_ratio
        return {} if ratio is None else {"green_ratio": ratio}

    def _refuse_classic(self) -> None:
        for service, scheme in self._schemes.items():
            if scheme not in SCHEMES:
                raise BalancerUnwilling(
                    f"backend service {service} is of scheme {scheme or '(none)'}, which knows no weights",
                    remedy="migrate the classic load balancer to EXTERNAL_MANAGED, or use rolling",
                )


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the balancer; with ``green`` and ``url_map`` it moves traffic too.

    Args:
        settings: ``project``; ``backend_service``; ``region``; ``green``; ``url_map``; ``settle`` (5 min);
            ``delay`` (60 s); ``endpoint``.
        ports: The world; a token is asked for unless the endpoint is on this machine.
    """
    endpoint = str(settings.get("endpoint") or "https://compute.googleapis.com")
    needs_token = urlsplit(endpoint).hostname not in LOOPBACK
    api = ComputeApi(endpoint, http=ports.http, token=(lambda: ports.token("gcp")) if needs_token else None)
    project, region = str(settings["project"]), settings.get("region")
    scope = f"regions/{region}" if region else "global"
    names = [settings["backend_service"], *([settings["green"]] if settings.get("green") else [])]
    services = [f"{scope}/backendServices/{name}" for name in names]
    settle = _seconds(settings.get("settle", timedelta(minutes=5)))
    if len(services) == 1:
        return GcpNeg(api, project=project, services=services, settle=settle, clock=ports.clock)
    url_map = UrlMap(
        api, project=project, path=f"{scope}/urlMaps/{settings['url_map']}", pair=Pair(*services)
    )
    seconds = (settle, _seconds(settings.get("delay", timedelta(seconds=60))))
    return GcpTraffic(api, url_map=url_map, services=services, seconds=seconds, clock=ports.clock)


def _seconds(value: timedelta | float) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _sticky(affinities: Mapping[str, str]) -> tuple[Fact, ...]:
    """Say which backend services keep sessions, which Google advises against beside weights.

    Source: google-cloud-compute 1.57.0, ``WeightedBackendService.weight``, 2026-11-24.
    """
    kept = [f"{service} ({word})" for service, word in affinities.items() if word != "NONE"]
    text = (
        f"session affinity of {', '.join(kept)} beside weights: shares may be of new sessions, on the way "
        "back too; Google says not to have both"
    )
    return (Fact(Weight.NOTE, "session-affinity", text),) if kept else ()


def _open_gates(pods: Sequence[Pod], health: Mapping[str, Health]) -> tuple[Fact, ...]:
    """Say which new pods are Ready by a gate that proves nothing; it holds until the balancer proves them."""
    opened = [pod for pod in pods if pod.side is Side.NEW and pod.gates.get(GATE) in OPEN_GATES]
    if not opened:
        return ()
    unproven = [pod for pod in opened if health.get(pod.address) is not Health.HEALTHY]
    pod = (unproven or opened)[0]
    text = (
        f"{len(opened)} new pods are Ready by {pod.gates[GATE]} of {GATE}, {pod.name} among them, which "
        f"proves nothing; {len(unproven)} of them are not healthy at the balancer"
    )
    return (Fact(Weight.HOLD if unproven else Weight.NOTE, "readiness-gate-open", text),)
