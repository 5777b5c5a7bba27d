"""The only wiring: playbook and flags in, a frozen world of ports out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upgrader import plugins
from upgrader.adapters.journal import JournalFile
from upgrader.adapters.playbook_file import LoadedPlaybook, load
from upgrader.adapters.run_folder import held
from upgrader.flags import Flags
from upgrader.flow.beside import live_color, seen_again
from upgrader.flow.tiers import survey_tiers
from upgrader.flow.verify import differences
from upgrader.model.findings import run_all
from upgrader.model.fleet import Fleet, Members, fleet_of, joined
from upgrader.model.measure import joint, measured, members, members_beside, moved, ref_of, tiers_of, turned
from upgrader.model.playbook import Playbook
from upgrader.model.plugins import Color, Finding, Signal, StepPlan, Survey
from upgrader.model.policy import Policy, SignalPolicy, weighed
from upgrader.model.ports import Clock, Kube, Ports, Watch
from upgrader.model.record import RULE, SCHEMA, Record
from upgrader.model.run import Run
from upgrader.model.tiers import findings_of_all, in_one, names
from upgrader.model.world import World
from upgrader.wiring import Wiring

if TYPE_CHECKING:
    from upgrader.adapters.kube import KubeApi
    from upgrader.adapters.leases import ReleaseLeases

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
        locked: Namespace and release of each Lease: the playbook's, whichever place is live.
        live: The color that carries the traffic, where the new version goes to a place beside it.
    """

    loaded: LoadedPlaybook
    flags: Flags
    run: str
    kube: KubeApi
    ports: Ports
    signals: tuple[Signal, ...]
    locked: tuple[tuple[str, str], ...]
    live: Color | None = None

    @property
    def folder(self) -> Path:
        """Return the run's folder, mode 0700."""
        return self.flags.folder(self.run)


@dataclass(frozen=True)
class Plan:
    """What `plan` shows and `run` does.

    Args:
        surveys: What was read of each tier, in the playbook's order.
        findings: What the checks said.
        steps: What will be done.
        policy: How it will be judged.
        made_at: When it was begun, monotonic seconds.
        revisions: The revision each tier goes to; 0 for the playbook's chart.
    """

    surveys: tuple[Survey, ...]
    findings: tuple[Finding, ...]
    steps: tuple[StepPlan, ...]
    policy: Policy
    made_at: float
    revisions: tuple[int, ...] = (0,)


def load_playbook(path: Path, flags: Flags) -> LoadedPlaybook:
    """Read a playbook; see `playbook_file.load` for what is refused."""
    kinds = {kind: plugins.names(kind) for kind in ("signals", "balancers", "strategies")}
    loaded = load(path, flags.environ, plugins=kinds, keys_of=plugins.keys_of)
    return _in_context(loaded, flags.context or loaded.playbook.context or "")


def _in_context(loaded: LoadedPlaybook, context: str) -> LoadedPlaybook:
    return replace(loaded, playbook=loaded.playbook.model_copy(update={"context": context}))


def new_run_id(playbook: Playbook) -> str:
    """Return an id that sorts by time and is unique: the release's, or of several the playbook's name."""
    name = playbook.release.name if len(playbook.tiers) == 1 else playbook.name
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


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
    locked = tuple((one.release.namespace, one.release.name) for one in loaded.playbook.tiers)
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


def make_plan(bench: Bench, *, revisions: Sequence[int] = ()) -> Plan:
    """Read the cluster, run the checks and plan the steps; writes nothing to the cluster.

    Args:
        bench: Where.
        revisions: Go to this revision of each tier's history instead of the playbook's chart; 0, or none
            given, for the chart. The way to revisions begins with the last tier.

    Raises:
        Refused: There is no such release or revision.
    """
    book, made_at = bench.loaded.playbook, bench.ports.clock.monotonic()
    targets = tuple(revisions) or (0,) * len(book.tiers)
    seen = survey_tiers(book, bench.ports, bench.signals, targets=targets, live=bench.live)
    planned = plugins.find("strategies", book.strategy.kind).plan
    order = range(len(seen))[:: -1 if any(targets) else 1]
    plans = {tier: planned(seen[tier], bench.run, revision=targets[tier]) for tier in order}
    steps = in_one(plans, names(seen))
    return Plan(seen, _findings(seen), steps, _policy(bench, steps), made_at, targets)


def _findings(surveys: Sequence[Survey]) -> tuple[Finding, ...]:
    checks = plugins.modules("checks")
    return findings_of_all([run_all(one, checks) for one in surveys], names(surveys))


def _policy(bench: Bench, steps: Sequence[StepPlan]) -> Policy:
    book, tiers = bench.loaded.playbook, len(bench.loaded.playbook.tiers)
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
        plan_seconds=max(60.0, (stand + 30.0) * len(steps) / tiers + bake),
        signals=weighed({signal.name: _signal_policy(signal) for signal in bench.signals}),
        tiers=tiers,
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
        "revision": plan.revisions[0] if len(plan.revisions) == 1 else 0,
        "measured": joint([_measured(bench, plan, tier) for tier in range(len(plan.surveys))]),
    }


