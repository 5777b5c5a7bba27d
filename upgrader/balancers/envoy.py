"""Ask an Envoy in front of the gateway how it sees each backend: readiness in Kubernetes is not that.

How a backend is judged: `upgrader.model.backends`. Retries are watched too, for they hide a drain that loses
requests: a balancer that retries shows its clients none of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from upgrader.model.backend_health import Health, Intake, counted, worst
from upgrader.model.backends import Backend, read_backends
from upgrader.model.fleet import Fleet, Pod, Side
from upgrader.model.plugins import Signal
from upgrader.model.ports import Answer, Clock, Http, Ports
from upgrader.model.proxy_stats import read_numbers
from upgrader.model.reading import Fact, Reading, Weight

DEADLINE_SECONDS: Final = 0.4
"""Of each of the two pages: a look must be over within a second."""
RETRYING_LOOKS: Final = 3
"""Retries in so many looks in a row are no accident."""
_STATS: Final = ("upstream_rq_retry", "lb_healthy_panic", "health_check.attempt")


class EnvoyBalancer:
    """The balancer as a signal; see the module's text."""

    interval_seconds = 1.0
    counts_requests = False
    compares_pods = False
    speaks_of_backends = True

    def __init__(self, *, admin: str, cluster: str, settle_seconds: float, http: Http, clock: Clock) -> None:
        """Remember whom to ask.

        Args:
            admin: URL of the admin page, without a path.
            cluster: The cluster that holds the gateway's pods.
            settle_seconds: How long after Ready a pod may take to be healthy there, >= 0.
            http: Fetches the pages.
            clock: Time.
        """
        self.name = f"envoy {cluster}"
        base, name = admin.rstrip("/"), quote(f"^{re.escape(cluster)}$", safe="")
        wanted = "|".join(re.escape(one) for one in _STATS)
        stats = quote(rf"^cluster\.{re.escape(cluster)}\.({wanted})$", safe="")
        self._clusters_url = f"{base}/clusters?format=json&filter={name}"
        self._stats_url = f"{base}/stats?filter={stats}"
        self._cluster = cluster
        self._intake = Intake(cluster, settle_seconds=settle_seconds)
        self._http = http
        self._clock = clock
        self._before: dict[tuple[str, int], Backend] = {}
        self._stats: dict[str, int] = {}
        self._retrying = 0

    def read(self, fleet: Fleet) -> Reading:
        """Look once at both pages."""
        page = self._http.get(self._clusters_url, deadline_seconds=DEADLINE_SECONDS)
        backends = read_backends(page.body, self._cluster) if page.status == 200 else None
        if backends is None:
            return self._blind(_why_unread(page, f"no cluster {self._cluster} on its page"))
        answer = self._http.get(self._stats_url, deadline_seconds=DEADLINE_SECONDS)
        stats = read_numbers(answer.body)
        if answer.status != 200 or f"cluster.{self._cluster}.upstream_rq_retry" not in stats:
            return self._blind(_why_unread(answer, f"no counters of cluster {self._cluster}"))
        pods = self._intake.serving(fleet, {one.address for one in backends})
        if not self._intake.knows_any:
            return self._blind(f"none of its {len(backends)} backends is a pod of the gateway")
        return self._reading(pods, backends, stats)

    def close(self) -> None:
        """Do nothing: the connections belong to the port."""

    def _blind(self, error: str) -> Reading:
        return Reading(
            signal=self.name,
            read_at=self._clock.now(),
            data_time=None,
            source=self._clusters_url.partition("?")[0],
            complete=False,
            error=error,
        )

    def _reading(self, pods: Sequence[Pod], backends: Sequence[Backend], stats: Mapping[str, int]) -> Reading:
        grown = {name: _grown(self._stats, stats, f"cluster.{self._cluster}.{name}") for name in _STATS}
        is_checked = stats.get(f"cluster.{self._cluster}.health_check.attempt", 0) > 0
        health = self._health(backends, is_checked=is_checked)
        facts = (
            *self._intake.facts(pods, health, now=self._clock.monotonic()),
            *self._retries(grown["upstream_rq_retry"]),
            *_panic(grown["lb_healthy_panic"]),
            *(() if is_checked else (_UNCHECKED,)),
        )
        values = (
            counted(pods, health) | self._errors(pods, backends) | {"retries": grown["upstream_rq_retry"]}
        )
        self._before = {(one.address, one.port): one for one in backends}
        self._stats = dict(stats)
        now = self._clock.now()
        source = self._clusters_url.partition("?")[0]
        return Reading(self.name, now, now, source, facts=facts, values=values)

    def _health(self, backends: Sequence[Backend], *, is_checked: bool) -> Mapping[str, Health]:
        """Return each IP's health."""
        by_address: dict[str, list[Health]] = {}
        for one in backends:
            before = self._before.get((one.address, one.port))
            by_address.setdefault(one.address, []).append(one.health(before, is_checked=is_checked))
        return {address: worst(said) for address, said in by_address.items()}

    def _retries(self, grown: int) -> tuple[Fact, ...]:
        self._retrying = self._retrying + 1 if grown else 0
        if not grown:
            return ()
        weight = Weight.HOLD if self._retrying >= RETRYING_LOOKS else Weight.NOTE
        text = (
            f"{self._cluster} retried {grown} requests since the last look: its clients do not see them fail"
        )
        return (Fact(weight, "retries-hide-failures", text),)

    def _errors(self, pods: Sequence[Pod], backends: Sequence[Backend]) -> dict[str, float]:
        """Return requests and errors of each side since the last look, as the balancer counts them."""
        sides = {pod.address: pod.side.value for pod in pods}
        values = {f"{side.value}_{what}": 0.0 for side in Side for what in ("requests", "errors")}
        for one in backends:
            before = self._before.get((one.address, one.port))
            if one.address in sides and before is not None:
                side = sides[one.address]
                values[f"{side}_requests"] += max(0, one.requests - before.requests)
                values[f"{side}_errors"] += max(0, one.errors - before.errors)
        return values


_UNCHECKED: Final = Fact(
    Weight.NOTE,
    "no-active-check",
    "the balancer has no active health check: a backend counts as healthy once it answered a request",
)


def build(settings: Mapping[str, Any], ports: Ports) -> Signal:
    """Make the balancer.

    Args:
        settings: ``admin``: URL of the admin page; ``cluster`` (``gateways``); ``settle`` (30 s).
        ports: The world.
    """
    settle = settings.get("settle", timedelta(seconds=30))
    return EnvoyBalancer(
        admin=str(settings["admin"]),
        cluster=str(settings.get("cluster") or "gateways"),
        settle_seconds=settle.total_seconds() if isinstance(settle, timedelta) else float(settle),
        http=ports.http,
        clock=ports.clock,
    )


def _why_unread(answer: Answer, otherwise: str) -> str:
    return answer.error or (f"HTTP {answer.status}" if answer.status != 200 else otherwise)


def _grown(before: Mapping[str, int], now: Mapping[str, int], name: str) -> int:
    """Return what a counter grew by; 0 at the first look, all of it after a restart."""
    value, old = now.get(name, 0), before.get(name)
    if old is None:
        return 0
    return value - old if value >= old else value


def _panic(grown: int) -> tuple[Fact, ...]:
    text = f"the balancer is in panic: {grown} requests went to backends it knows to be bad"
    return (Fact(Weight.HOLD, "balancer-panic", text),) if grown else ()
