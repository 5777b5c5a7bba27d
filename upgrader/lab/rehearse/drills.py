"""The drills: what is made to go wrong in a rehearsal, and how the run must end then. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from upgrader.errors import ExitCode, PlaybookInvalid
from upgrader.lab.clouds.front_view import Fault
from upgrader.lab.rehearse.troubles import Meets, Trouble
from upgrader.model.phase import EXIT_CODES, Phase


class Act(StrEnum):
    """What is done to the world in mid-run."""

    NOTHING = "nothing"
    FAIL_UPSTREAM = "the application fails for a while"
    BLIND = "the proxies' counters become unreadable"
    KILL_RUN = "the run's process is killed, then resumed"
    TROUBLE = "the balancer's API is put into trouble"


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill.

    Args:
        name: As the operator wrote it; empty for the plain rehearsal.
        says: What goes wrong, in a few words.
        end: The phase the run must end in; ``None`` where nothing is promised.
        values: Chart values of the new version that make it a bad one.
        playbook: Settings of the playbook that are changed, by top-level key.
        act: What is done in mid-run.
        trouble: What the balancer's API is put into, for `Act.TROUBLE`.
    """

    name: str
    says: str
    end: Phase | None
    values: Mapping[str, Any] = field(default_factory=dict)
    playbook: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    act: Act = Act.NOTHING
    trouble: Trouble | None = None

    @property
    def exit_code(self) -> ExitCode | None:
        """The exit code that belongs to the end."""
        return None if self.end is None else EXIT_CODES[self.end]

    @property
    def may_lose(self) -> bool:
        """Tell whether clients may lose something: where the version or the application is a bad one."""
        return self.trouble is None and (self.end is not Phase.COMPLETED or self.act is Act.FAIL_UPSTREAM)

    @property
    def changes_playbook(self) -> bool:
        """Tell whether the run gets a playbook of its own."""
        return bool(self.values or self.playbook)


OUTAGE_SECONDS: Final = 10.0
OUTAGE_PERCENT: Final = 30
"""Share of the application's answers that fail in the drill of an outage."""
_PATIENT = {"blind": {"hold": "90s"}}
"""An outage is held for 35-50 s beyond its end, until the evidence has fallen and stayed low (measured)."""
_HASTY = {"blind": {"hold": "10s"}}
_IMPATIENT = {"strategy": {"ready_within": "40s"}}
"""So that drills of what never comes do not take minutes."""


def _troubled(name: str, says: str, trouble: Trouble) -> Drill:
    """Return the drill of a cloud's API in trouble: what passes is waited for, what stays pauses the run."""
    passes = trouble.for_seconds > 0
    return Drill(
        name,
        says,
        Phase.COMPLETED if passes else Phase.PAUSED,
        playbook=_PATIENT if passes else _HASTY,
        act=Act.TROUBLE,
        trouble=trouble,
    )


PLAIN: Final = Drill("", "nothing", Phase.COMPLETED)
DRILLS: Final = {
    drill.name: drill
    for drill in (
        Drill(
            "never-ready",
            "new proxies serve, but never turn ready",
            Phase.ROLLED_BACK,
            values={"neverReady": True},
            playbook=_IMPATIENT,
        ),
        Drill(
            "crash-loop",
            "new proxies end as soon as they start",
            Phase.ROLLED_BACK,
            values={"crashLoop": True},
        ),
        Drill(
            "no-listener",
            "new proxies call themselves ready, but take no traffic",
            Phase.ROLLED_BACK,
            values={"noListener": True},
        ),
        Drill(
            "bad-xds",
            "the new control plane takes the routes from old proxies",
            Phase.ROLLED_BACK,
            values={"badXds": "lost"},
        ),
        Drill(
            "upstream-outage",
            f"{OUTAGE_PERCENT} % of the application's answers fail for {OUTAGE_SECONDS:.0f} s: not our fault",
            Phase.COMPLETED,
            playbook=_PATIENT,
            act=Act.FAIL_UPSTREAM,
        ),
        Drill(
            "metrics-blind",
            "from the first batch on nobody can read the proxies' counters",
            Phase.PAUSED,
            playbook=_HASTY,
            act=Act.BLIND,
        ),
        Drill(
            "runner-killed",
            "`kill -9` of the run in the middle of a batch, then `upgrader resume`",
            Phase.COMPLETED,
            act=Act.KILL_RUN,
        ),
        _troubled(
            "balancer-throttled",
            "the balancer's API throttles every call for 20 s",
            Trouble(Fault.THROTTLE, for_seconds=20.0),
        ),
        _troubled(
            "balancer-times-out",
            "the balancer's API answers nothing for 20 s",
            Trouble(Fault.HANG, for_seconds=20.0, fault_seconds=20.0),
        ),
        _troubled(
            "balancer-lags",
            "for 60 s the balancer takes changes that traffic follows 60 s late, and tells health as late",
            Trouble(Fault.LAG, Meets.MOVES, for_seconds=60.0, fault_seconds=60.0),
        ),
        _troubled(
            "balancer-quota",
            "the balancer's API refuses every change: a quota is used up",
            Trouble(Fault.QUOTA, Meets.MOVES, on="write"),
        ),
        _troubled(
            "balancer-forbidden",
            "the balancer's API refuses every call: a right is missing",
            Trouble(Fault.RIGHTS),
        ),
        _troubled(
            "balancer-lies",
            "the balancer's API accepts every change, tells it as set, and nothing moves",
            Trouble(Fault.LIE, Meets.MOVES),
        ),
        _troubled(
            "balancer-unknown-state",
            "the balancer calls every backend a word that nobody knows",
            Trouble(Fault.UNKNOWN, Meets.HEALTH),
        ),
    )
}
"""The drills without a number, by name; the ends are the promise. ``errors:N%`` is the one with."""


def drill_of(fault: str, *, exclude: float) -> Drill:
    """Return the drill of a ``--fault``; the empty text is the plain rehearsal.

    Args:
        fault: Such as ``errors:20%``.
        exclude: The playbook's ``limits.error_ratio.exclude``: a smaller share of errors may pass its gates.

    Raises:
        PlaybookInvalid: There is no such drill.
    """
    if not fault:
        return PLAIN
    if fault in DRILLS:
        return DRILLS[fault]
    if found := re.fullmatch(r"errors:(\d{1,3})%", fault):
        percent = int(found[1])
        if 1 <= percent <= 100:
            end = Phase.ROLLED_BACK if percent / 100 >= exclude else None
            return Drill(
                fault, f"{percent} % of requests fail on new proxies", end, values={"errors": percent}
            )
    raise PlaybookInvalid(
        f"there is no drill {fault!r}",
        key="--fault",
        remedy=f"there is: errors:1% to errors:100%, {', '.join(DRILLS)}",
    )
