"""What a plugin of each kind is: signal and balancer, check, step and strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from upgrader.model.fleet import Fleet
from upgrader.model.ports import Chart, Denied, Manifest, Ports, Ref, Rendered, Revision
from upgrader.model.reading import Reading

if TYPE_CHECKING:
    from upgrader.model.playbook import Playbook


class Signal(Protocol):
    """A source of readings. A module ``upgrader/signals/KIND.py`` has ``build(settings, ports) -> Signal``.

    A balancer (``upgrader/balancers/KIND.py``, same door) is a signal that speaks of backends: its readings
    carry ``new_healthy``, ``old_healthy`` and ``new_total`` in their values.

    One whose API answers a question later may have ``is_waiting``: true until its first answer is there.

    ``counts_requests``: its readings feed an evidence meter. ``compares_pods``: its new side is new pods and
    its old side old pods. ``speaks_of_backends``: it is a balancer.
    """

    name: str
    interval_seconds: float
    counts_requests: bool
    compares_pods: bool
    speaks_of_backends: bool

    def read(self, fleet: Fleet) -> Reading:
        """Look once, within a second; what cannot be read is a `Reading` with an error."""

    def close(self) -> None:
        """Stop what runs in the background."""


class Color(StrEnum):
    """The two places of a gateway that is upgraded by a second installation beside the first."""

    BLUE = "blue"
    """The release the playbook names under ``releases``."""
    GREEN = "green"
    """The place beside it, which the strategy names."""

    @property
    def other(self) -> Color:
        """Return the other place."""
        return Color.GREEN if self is Color.BLUE else Color.BLUE


@dataclass(frozen=True, slots=True)
class Split:
    """How a balancer parts the traffic, as it says itself when asked.

    Args:
        green_ratio: The share of requests that green is to get, 0-1; ``None`` when it could not be read or
            is just being changed.
        error: Why it is not known, or the empty text.
    """

    green_ratio: float | None
    error: str = ""


class Traffic(Protocol):
    """A balancer that also moves traffic between the two places: its `Signal` has these as well.

    In this form its playbook entry names a backend of each color; its readings carry ``green_ratio`` in their
    values while that is known, and the health of both colors' pods.

    ``finest_ratio``: the smallest share above 0 it can give, and the step between shares, 0-1.
    ``delay_seconds``: how long after an accepted change traffic may still go the old way, >= 0.
    """

    name: str
    finest_ratio: float
    delay_seconds: float

    def split(self) -> Split:
        """Ask the balancer how it parts traffic now; what cannot be read is a `Split` with an error."""

    def move(self, green_ratio: float) -> None:
        """Part traffic so, in one call to the balancer; 0 and 1 give all to one place, whole.

        The caller asks `split` first and afterwards, paces itself, and never trusts the answer alone.

        Args:
            green_ratio: 0-1; rounded to what the balancer can give, and never to 0 or 1 unless it is that.

        Raises:
            BalancerUnwilling: It was refused, throttled or not answered; it may have happened all the same.
        """

    def by_hand(self, green_ratio: float) -> str:
        """Return the command, or a sentence, by which an operator does the same without this tool."""


@dataclass(frozen=True)
class Beside:
    """The place where the new version is installed beside the old one, and what stands there before.

    Args:
        live: The color that carries the traffic now; the new version goes to the other.
        release: The new installation's Helm release name.
        namespace: Its namespace.
        exists: Whether the namespace is there already; what we made we take away.
        history: The release's revisions there, oldest first; kept ones of a retired version among them.
        groups: The new Deployments → the playbook's group, in its order.
        finest_ratio: The finest share the balancer can give, 0-1.
        delay_seconds: How long traffic may go the old way after an accepted change.
        back: How an operator gives all traffic to the old version by hand.
    """

    live: Color
    release: str
    namespace: str
    exists: bool
    history: tuple[Revision, ...]
    groups: Mapping[str, str]
    finest_ratio: float
    delay_seconds: float
    back: str

    @property
    def last_revision(self) -> int:
        """The release's newest revision there; 0 where it has none."""
        return self.history[-1].number if self.history else 0


