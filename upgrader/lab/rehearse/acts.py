"""What is done to the world in mid-run: each act waits for its moment in the journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Protocol

from upgrader.adapters.playbook_file import LoadedPlaybook
from upgrader.lab import layout
from upgrader.lab.programs.upstream import ERRORS_KEY
from upgrader.lab.rehearse.drills import OUTAGE_PERCENT, OUTAGE_SECONDS, Act, Drill
from upgrader.lab.rehearse.fronts import CloudFront
from upgrader.lab.rehearse.journal import RunJournal
from upgrader.lab.rehearse.stage import Stage
from upgrader.lab.rehearse.troubles import Met, Trouble, met
from upgrader.model.watching import EnvoyStats

UPSTREAM_ADMIN_PORT = 19000
"""Of the demo's application (`upgrader.lab.programs.upstream`)."""
KILL_AFTER_SECONDS = 0.3
"""How long after a batch began its runner is killed: it has let the controller go on and cannot stop it."""


class InMidRun(Protocol):
    """One act."""

    @property
    def has_come(self) -> bool:
        """Tell whether its moment has come."""

    def look(self, journal: RunJournal, now: float) -> str:
        """Act if it is time to; return what was done as a sentence, or the empty text."""

    def undo(self) -> None:
        """Take back what is still on."""


class Nothing:
    """The plain rehearsal."""

    has_come = True

    def look(self, journal: RunJournal, now: float) -> str:
        """Do nothing."""
        return ""

    def undo(self) -> None:
        """Nothing was done."""


class Outage:
    """A share of the application's answers fails for a while, from when new and old pods both serve.

    Args:
        set_errors: Makes a share of answers fail, in per cent.
    """

    def __init__(self, set_errors: Callable[[int], None]) -> None:
        self._set_errors = set_errors
        self._began: float | None = None
        self._over = False

    @property
    def has_come(self) -> bool:
        """Tell whether it has begun."""
        return self._began is not None

    def look(self, journal: RunJournal, now: float) -> str:
        """Begin after the first batch; end it in time."""
        if self._began is None:
            if not _done(journal, batch=0):
                return ""
            self._set_errors(OUTAGE_PERCENT)
            self._began = now
            return f"{OUTAGE_PERCENT} % of the application's answers fail now, for {OUTAGE_SECONDS:.0f} s"
        if self._over or now - self._began < OUTAGE_SECONDS:
            return ""
        self.undo()
        return "the application is well again"

    def undo(self) -> None:
        """Heal the application."""
        if self._began is not None and not self._over:
            self._set_errors(0)
            self._over = True


class Blindness:
    """The proxies' counters cannot be read any more, from the first batch on.

    Args:
        shut: Does it.
    """

    def __init__(self, shut: Callable[[], None]) -> None:
        self._shut = shut
        self.has_come = False

    def look(self, journal: RunJournal, now: float) -> str:
        """Shut them once the first batch has begun."""
        if self.has_come or not _begun(journal, batch=0):
            return ""
        self._shut()
        self.has_come = True
        return "nobody can read the proxies' counters any more"

    def undo(self) -> None:
        """Stay blind: the drill ends in a pause, and the room with it."""


class Killing:
    """The run's process is killed in the middle of its second batch; of its only one, where there is one.

    Args:
        kill: Kills it as ``kill -9`` does.
    """

    def __init__(self, kill: Callable[[], None]) -> None:
        self._kill = kill
        self._seen: float | None = None
        self.has_come = False

    def look(self, journal: RunJournal, now: float) -> str:
        """Kill it a moment after the batch began."""
        if self.has_come or not _begun(journal, batch=1):
            return ""
        self._seen = now if self._seen is None else self._seen
        if now - self._seen < KILL_AFTER_SECONDS:
            return ""
        self.has_come = True
        self._kill()
        when = "just after" if _done(journal, batch=1) else "in the middle of"
        return f"the run's process was killed (kill -9) {when} a batch"

    def undo(self) -> None:
        """A dead process stays dead; the rehearsal resumes the run."""


