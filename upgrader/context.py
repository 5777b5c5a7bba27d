"""The only wiring: playbook and flags in, a frozen world of ports out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upgrader import plugins
from upgrader.adapters.journal import JournalFile
from upgrader.adapters.playbook_file import LoadedPlaybook, load
from upgrader.adapters.run_folder import held
from upgrader.flags import Flags
from upgrader.flow.beside import live_color
from upgrader.flow.survey import survey
from upgrader.flow.verify import differences
from upgrader.model.findings import run_all
from upgrader.model.fleet import Fleet, fleet_of, joined
from upgrader.model.measure import measured, members, members_beside, moved, ref_of
from upgrader.model.plugins import Color, Finding, Signal, StepPlan, Survey
from upgrader.model.policy import Policy, SignalPolicy, weighed
from upgrader.model.ports import Clock, Ports, Watch
from upgrader.model.record import RULE, SCHEMA, Record
from upgrader.model.run import Run
from upgrader.model.world import World
from upgrader.wiring import Wiring

if TYPE_CHECKING:
    from upgrader.adapters.kube import KubeApi
    from upgrader.adapters.lease import ReleaseLease

JOURNAL = "journal.jsonl"
WATCHED_KINDS = (("apps/v1", "Deployment"), ("apps/v1", "ReplicaSet"), ("v1", "Pod"))
FIRST_LIST_SECONDS = 10.0
FRESH_SECONDS = 60.0
"""A plan younger than this is checked for what moved since, not made anew: Helm's renderings take seconds."""
USUAL_FAILURES = 0.001
"""The old version's usual share of failures, until a backtest measures it."""


@dataclass(frozen=True)
class Bench:
    """What a run is prepared at.

    Args:
        loaded: The playbook and what it names on this machine.
        flags: What the command line adds.
        run: The run's id; its folder has the same name.
        kube: The API server.
        ports: The world.
        signals: All signals and balancers.
        locked: Namespace and release of the Lease: the playbook's, whichever place is live.
        live: The color that carries the traffic, where the new version goes to a place beside it.
    """

    loaded: LoadedPlaybook
    flags: Flags
    run: str
    kube: KubeApi
    ports: Ports
    signals: tuple[Signal, ...]
    locked: tuple[str, str]
    live: Color | None = None

    @property
    def folder(self) -> Path:
        """Return the run's folder, mode 0700."""
        return self.flags.folder(self.run)


@dataclass(frozen=True)
class Plan:
    """What `plan` shows and `run` does.

    Args:
        survey: What was read.
        findings: What the checks said.
        steps: What will be done.
        policy: How it will be judged.
        made_at: When it was begun, monotonic seconds.
        revision: The revision it goes to; 0 for the playbook's chart.
    """

    survey: Survey
    findings: tuple[Finding, ...]
    steps: tuple[StepPlan, ...]
    policy: Policy
    made_at: float
    revision: int = 0


def load_playbook(path: Path, flags: Flags) -> LoadedPlaybook:
    """Read a playbook; see `playbook_file.load` for what is refused."""
    kinds = {kind: plugins.names(kind) for kind in ("signals", "balancers", "strategies")}
    loaded = load(path, flags.environ, plugins=kinds, keys_of=plugins.keys_of)
    return _in_context(loaded, flags.context or loaded.playbook.context or "")


def _in_context(loaded: LoadedPlaybook, context: str) -> LoadedPlaybook:
    return replace(loaded, playbook=loaded.playbook.model_copy(update={"context": context}))


def new_run_id(release: str) -> str:
    """Return an id that sorts by time and is unique."""
    return f"{release}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


@contextmanager
def bench(loaded: LoadedPlaybook, flags: Flags, run: str, *, live: Color | None = None) -> Iterator[Bench]:
    """Connect to the cluster and make everything a run needs; closed at the end.

    Args:
        loaded: The playbook.
        flags: What the command line adds.
        run: The run's id.
        live: The color a run that is taken up began with; a new one asks the balancer.

    Raises:
        Refused: No usable kubeconfig, or Helm is missing or too old.
        ClusterUnreachable: The API server does not answer.
    """
    from upgrader.adapters.kube import KubeApi

    kube = KubeApi.connect(flags.kubeconfig, loaded.playbook.context or "")
    loaded = _in_context(loaded, kube.context)  # pinned: the current one may be another when we resume
    folder = flags.folder(run)
    release = loaded.playbook.release
    locked = (release.namespace, release.name)
    with held(folder, keep=JOURNAL):
        wiring = Wiring(loaded, flags, kube, folder)
        ports = wiring.ports()
        signals: tuple[Signal, ...] = ()
        try:
            signals = wiring.signals(ports)
            if traffic := wiring.traffic(signals):
                live = live or live_color(traffic)
                loaded = replace(loaded, playbook=loaded.playbook.with_live(live))
                ports = replace(wiring, loaded=loaded).two_places(ports, traffic, live=live)
            yield Bench(loaded, flags, run, kube, ports, signals, locked, live)
        finally:
            for signal in signals:
                signal.close()