def _measured(bench: Bench, plan: Plan, tier: int) -> dict[str, Any]:
    revision = plan.revisions[tier]
    return {
        **measured(plan.surveys[tier], str(bench.folder), revision=revision),
        "kubeconfig": bench.flags.kubeconfig,
        "locked": list(bench.locked[tier]),
        **({"revision": revision} if len(plan.surveys) > 1 else {}),
    }


def lease(bench: Bench) -> ReleaseLeases:
    """Return the Leases of the bench's releases, as one."""
    return leases(bench.kube, bench.ports.clock, bench.locked)


def leases(kube: Kube, clock: Clock, locked: Iterable[tuple[str, str]]) -> ReleaseLeases:
    """Return the Leases of releases, given as namespace and name, as one."""
    from upgrader.adapters.lease import ReleaseLease
    from upgrader.adapters.leases import ReleaseLeases

    made = [ReleaseLease(kube, clock, namespace=namespace, release=release) for namespace, release in locked]
    return ReleaseLeases(made)


def _await_first_list(watch: Watch, clock: Clock) -> None:
    """Wait until the watch has seen the namespace once; one that never does is judged as blind later."""
    until = clock.monotonic() + FIRST_LIST_SECONDS
    while watch.age_seconds() > FIRST_LIST_SECONDS and clock.monotonic() < until:
        clock.sleep(0.1)


def _preflight(bench: Bench, body: Mapping[str, Any], plan: Plan | None) -> tuple[Finding, ...]:
    """Run all checks; of a plan just made only what can have changed since is read again."""
    said, ports = tiers_of(body["measured"]), bench.ports
    if plan is not None and ports.clock.monotonic() - plan.made_at < FRESH_SECONDS:
        seen: Sequence[Survey] = [
            _again(one, block, ports.of_tier(tier))
            for tier, (one, block) in enumerate(zip(plan.surveys, said, strict=True))
        ]
        known = plan.findings
    else:
        book, targets = bench.loaded.playbook, [int(one.get("revision", body["revision"])) for one in said]
        seen = survey_tiers(book, ports, bench.signals, targets=targets, live=bench.live)
        known = _findings(seen)
    stale = [tuple(moved(block, now)) for block, now in zip(said, seen, strict=True)]
    if ports.traffic is not None:
        stale[0] += tuple(turned(said[0], ports.traffic.split()))
    return (*findings_of_all(stale, names(seen)), *known)


def _again(seen: Survey, measured: Mapping[str, Any], ports: Ports) -> Survey:
    """Read again what of a tier can have changed within a minute."""
    found = {ref: ports.kube.get(ref) for ref in map(ref_of, measured["workloads"])}
    live = {**seen.live, **{ref: one for ref, one in found.items() if one}}
    beside = seen_again(seen.beside, ports) if seen.beside else None
    return replace(seen, history=ports.helm.history(), live=live, beside=beside)


@contextmanager
def world(
    bench: Bench, body: Mapping[str, Any], tell: Callable[[Run, Record], None], *, plan: Plan | None = None
) -> Iterator[World]:
    """Wire the world of one run and watch its namespaces; closed at the end.

    Args:
        bench: Where.
        body: The header, new or read back.
        tell: The view.
        plan: The plan it carries out, where this process made it.
    """
    tiers = tiers_of(body["measured"])
    with ExitStack() as closing:
        watched = []
        for namespace, who in _watched(tiers):
            watch = bench.kube.watch(WATCHED_KINDS, namespace=namespace)
            closing.callback(watch.close)
            watched.append((watch, who))
        for watch, _ in watched[: len(tiers)]:  # the place beside may not be there yet
            _await_first_list(watch, bench.ports.clock)
        journal = JournalFile(bench.folder / JOURNAL)
        closing.callback(journal.close)
        yield World(
            ports=bench.ports,
            journal=journal,
            lease=lease(bench),
            signals=bench.signals,
            fleet=lambda: joined(*(_seen(watch, who) for watch, who in watched)),
            step=lambda step: plugins.find("steps", step.kind).build(step),
            preflight=lambda: _preflight(bench, body, plan),
            differences=lambda tier: differences(bench.ports.of_tier(tier), tiers[tier]),
            tell=tell,
            interrupted=bench.flags.interrupts.reason,
        )


def _watched(tiers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Members]]:
    """Yield the namespace of each tier and who is looked for there; then the place beside, if any."""
    for tier, said in enumerate(tiers):
        yield said["namespace"], members(said, tier=tier)
    for said in tiers:
        if beside := members_beside(said):
            yield said["beside"]["namespace"], beside


def _seen(watch: Watch, who: Members) -> Fleet:
    return fleet_of(watch.objects(), who, age_seconds=watch.age_seconds(), error=watch.error())
