"""What every cloud of the lab shares: the front balancer's view, weights that come late, and faults.

A cloud makes one `FrontView`, calls `start`, and then only asks: `seen` for its backends, `move` when
somebody set a weight, `faults.strike` at the beginning of every call. It keeps its own documents (URL maps,
listener rules, routes): `FrontView` knows traffic, not what an API says of it.

The front must have the clusters of `COLORS` behind a weighted route with runtime keys ``SPLIT.cluster``.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import urllib3

BLUE: Final = "gateways"
GREEN: Final = "gateways-green"
COLORS: Final = (BLUE, GREEN)
"""The front's two clusters."""
SPLIT: Final = "front.split"
"""The prefix of the runtime keys of the clusters' weights."""
WEIGHTS: Final = 100_000
"""Both weights together, so that the finest share is 0.001 %."""
KEPT_SECONDS: Final = 120.0
"""How long old views are kept, for a fault that lags."""
_NOT_CHECKED_YET = "pending_active_hc"

Ask = Callable[[str, str], bytes]
"""Sends a method and a path to the front's admin page; raises `OSError` when it is not answered with 200."""


class Standing(StrEnum):
    """How the front's own checks see a backend; one that is not listed is absent."""

    HEALTHY = "healthy"
    UNCHECKED = "unchecked"
    """No check of it has come to an end yet."""
    FAILED = "failed"
    LEAVING = "leaving"
    """It left the front's list less than the drain time ago."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One backend.

    Args:
        address: Its IP.
        port: Its port.
        standing: How the front sees it.
    """

    address: str
    port: int
    standing: Standing


class Fault(StrEnum):
    """What a cloud's API can be made to do; `Faults.read` says how."""

    THROTTLE = "throttle"
    """Answer as the provider does to too many calls."""
    QUOTA = "quota"
    """Answer as the provider does when a daily or project quota is used up."""
    RIGHTS = "rights"
    """Answer as the provider does to a caller without the right."""
    ERROR = "error"
    """Answer with the provider's 5xx."""
    HANG = "hang"
    """Answer nothing for ``seconds``; the call has no effect."""
    LAG = "lag"
    """Tell health ``seconds`` late, and move traffic that much later."""
    LIE = "lie"
    """Accept a change, tell it as set, and move nothing."""
    UNKNOWN = "unknown"
    """Tell a state of health that no schema has."""


ANSWERED: Final = (Fault.THROTTLE, Fault.QUOTA, Fault.RIGHTS, Fault.ERROR, Fault.HANG)
"""What a caller can tell from the answer; the others are silent."""