def make_plan(bench: Bench, *, revision: int = 0) -> Plan:
    """Read the cluster, run the checks and plan the steps; writes nothing to the cluster.

    Args:
        bench: Where.
        revision: Go to this revision of the history instead of the playbook's chart; 0 for the chart.

    Raises:
        Refused: There is no such release or revision.
    """
    book, made_at = bench.loaded.playbook, bench.ports.clock.monotonic()
    seen = survey(book, bench.ports, bench.signals, target_revision=revision or None, live=bench.live)
    findings = run_all(seen, plugins.modules("checks"))
    steps = plugins.find("strategies", book.strategy.kind).plan(seen, bench.run, revision=revision)
    return Plan(seen, findings, steps, _policy(bench, steps), made_at, revision)


def _policy(bench: Bench, steps: Sequence[StepPlan]) -> Policy:
    book = bench.loaded.playbook
    stand, bake = book.gate.stand.total_seconds(), book.bake.total_seconds()
    return Policy(
        false_alarm=book.limits.false_alarm,
        tolerate=book.limits.error_ratio.tolerate,
        exclude=book.limits.error_ratio.exclude,
        ceiling=book.limits.error_ratio.ceiling,
        old_ref=USUAL_FAILURES,
        stand_seconds=stand,
        bake_seconds=bake,
        hold_seconds=book.blind.hold.total_seconds(),
        plan_seconds=max(60.0, (stand + 30.0) * len(steps) + bake),
        signals=weighed({signal.name: _signal_policy(signal) for signal in bench.signals}),
    )


def _signal_policy(signal: Signal) -> SignalPolicy:
    return SignalPolicy(
        interval_seconds=signal.interval_seconds,
        weight=1.0 if signal.counts_requests else 0.0,
        compares_pods=signal.compares_pods,
        speaks_of_backends=signal.speaks_of_backends,
    )


def header(bench: Bench, plan: Plan) -> dict[str, Any]:
    """Return the journal's first body: all that a verdict or another process needs."""
    loaded = bench.loaded
    return {
        "schema": SCHEMA,
        "rule": RULE,
        "run": bench.run,
        "playbook": {"path": str(loaded.path), "digest": loaded.digest, "name": loaded.playbook.name},
        "policy": plan.policy.to_body(),
        "steps": [{**asdict(step), "gate": step.gate.value} for step in plan.steps],
        "revision": plan.revision,
        "measured": measured(plan.survey, str(bench.folder), revision=plan.revision)
        | {"kubeconfig": bench.flags.kubeconfig, "locked": list(bench.locked)},
    }


def lease(bench: Bench) -> ReleaseLease:
    """Return the Lease of the bench's release."""
    from upgrader.adapters.lease import ReleaseLease

    namespace, release = bench.locked
    return ReleaseLease(bench.kube, bench.ports.clock, namespace=namespace, release=release)


def _await_first_list(watch: Watch, clock: Clock) -> None:
    """Wait until the watch has seen the namespace once; one that never does is judged as blind later."""
    until = clock.monotonic() + FIRST_LIST_SECONDS
    while watch.age_seconds() > FIRST_LIST_SECONDS and clock.monotonic() < until:
        clock.sleep(0.1)


def _preflight(bench: Bench, body: Mapping[str, Any], plan: Plan | None) -> tuple[Finding, ...]:
    """Run all checks; of a plan just made only what can have changed since is read again."""
    said, ports = body["measured"], bench.ports
    if plan is not None and ports.clock.monotonic() - plan.made_at < FRESH_SECONDS:
        found = {ref: ports.kube.get(ref) for ref in map(ref_of, said["workloads"])}
        live = {**plan.survey.live, **{ref: one for ref, one in found.items() if one}}
        now = replace(plan.survey, history=ports.helm.history(), live=live)
        return (*moved(said, now), *plan.findings)
    book, revision = bench.loaded.playbook, int(body["revision"])
    seen = survey(book, ports, bench.signals, target_revision=revision or None, live=bench.live)
    return (*moved(said, seen), *run_all(seen, plugins.modules("checks")))


@contextmanager
def world(
    bench: Bench, body: Mapping[str, Any], tell: Callable[[Run, Record], None], *, plan: Plan | None = None
) -> Iterator[World]:
    """Wire the world of one run and watch its namespace; closed at the end.

    Args:
        bench: Where.
        body: The header, new or read back.
        tell: The view.
        plan: The plan it carries out, where this process made it.
    """
    said, who, beside = body["measured"], members(body["measured"]), members_beside(body["measured"])
    watch = bench.kube.watch(WATCHED_KINDS, namespace=said["namespace"])
    _await_first_list(watch, bench.ports.clock)
    other = bench.kube.watch(WATCHED_KINDS, namespace=said["beside"]["namespace"]) if beside else None
    journal = JournalFile(bench.folder / JOURNAL)

    def fleet() -> Fleet:
        old = fleet_of(watch.objects(), who, age_seconds=watch.age_seconds(), error=watch.error())
        if other is None or beside is None:
            return old
        age, error = other.age_seconds(), other.error()
        return joined(old, fleet_of(other.objects(), beside, age_seconds=age, error=error))

    try:
        yield World(
            ports=bench.ports,
            journal=journal,
            lease=lease(bench),
            signals=bench.signals,
            fleet=fleet,
            step=lambda step: plugins.find("steps", step.kind).build(step),
            preflight=lambda: _preflight(bench, body, plan),
            differences=lambda: differences(bench.ports, said),
            tell=tell,
            interrupted=bench.flags.interrupts.reason,
        )
    finally:
        watch.close()
        if other is not None:
            other.close()
        journal.close()
