"""Watch how the configuration of each proxy fares: refused updates, lost listeners and clusters. Pure.

A control plane can break old proxies too, by what it serves them; then they are no baseline, and what is seen
here is a fact that needs no statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from upgrader.model.fleet import Pod, Side
from upgrader.model.listing import listed
from upgrader.model.proxy_stats import ProxyStats
from upgrader.model.reading import Fact, Weight

LOOKS_TO_BELIEVE: Final = 2
"""A loss is told when it stands in this many looks: an update in place may show a dip."""
LOST_RATIO: Final = 0.5
"""Losing this share of what it had breaks a proxy; less may be an application that was taken away."""
DISCONNECTED_SECONDS: Final = 30.0
"""A control plane that is replaced is away for a moment; longer is worth a stop."""
REFUSAL_SECONDS: Final = 60.0
"""How long a refused update of endpoints is told; of other subscriptions, until one is accepted."""
YOUNG_SECONDS: Final = 60.0
"""A process younger than this began while we watched, or just before."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Proxy:
    """What is remembered of one proxy's process."""

    first: ProxyStats
    last: ProxyStats
    refusing: Mapping[str, float] = field(default_factory=dict)
    """Subscription → when it last refused."""
    losing: int = 0
    """Looks in a row in which it had fewer listeners or clusters than at first."""
    disconnected_at: float | None = None

    def look(self, stats: ProxyStats, now: float) -> _Proxy:
        if stats.uptime_seconds < min(self.last.uptime_seconds, YOUNG_SECONDS):
            return _Proxy.of_young(stats, now)
        grew = {key for key, value in stats.rejected.items() if value > self.last.rejected.get(key, 0)}
        took = {key for key, value in stats.accepted.items() if value > self.last.accepted.get(key, 0)}
        standing = {
            key: at
            for key, at in self.refusing.items()
            if key in stats.rejected and key not in took
            if key in stats.accepted or now - at < REFUSAL_SECONDS
        }
        lost = stats.listeners < self.first.listeners or stats.clusters < self.first.clusters
        is_away = stats.is_connected is False and self.first.is_connected is True
        return _Proxy(
            first=self._grown_up(stats),
            last=stats,
            refusing=standing | dict.fromkeys(grew, now),
            losing=self.losing + 1 if lost else 0,
            disconnected_at=(self.disconnected_at or now) if is_away else None,
        )

    def _grown_up(self, stats: ProxyStats) -> ProxyStats:
        """Return what to compare with: the first sight, and all that a young process still received."""
        if stats.uptime_seconds >= YOUNG_SECONDS:
            return self.first
        return replace(
            self.first,
            listeners=max(self.first.listeners, stats.listeners),
            clusters=max(self.first.clusters, stats.clusters),
            is_connected=self.first.is_connected or stats.is_connected,
        )

    @classmethod
    def of(cls, stats: ProxyStats, now: float) -> _Proxy:
        return cls.of_young(stats, now) if stats.uptime_seconds < YOUNG_SECONDS else cls(stats, stats)

    @classmethod
    def of_young(cls, stats: ProxyStats, now: float) -> _Proxy:
        """Start with a process that began lately: what it refused and never took, it refuses now."""
        refused = (key for key in stats.rejected if not stats.accepted.get(key))
        return cls(replace(stats, rejected={}), stats, dict.fromkeys(refused, now))

    @property
    def lost_ratio(self) -> float:
        """The larger share of its listeners or clusters that is gone, 0-1."""
        pairs = ((self.first.listeners, self.last.listeners), (self.first.clusters, self.last.clusters))
        return max((1 - now / then for then, now in pairs if then), default=0.0)


@dataclass(frozen=True, slots=True)
class ConfigHealth:
    """All proxies read so far; immutable. Keep what `look` returns."""

    proxies: Mapping[str, _Proxy] = field(default_factory=dict)

    def look(self, stats: Mapping[str, ProxyStats], *, exists: Iterable[str], now: float) -> ConfigHealth:
        """Add what was read.

        Args:
            stats: Pod uid → what it said; pods that did not answer are left out.
            exists: The uids of pods that are there; others are forgotten.
            now: Seconds of a clock that never jumps.
        """
        proxies = {uid: self.proxies[uid] for uid in exists if uid in self.proxies}
        for uid, said in stats.items():
            known = self.proxies.get(uid)
            proxies[uid] = known.look(said, now) if known else _Proxy.of(said, now)
        return ConfigHealth(proxies)

    def facts(self, pods: Iterable[Pod], *, now: float) -> tuple[Fact, ...]:
        """Say what stands; pods that are going away are passed over."""
        known = [
            (pod, self.proxies[pod.uid]) for pod in pods if pod.uid in self.proxies and not pod.terminating
        ]
        old = [(pod, proxy) for pod, proxy in known if pod.side is Side.OLD]
        new = [(pod, proxy) for pod, proxy in known if pod.side is Side.NEW]
        found = (
            _fact(old, "xds-rejected", Weight.BREACH, lambda p: _refused(p, had_before=False)),
            _fact(old, "xds-rejected-as-before", Weight.HOLD, lambda p: _refused(p, had_before=True)),
            _fact(new, "xds-rejected-new", Weight.HOLD, _refused),
            _fact(old, "config-lost", Weight.BREACH, lambda p: _lost(p, is_large=True)),
            _fact(old, "config-shrunk", Weight.NOTE, lambda p: _lost(p, is_large=False)),
            _fact(old, "xds-disconnected", Weight.HOLD, lambda p: _away(p, now)),
        )
        return tuple(fact for fact in found if fact)


def _fact(
    proxies: list[tuple[Pod, _Proxy]], rule: str, weight: Weight, say: Callable[[_Proxy], str]
) -> Fact | None:
    said = [(pod, text) for pod, proxy in proxies if (text := say(proxy))]
    if not said:
        return None
    pod, text = said[0]
    names = listed([one.name for one, _ in said], _NAMED)
    return Fact(weight, rule, f"{len(said)} {pod.side.value} proxies ({names}); {pod.name}: {text}")


def _refused(proxy: _Proxy, *, had_before: bool | None = None) -> str:
    for key in proxy.refusing:
        before = proxy.first.rejected.get(key, 0)
        if had_before is None or had_before == bool(before):
            now = proxy.last.rejected.get(key, before)
            return f"{key} refused an update ({key}.update_rejected {before} → {now})"
    return ""


def _lost(proxy: _Proxy, *, is_large: bool) -> str:
    if proxy.losing < LOOKS_TO_BELIEVE or (proxy.lost_ratio >= LOST_RATIO) != is_large:
        return ""
    return (
        f"active listeners {proxy.first.listeners} → {proxy.last.listeners}, "
        f"active clusters {proxy.first.clusters} → {proxy.last.clusters}"
    )


def _away(proxy: _Proxy, now: float) -> str:
    seconds = now - proxy.disconnected_at if proxy.disconnected_at is not None else 0.0
    if seconds < DISCONNECTED_SECONDS:
        return ""
    return f"no control plane for {seconds:.0f} s (control_plane.connected_state 0)"