SignalFactory = Callable[[Mapping[str, Any], Ports], Signal]


class Severity(StrEnum):
    """What a finding does to the run."""

    BLOCK = "block"
    """Refuse, unless waived with a reason."""
    WARN = "warn"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one pre-flight rule has to say.

    Args:
        rule: Its id, such as ``drain-budget``; what the playbook waives.
        severity: What it does.
        seen: A sentence with the object and the numbers.
        remedy: What to do.
        source: Where the rule comes from: a link or an issue number.
        waived: The reason the playbook gave, or the empty text.
    """

    rule: str
    severity: Severity
    seen: str
    remedy: str = ""
    source: str = ""
    waived: str = ""


CUSTOM_LIMIT = 1000
"""Custom resources of one kind that a survey reads; checks say so where there are more. Chosen by us: the
largest gateways known to us have some hundred routes, and a thousand are tried in seconds."""


@dataclass(frozen=True)
class Survey:
    """All that was read before a run, so that checks and strategies need no port.

    Args:
        playbook: The playbook.
        server_version: Such as ``v1.37.2``.
        cluster_uid: Tells one cluster from another.
        helm_version: Such as ``v4.3.1``.
        history: The release's revisions, oldest first.
        known_good: The revision to go back to; 0 if there is none.
        apply_method: ``ssa`` or ``csa``, of the known-good revision.
        chart: The target chart, pinned; ``None`` when the target is a revision of the history.
        old: What the known-good revision holds.
        new: What the target will send.
        live: The live objects of both, and the Deployments under upgrade.
        dry_run: The answer of the API server to each object of ``new`` (dry run, manager ``helm``).
        dry_run_back: The same for ``old``: the rehearsal of the way back.
        groups: Deployment → the playbook's group, in the playbook's order; dependents have an empty group.
        services: The Services of groups that have one, by group.
        nearby: HPAs, PDBs, Pods, ReplicaSets, Nodes, Jobs and webhook configurations that may matter.
        rights: ``verb resource`` → whether we may.
        trial: One reading of every signal.
        beside: The other place, where the strategy installs a second time; ``new`` is what is sent there.
        crds: The definitions the target brings: the chart's ``crds/``, then those among ``new``.
        live_crds: The live definitions of the same names, by name.
        custom: The live objects of each kind whose definition would change, by the definition's name; at
            most `CUSTOM_LIMIT` of each. A name is missing where we may not list them.
        unknown_values: Keys of the values that the chart does not know, by where they come from.
    """

    playbook: Playbook
    server_version: str
    cluster_uid: str
    helm_version: str
    history: tuple[Revision, ...]
    known_good: int
    apply_method: str
    chart: Chart | None
    old: Rendered
    new: Rendered
    live: Mapping[Ref, Manifest]
    dry_run: Mapping[Ref, Manifest | Denied]
    dry_run_back: Mapping[Ref, Manifest | Denied]
    groups: Mapping[str, str]
    services: Mapping[str, Manifest] = field(default_factory=dict)
    nearby: tuple[Manifest, ...] = ()
    rights: Mapping[str, bool] = field(default_factory=dict)
    trial: Mapping[str, Reading] = field(default_factory=dict)
    beside: Beside | None = None
    crds: tuple[Manifest, ...] = ()
    live_crds: Mapping[str, Manifest] = field(default_factory=dict)
    custom: Mapping[str, tuple[Manifest, ...]] = field(default_factory=dict)
    unknown_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Check(Protocol):
    """A module ``upgrader/checks/SUBJECT.py`` has ``RULES`` (rule → one line) and ``check``.

    It may have ``ONLY_FOR`` too: rule → the strategies it speaks of; a rule that is not there speaks of all.
    What is said of ``rolling`` is said of every strategy that upgrades the release where it is.
    """

    RULES: Mapping[str, str]

    def check(self, survey: Survey) -> Iterable[Finding]:
        """Return a finding for each rule that has something to say; pure."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step, its brake or its undo is.

    Args:
        done: Nothing is left to do.
        detail: One sentence for the view; the same sentence while nothing changed.
        failed: Why it can never be done, or the empty text.
        facts: What the next look needs to know and the journal keeps, such as a process id.
    """

    done: bool
    detail: str
    failed: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


class Gate(StrEnum):
    """What must pass after a step before the next."""

    NONE = "none"
    STAND = "stand"
    """The pass gate of the statistics, at least ``gate.stand``."""
    BAKE = "bake"
    """The same, at least ``bake``."""
    SETTLE = "settle"
    """Facts and probes only: for steps after which there is no baseline."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step as a strategy plans it: data only, so that the journal can hold it.

    Args:
        id: Unique in the run, such as ``roll proxies 3``.
        kind: The file in ``upgrader/steps/``, or an entry point.
        gate: What must pass afterwards.
        settings: What the kind needs; JSON values.
        deadline_seconds: How long it may take, > 0; after it the step has failed.
        new_share: The share of the gateway's pods that run the new version afterwards, 0-1; where traffic is
            moved between two places, the new version's share of the requests.
        patient: It waits for somebody else's API: late is doubt, which holds and then pauses, not failure.
        tier: Which release of the playbook it acts on, from 0.
    """

    id: str
    kind: str
    gate: Gate
    settings: Mapping[str, Any]
    deadline_seconds: float
    new_share: float = 0.0
    patient: bool = False
    tier: int = 0


@dataclass(frozen=True)
class Scene:
    """What a step acts in: of several tiers, its own.

    Args:
        ports: The world; ``helm`` is the release of the step's tier.
        fleet: The gateway at this moment, cut to the step's tier.
        measured: What preflight wrote into the journal's header of that tier.
        facts: What this step's records in the journal said so far.
        latest: The last reading of each signal.
    """

    ports: Ports
    fleet: Fleet
    measured: Mapping[str, Any]
    facts: Mapping[str, Any]
    latest: Mapping[str, Reading] = field(default_factory=dict)


class Step(Protocol):
    """One kind of step: ``upgrader/steps/KIND.py`` has ``build(plan) -> Step``. No call blocks over a second.

    A step is driven by levels, never by edges: `poll` may be called by another process than `start`, any
    number of times, and brings what is nearer to what shall be.
    """

    plan: StepPlan

    def describe(self) -> str:
        """Say in one sentence what it will do."""

    def is_done(self, scene: Scene) -> bool:
        """Look whether it is done already; asked before `start`, and after a crash."""

    def start(self, scene: Scene) -> Mapping[str, Any]:
        """Begin, and return facts for the journal."""

    def poll(self, scene: Scene) -> Progress:
        """Bring it nearer to its end, and say how far it is."""

    def brake(self, scene: Scene) -> Progress:
        """Replace nothing more, and say whether that holds; called again until it does."""

    def undo(self, scene: Scene) -> Progress:
        """Bring it nearer to how it was before; called until done, also when it never began."""


class Strategy(Protocol):
    """A module ``upgrader/strategies/KIND.py`` has ``plan``.

    Where its playbook entry has ``green``, the new version is installed beside the old: the survey says so.
    """

    def plan(self, survey: Survey, run: str, *, revision: int = 0) -> tuple[StepPlan, ...]:
        """Return the steps; pure.

        Args:
            survey: What was read; ``survey.playbook.strategy`` holds its keys.
            run: The run's id.
            revision: Go to this revision of the history; 0 for the playbook's chart.

        Raises:
            Refused: It cannot do that; nothing is touched.
        """
