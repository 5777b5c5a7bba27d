"""Count requests and failures on each proxy, old against new, straight from Envoy's ``/stats``.

What a failed request is, and which counters say so: `upgrader.model.proxy_stats`. How their growth is told
from restarts and first sights: `upgrader.model.counters`. Refused configuration:
`upgrader.model.config_health`; lost routes: `upgrader.model.route_loss`.

Through an API server or port-forwards not every proxy is read: the newest of the new ones up to `SAMPLE`, and
as many old ones; the same from look to look, so that both ends of each interval are of the same pods.

Of several tiers only the pods of the one that is being upgraded are read. When that is another one, all that
was remembered goes: what the pods of one tier usually count says nothing of another's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from upgrader.model.config_health import ConfigHealth
from upgrader.model.counters import Ledger, Look, Sample
from upgrader.model.evidence import Counts
from upgrader.model.first_requests import FirstRequests
from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.plugins import Signal
from upgrader.model.ports import Answer, Clock, Endpoint, Ports, Sweep
from upgrader.model.proxy_stats import FILTER, ProxyStats, Requests, read_stats, requests_of
from upgrader.model.reading import UNASKED, Fact, Reading
from upgrader.model.route_loss import RouteLoss

PATH: Final = f"/stats?usedonly&filter={quote(FILTER, safe='')}"
"""Filtered always: unfiltered, 500 clusters are 8 MB. ``usedonly`` leaves out what was never touched."""
DEADLINE_SECONDS: Final = 0.8
"""Of one sweep: a look must be over within a second."""
SAMPLE: Final = 20
"""Proxies of each side that are read where each read is a burden on the API server."""
INTERVAL_SECONDS: Final = {"apiserver": 5.0}
"""Seconds between looks by way of reaching; 1 otherwise. There every read is a call of its own."""
_WIDE = "direct"


class EnvoyStats:
    """The signal; see the module's text."""

    name = "envoy_stats"
    counts_requests = True
    compares_pods = True
    speaks_of_backends = False

    def __init__(self, *, port: int, groups: Collection[str], sweep: Sweep, clock: Clock) -> None:
        """Remember where to look.

        Args:
            port: Admin or stats port of the proxies, 1-65535.
            groups: The playbook's groups that are Envoys. Empty for all: then those workloads are taken for
                Envoys of which a pod has answered. Pods that serve the gateway's Service but are in no group
                are always read.
            sweep: Reads many pods.
            clock: Time.
        """
        self._port = port
        self._groups = frozenset(groups)
        self._sweep = sweep
        self._clock = clock
        self._begin(tier=0)
        self.interval_seconds = self._interval()

    def _begin(self, *, tier: int) -> None:
        """Know of nothing yet."""
        self._tier = tier
        self._ledger = Ledger()
        self._config = ConfigHealth()
        self._routes = RouteLoss()
        self._speaking: frozenset[str] = frozenset()
        self._first_requests = FirstRequests(self.name)
        self._due_requests = 0.0

    def read(self, fleet: Fleet) -> Reading:
        """Look once at every proxy that is there, terminating ones included."""
        if fleet.tier != self._tier:
            self._begin(tier=fleet.tier)
        pods = tuple(pod for pod in fleet.pods if self._is_ours(pod))
        asked = self._asked(pods)
        answers = self._sweep.read(
            tuple(_endpoint(pod, self._port) for pod in asked), PATH, deadline_seconds=DEADLINE_SECONDS
        )
        read_at = self._clock.monotonic()
        self.interval_seconds = self._interval()
        stats, unread = _sorted(asked, answers)
        samples = {
            pod.uid: Sample(stats[pod.uid].counters, stats[pod.uid].uptime_seconds, pod.restarts, read_at)
            for pod in asked
            if pod.uid in stats
        }
        self._ledger, look = self._ledger.look(
            samples, ready={pod.uid: pod.ready for pod in pods}, now=read_at
        )
        if not samples:
            return self._blind(pods, unread)
        self._speaking |= {pod.workload for pod in asked if pod.uid in stats}
        self._config = self._config.look(stats, exists=[pod.uid for pod in pods], now=read_at)
        return self._reading(replace(fleet, pods=asked), look, unread, total=len(pods))

    def close(self) -> None:
        """Close the connections."""
        self._sweep.close()

    def _interval(self) -> float:
        """Return how often it is worth looking, by the way the proxies are reached."""
        return INTERVAL_SECONDS.get(self._sweep.reach, 1.0)

    def _is_ours(self, pod: Pod) -> bool:
        return not (pod.group and self._groups) or pod.group in self._groups

    def _is_proxy(self, pod: Pod) -> bool:
        """Tell whether a pod is known to be an Envoy: named in the playbook, or one of its workload spoke."""
        return bool(self._groups) or pod.workload in self._speaking

    def _asked(self, pods: Sequence[Pod]) -> tuple[Pod, ...]:
        """Choose whom to ask where not all can be: of the new ones the newest, for they are judged."""
        readable = sorted((pod for pod in pods if pod.address), key=lambda pod: pod.uid)
        if self._sweep.reach == _WIDE:
            return tuple(readable)
        old = [pod for pod in readable if pod.side is Side.OLD]
        new = [pod for pod in readable if pod.side is Side.NEW]
        new.sort(key=lambda pod: pod.created_at, reverse=True)
        return tuple(new[:SAMPLE] + old[:SAMPLE])

    def _blind(self, pods: Sequence[Pod], unread: Mapping[str, str]) -> Reading:
        return Reading(
            signal=self.name,
            read_at=self._clock.now(),
            data_time=None,
            source=self._source(0, len(pods)),
            complete=False,
            unread_ratio=1.0,
            unread_new=any(pod.side is Side.NEW for pod in pods if pod.uid in unread),
            error=_why_blind(pods, unread),
        )

    def _reading(self, fleet: Fleet, look: Look, unread: Mapping[str, str], *, total: int) -> Reading:
        asked = fleet.pods
        sides = {
            side: _sum(look.growth[pod.uid] for pod in asked if pod.side is side and pod.uid in look.growth)
            for side in Side
        }
        new, old = sides[Side.NEW], sides[Side.OLD]
        self._routes = self._routes.look(old)
        counts = None
        if look.seconds > 0:
            counts = Counts(new.requests, new.failures, old.requests, old.failures, look.seconds)
            self._count_due(fleet, look, new=new, old=old)
        expected = [pod for pod in asked if _should_answer(pod) and self._is_proxy(pod)]
        now = self._clock.now()
        return Reading(
            signal=self.name,
            read_at=now,
            data_time=now,
            source=self._source(len(asked) - len(unread), total),
            window_seconds=look.seconds,
            counts=counts,
            facts=(
                *self._config.facts(asked, now=self._clock.monotonic()),
                *self._routes.facts(),
                *self._silent(fleet, look, unread),
            ),
            values=_values(new, old, look, unread=len([1 for pod in expected if pod.uid in unread]))
            | self._unasked(total - len(asked)),
            complete=not any(pod.uid in unread for pod in expected),
            unread_ratio=sum(pod.uid in unread for pod in expected) / max(1, len(expected)),
            unread_new=any(pod.uid in unread for pod in expected if pod.side is Side.NEW),
            due_requests=self._due_requests,
        )

    def _unasked(self, count: int) -> dict[str, float]:
        """Say how many pods were left out of a sample; one without an address is no part of any."""
        return {UNASKED: float(count)} if count and self._sweep.reach != _WIDE else {}

    def _silent(self, fleet: Fleet, look: Look, unread: Mapping[str, str]) -> tuple[Fact, ...]:
        """Name the new proxies that could be read and have answered no request yet."""
        grown = {uid: requests_of(growth).requests for uid, growth in look.growth.items()}
        proxies = [pod for pod in fleet.pods if pod.uid not in unread and self._is_proxy(pod)]
        return self._first_requests.look(proxies, grown, new_ratio=fleet.new_ratio)

    def _count_due(self, fleet: Fleet, look: Look, *, new: Requests, old: Requests) -> None:
        """Add what new pods should have had: by the balancer's share, else by their share of ready pods."""
        ready = Counter(pod.side for pod in fleet.pods if _should_answer(pod) and pod.uid in look.growth)
        if new.requests or not ready[Side.NEW]:
            self._due_requests = 0.0
        elif fleet.new_ratio is not None:
            # At 1 nothing is left for the old side to be measured by: what it still gets is all due.
            old_ratio = 1.0 - fleet.new_ratio
            self._due_requests += old.requests * (fleet.new_ratio / old_ratio if old_ratio > 0 else 1.0)
        elif ready[Side.OLD]:
            self._due_requests += old.requests * ready[Side.NEW] / ready[Side.OLD]

    def _source(self, read: int, total: int) -> str:
        return f"{read} of {total} proxies, {self._sweep.reach}, port {self._port}"


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the signal.

    Args:
        settings: ``port``; ``reach`` (``auto``); ``group``: one of the playbook's groups, or several, or none
            for all.
        ports: The world; a sweep is opened.
    """
    group = settings.get("group") or ()
    return EnvoyStats(
        port=int(settings["port"]),
        groups=(group,) if isinstance(group, str) else tuple(group),
        sweep=ports.sweep(str(settings.get("reach") or "auto")),
        clock=ports.clock,
    )


def _endpoint(pod: Pod, port: int) -> Endpoint:
    return Endpoint(pod.uid, pod.namespace, pod.name, pod.address, port)


def _should_answer(pod: Pod) -> bool:
    """Tell whether a proxy is expected to answer: one that starts or goes away need not."""
    return pod.ready and not pod.terminating


def _sorted(
    asked: Iterable[Pod], answers: Mapping[str, Answer]
) -> tuple[dict[str, ProxyStats], dict[str, str]]:
    """Sort answers into what proxies said and why others said nothing, by uid."""
    stats: dict[str, ProxyStats] = {}
    unread: dict[str, str] = {}
    for pod in asked:
        answer = answers.get(pod.uid) or Answer(0, error="not asked")
        said = read_stats(answer.body) if answer.status == 200 and not answer.error else None
        if said is not None:
            stats[pod.uid] = said
        elif answer.status == 200:
            unread[pod.uid] = "HTTP 200, but no Envoy stats (no server.uptime)"
        else:
            unread[pod.uid] = answer.error or f"HTTP {answer.status}"
    return stats, unread


def _why_blind(pods: Sequence[Pod], unread: Mapping[str, str]) -> str:
    if not pods:
        return "there is no pod of the groups that are read"
    if not unread:
        return f"none of {len(pods)} pods has an IP"
    reason, times = Counter(unread.values()).most_common(1)[0]
    return f"none of {len(unread)} proxies could be read; {times} of them: {reason}"


def _sum(growths: Iterable[Mapping[str, int]]) -> Requests:
    return sum((requests_of(growth) for growth in growths), Requests())


def _values(new: Requests, old: Requests, look: Look, *, unread: int) -> dict[str, float]:
    """Return numbers for the eye; what is 0 and seldom otherwise is left out."""
    kinds = {
        f"{side}_{kind}": float(getattr(requests, kind))
        for side, requests in (("new", new), ("old", old))
        for kind in ("server_errors", "resets", "no_route")
    }
    kinds |= {"unread_pods": float(unread), "skewed_pods": float(len(look.skewed))}
    totals = {
        "new_requests": float(new.requests),
        "new_failures": float(new.failures),
        "old_requests": float(old.requests),
        "old_failures": float(old.failures),
    }
    return totals | {name: value for name, value in kinds.items() if value}