class ApiTrouble:
    """The balancer's API gets into trouble once the first share of the traffic, or batch, is in place.

    Args:
        cloud: The front whose API it is.
        trouble: What it gets into.
    """

    def __init__(self, cloud: CloudFront, trouble: Trouble) -> None:
        self._cloud = cloud
        self._trouble = trouble
        self._began: float | None = None
        self._over = False
        self._set_ratio = 0.0
        self._sent: Mapping[str, int] = {}
        self.met: Met | None = None
        """What became of the traffic; known once `undo` was called."""

    @property
    def has_come(self) -> bool:
        """Tell whether the run has met it."""
        return self.met is not None and self.met.count > 0

    def look(self, journal: RunJournal, now: float) -> str:
        """Begin in the gate after the first share; end it in time where it passes."""
        if self._began is None:
            if not _done(journal, batch=0):
                return ""
            self._cloud.trouble(self._trouble.body)
            self._began = now
            self._set_ratio, self._sent = journal.share(journal.batches()[0]), self._cloud.sent()
            return f"the balancer's API is in trouble now, {self._trouble.lasts}: {self._trouble.fault}"
        lasts = self._trouble.for_seconds
        if self._over or not lasts or now - self._began < lasts:
            return ""
        self._end()
        return "the balancer's API is well again"

    def undo(self) -> None:
        """Tell what became of the traffic, and end the trouble where it still lasts."""
        if self._began is None:
            return
        count = self._cloud.met().get(self._trouble.fault, 0)
        self.met = met(self._sent, self._cloud.sent(), count=count, set_ratio=self._set_ratio)
        if not self._over:
            self._end()

    def _end(self) -> None:
        self._cloud.trouble("{}")
        self._over = True


def act_of(drill: Drill, stage: Stage, loaded: LoadedPlaybook, kill: Callable[[], None]) -> InMidRun:
    """Return the act of a drill, ready for its moment."""
    if drill.trouble:
        assert isinstance(stage.front, CloudFront), "refused before anything was started"
        return ApiTrouble(stage.front, drill.trouble)
    release = loaded.playbook.release
    makers: dict[Act, Callable[[], InMidRun]] = {
        Act.NOTHING: Nothing,
        Act.FAIL_UPSTREAM: lambda: Outage(
            lambda percent: fail_upstream(stage, release.namespace, release.name, percent)
        ),
        Act.BLIND: lambda: Blindness(lambda: shut_counters(stage, _stats_port(loaded))),
        Act.KILL_RUN: lambda: Killing(kill),
    }
    return makers[drill.act]()


def fail_upstream(stage: Stage, namespace: str, release: str, percent: int) -> None:
    """Make a share of the answers of the demo's application fail, in all its pods."""
    chosen = f"--selector=release={release},component=upstream"
    asked = ["kubectl", "get", "pods", "--namespace", namespace, chosen, "--output=json"]
    pods = json.loads(stage.room.run(asked).stdout)["items"]
    admins = (f"http://{pod['status']['podIP']}:{UPSTREAM_ADMIN_PORT}" for pod in pods)
    stage.ask("POST", *(f"{admin}/runtime_modify?{ERRORS_KEY}={percent}" for admin in admins))


def shut_counters(stage: Stage, port: int) -> None:
    """Drop every request for ``/stats`` on its way to a pod; probes of the same port pass.

    Source: nftables(8), raw payload expressions; ``@ih`` is what follows the TCP header.
    """
    wanted = b"GET /stats"
    match = f"tcp dport {port} @ih,0,{8 * len(wanted)} 0x{wanted.hex()}"
    rules = (
        "table ip upgrader_drill {\n  chain out {\n    type filter hook output priority 0;\n"
        f"    ip daddr {layout.POD_RANGE} {match} reject with tcp reset\n  }}\n}}\n"
    )
    stage.room.run(["nft", "-f", "-"], input=rules)


def _stats_port(loaded: LoadedPlaybook) -> int:
    return next(one.port for one in loaded.playbook.signals if isinstance(one, EnvoyStats))


def _begun(journal: RunJournal, *, batch: int) -> bool:
    return any(journal.has_begun(step) for step in journal.batches()[: batch + 1][-1:])


def _done(journal: RunJournal, *, batch: int) -> bool:
    return any(journal.is_done(step) for step in journal.batches()[: batch + 1][-1:])