@dataclass
class Faults:
    """The one fault in force. Threads may ask and set it at once: it is replaced whole.

    Args:
        calls: How many calls came in, reads and writes, for tests of how often a client asks.
        met: How often each fault met somebody, by its name: a call, a change, or a question for health.
    """

    calls: dict[str, int] = field(default_factory=lambda: {"read": 0, "write": 0})
    met: Counter[str] = field(default_factory=Counter)
    _now: tuple[Fault | None, str, float] = (None, "all", 0.0)

    def read(self, body: bytes) -> None:
        """Set it from JSON: ``{"fault": "hang", "on": "read|write|all", "seconds": 60}``; ``{}`` ends it.

        Raises:
            ValueError: It is not that.
        """
        said = json.loads(body or b"{}")
        on = said.get("on", "all")
        if on not in ("read", "write", "all") or set(said) - {"fault", "on", "seconds"}:
            raise ValueError(f"not a fault: {said}")
        fault = Fault(said["fault"]) if said.get("fault") else None
        self._now = (fault, on, float(said.get("seconds", 60.0)))

    def strike(self, *, is_write: bool) -> Fault | None:
        """Count a call, and return the fault that meets it."""
        kind = "write" if is_write else "read"
        self.calls[kind] += 1
        fault, on, _ = self._now
        if on not in ("all", kind):
            return None
        if fault in ANSWERED:
            self.met[fault] += 1
        return fault

    def note(self, *silent: Fault) -> None:
        """Count it if one of these, which no answer shows, is in force: it has met a change or a question."""
        fault = self._now[0]
        if fault in silent:
            self.met[fault] += 1

    def told(self) -> dict[str, Any]:
        """Return what the control path tells: how many calls came in, and how often each fault met one."""
        return {"calls": dict(self.calls), "met": dict(self.met)}

    @property
    def seconds(self) -> float:
        """Return for how long a `Fault.HANG` keeps silent."""
        return self._now[2]

    @property
    def lag_seconds(self) -> float:
        """Return how old what is told must be: 0 unless `Fault.LAG` is in force."""
        return self._now[2] if self._now[0] is Fault.LAG else 0.0

    @property
    def tells_unknown(self) -> bool:
        """Tell whether states of health are to be told that no schema has."""
        return self._now[0] is Fault.UNKNOWN

    @property
    def lies(self) -> bool:
        """Tell whether changes are to be accepted and forgotten."""
        return self._now[0] is Fault.LIE


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow the cloud is.

    Args:
        delay_seconds: From an accepted weight until traffic follows, >= 0.
        drain_seconds: For how long a backend that left is told as leaving, >= 0.
        look_seconds: Between two looks at the front, > 0.
    """

    delay_seconds: float
    drain_seconds: float = 0.0
    look_seconds: float = 0.25


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    clusters: Mapping[str, Mapping[tuple[str, int], Standing]]


class FrontView:
    """The front balancer as a cloud sees it.

    Args:
        ask: How the front's admin page is asked: `admin`.
        pace: How slow the cloud is.
        clock: Monotonic seconds.
    """

    def __init__(self, ask: Ask, *, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self.faults = Faults()
        self.error = "the front was not looked at yet"
        """Why it does not know the front's view, or the empty text."""
        self._ask = ask
        self._pace = pace
        self._clock = clock
        self._looks: deque[_Look] = deque()
        self._left: dict[str, dict[tuple[str, int], float]] = {name: {} for name in COLORS}
        self._told_at = -math.inf
        self._waiting: list[tuple[float, float]] = []
        self._green_ratio: float | None = None
        self._is_told = True
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Look at the front from now on, in the background."""
        self.turn()
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """Stop looking."""
        self._stopped.set()

    def seen(self, cluster: str) -> tuple[Seen, ...]:
        """Return the backends of one of `COLORS`, as they are told now; empty when there are none."""
        self.faults.note(Fault.LAG, Fault.UNKNOWN)
        with self._lock:
            # What comes late is not taken back either: nothing older is told than was told before.
            self._told_at = at = max(self._told_at, self._clock() - self.faults.lag_seconds)
            old = [look for look in self._looks if look.at <= at]
            look = old[-1] if old else self._looks[0] if self._looks else None
            standings = dict(look.clusters.get(cluster, {})) if look else {}
            for place, left_at in self._left[cluster].items():
                if place not in standings and at - left_at < self._pace.drain_seconds:
                    standings[place] = Standing.LEAVING
        return tuple(Seen(*place, standing) for place, standing in sorted(standings.items()))

    def move(self, green_ratio: float) -> None:
        """Part traffic so after the delay; several changes come into force each in its time.

        One that would come later than a newer one never comes.

        Args:
            green_ratio: 0-1.
        """
        self.faults.note(Fault.LAG, Fault.LIE)
        if not self.faults.lies:
            due = self._clock() + self._pace.delay_seconds + self.faults.lag_seconds
            with self._lock:
                self._waiting = [one for one in self._waiting if one[0] <= due]
                self._waiting.append((due, green_ratio))

    @property
    def green_ratio(self) -> float | None:
        """Return how the front really parts traffic, 0-1; ``None`` when it was never told."""
        return self._green_ratio

    @property
    def is_moving(self) -> bool:
        """Tell whether a change is accepted and not in force."""
        return bool(self._waiting) or not self._is_told

    def turn(self) -> None:
        """Look at the front once and bring into force what is due; `start` does so again and again."""
        with self._lock:
            due = [one for one in self._waiting if one[0] <= self._clock()]
            self._waiting = [one for one in self._waiting if one not in due]
        if due:
            self._green_ratio, self._is_told = due[-1][1], False
        try:
            self._look()
            self._tell()
        except (OSError, ValueError, KeyError) as error:
            # A front that starts anew has forgotten its weights.
            self.error, self._is_told = f"the front: {error}", self._green_ratio is None
        else:
            self.error = ""

    def _run(self) -> None:
        while not self._stopped.wait(self._pace.look_seconds):
            self.turn()

    def _look(self) -> None:
        page = json.loads(self._ask("GET", "/clusters?format=json"))
        clusters = {one["name"]: _standings(one) for one in page["cluster_statuses"] if one["name"] in COLORS}
        now = self._clock()
        with self._lock:
            before = self._looks[-1].clusters if self._looks else {}
            for name in COLORS:
                for place in set(before.get(name, {})) - set(clusters.get(name, {})):
                    self._left[name][place] = now
            self._looks.append(_Look(now, clusters))
            while self._looks[0].at < now - KEPT_SECONDS:
                self._looks.popleft()

    def _tell(self) -> None:
        if self._is_told or self._green_ratio is None:
            return
        green = round(self._green_ratio * WEIGHTS)
        keys = f"{SPLIT}.{BLUE}={WEIGHTS - green}&{SPLIT}.{GREEN}={green}"
        self._ask("POST", f"/runtime_modify?{keys}")
        self._is_told = True


def admin(url: str) -> Ask:
    """Return how to ask the admin page at this URL (``http://127.0.0.1:9901``)."""
    pool = urllib3.PoolManager(timeout=1.0, retries=False)

    def ask(method: str, path: str) -> bytes:
        try:
            answer = pool.request(method, url.rstrip("/") + path)
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"{type(error).__name__} at {url}") from error
        if answer.status != 200:
            raise OSError(f"HTTP {answer.status} at {url}{path}")
        return answer.data

    return ask


def _standings(cluster: Mapping[str, Any]) -> dict[tuple[str, int], Standing]:
    """Read one cluster off ``/clusters?format=json``."""
    return {
        (host["address"]["socket_address"]["address"], host["address"]["socket_address"]["port_value"]): (
            _standing(host.get("health_status") or {})
        )
        for host in cluster.get("host_statuses") or ()
    }


def _standing(marks: Mapping[str, Any]) -> Standing:
    """Judge a backend by its marks; a new one has the mark of a failed check too until its first ends."""
    if marks.get(_NOT_CHECKED_YET):
        return Standing.UNCHECKED
    if marks.get("eds_health_status") == "DRAINING" or marks.get("pending_dynamic_removal"):
        return Standing.LEAVING
    return Standing.FAILED if any(value is True for value in marks.values()) else Standing.HEALTHY
