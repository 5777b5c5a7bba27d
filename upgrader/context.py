"""The only wiring: playbook and flags in, a frozen world of ports out."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upgrader import plugins
from upgrader.adapters.clock import SystemClock
from upgrader.adapters.interrupts import Interrupts
from upgrader.adapters.journal import JournalFile
from upgrader.adapters.playbook_file import LoadedPlaybook, load
from upgrader.adapters.redaction import Redactor
from upgrader.adapters.run_folder import held
from upgrader.flow.survey import survey
from upgrader.flow.verify import differences
from upgrader.model.findings import run_all
from upgrader.model.fleet import Fleet, fleet_of
from upgrader.model.measure import measured, members, moved, ref_of
from upgrader.model.plugins import Finding, Signal, StepPlan, Survey
from upgrader.model.policy import Policy, SignalPolicy, weighed
from upgrader.model.ports import Clock, Ports, Watch
from upgrader.model.record import RULE, SCHEMA, Record
from upgrader.model.run import Run
from upgrader.model.world import World

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
class Flags:
    """What the command line adds to the playbook.

    Args:
        state: Where runs are kept.
        kubeconfig: Empty for what kubectl would use.
        context: Overrides the playbook's.
        environ: The environment secrets are read from.
        interrupts: Notes Ctrl-C and SIGTERM while a run is driven.
        redactor: Learns every secret that is read, and masks it in all that is shown.
    """

    state: Path
    kubeconfig: str = ""
    context: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    interrupts: Interrupts = field(default_factory=Interrupts)
    redactor: Redactor = field(default_factory=Redactor, repr=False)

    @property
    def kubeconfigs(self) -> str:
        """Return the kubeconfig files in use, joined by ``:``; empty for kubectl's default."""
        return self.kubeconfig or self.environ.get("KUBECONFIG", "")

    def folder(self, run: str) -> Path:
        """Return the folder of one run."""
        return self.state / "runs" / run


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
    """

    loaded: LoadedPlaybook
    flags: Flags
    run: str
    kube: KubeApi
    ports: Ports
    signals: tuple[Signal, ...]

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
    kinds = {kind: plugins.names(kind) for kind in ("signals", "balancers")}
    loaded = load(path, flags.environ, plugins=kinds)
    return _in_context(loaded, flags.context or loaded.playbook.context or "")


def _in_context(loaded: LoadedPlaybook, context: str) -> LoadedPlaybook:
    return replace(loaded, playbook=loaded.playbook.model_copy(update={"context": context}))


def new_run_id(release: str) -> str:
    """Return an id that sorts by time and is unique."""
    return f"{release}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


@contextmanager
def bench(loaded: LoadedPlaybook, flags: Flags, run: str) -> Iterator[Bench]:
    """Connect to the cluster and make everything a run needs; closed at the end.

    Raises:
        Refused: No usable kubeconfig, or Helm is missing or too old.
        ClusterUnreachable: The API server does not answer.
    """
    from upgrader.adapters.kube import KubeApi

    kube = KubeApi.connect(flags.kubeconfig, loaded.playbook.context or "")
    loaded = _in_context(loaded, kube.context)  # pinned: the current one may be another when we resume
    folder = flags.folder(run)
    with held(folder, keep=JOURNAL):
        ports = _ports(loaded, flags, kube, folder)
        signals: tuple[Signal, ...] = ()
        try:
            signals = _signals(loaded, ports)
            yield Bench(loaded, flags, run, kube, ports, signals)
        finally:
            for signal in signals:
                signal.close()


def _ports(loaded: LoadedPlaybook, flags: Flags, kube: KubeApi, folder: Path) -> Ports:
    from upgrader.adapters.background import BackgroundLoop
    from upgrader.adapters.helm import HelmRelease, Target
    from upgrader.adapters.helm_program import Place
    from upgrader.adapters.helm_values import Values
    from upgrader.adapters.http import HttpClient
    from upgrader.adapters.prober import BackgroundProber
    from upgrader.adapters.sweep import sweep_by
    from upgrader.adapters.tokens import Tokens

    background = BackgroundLoop()
    release = loaded.playbook.release
    for secret in loaded.secrets.values():
        flags.redactor.add(secret.get_secret_value())
    target = Target(
        # The context is pinned: a `kubectl config use-context` in mid-run must not move Helm elsewhere.
        place=Place(release.name, release.namespace, flags.kubeconfigs, kube.context),
        run_folder=folder,
        chart_ref=loaded.chart,
        chart_version=release.chart.to_version,
        values=Values(loaded.values_files, release.values.env),
        force_conflicts=True,  # a field that somebody took in mid-run must not keep the bad version
    )
    helm = HelmRelease.of(
        target, kube=kube, scope=kube.is_namespaced, redactor=flags.redactor, environment=flags.environ
    )
    return Ports(
        clock=SystemClock(),
        kube=kube,
        helm=helm,
        http=HttpClient(),
        sweep=lambda reach: sweep_by(reach, kube),
        prober=lambda spec: BackgroundProber(spec, background),
        token=Tokens(learn=flags.redactor.add).get,
    )


def _signals(loaded: LoadedPlaybook, ports: Ports) -> tuple[Signal, ...]:
    """Build what the playbook names, and the rollout signal, without which nothing can be judged."""
    book = loaded.playbook
    named = [
        *(("signals", one) for one in book.signals if one.kind != "rollout"),
        *(("balancers", one) for one in book.balancers),
    ]
    made = [plugins.find(kind, one.kind).build(_plain(loaded.settings(one)), ports) for kind, one in named]
    return (plugins.find("signals", "rollout").build({}, ports), *made)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Hand the probes their secret headers; a plugin keeps them where nothing is logged."""
    headers = settings.get("headers")
    if not headers:
        return settings
    known = {name: getattr(value, "get_secret_value", lambda v=value: v)() for name, value in headers.items()}
    return {**settings, "headers": known}


def make_plan(bench: Bench, *, revision: int = 0) -> Plan:
    """Read the cluster, run the checks and plan the steps; writes nothing to the cluster.

    Args:
        bench: Where.
        revision: Go to this revision of the history instead of the playbook's chart; 0 for the chart.

    Raises:
        Refused: There is no such release or revision.
    """
    book, made_at = bench.loaded.playbook, bench.ports.clock.monotonic()
    seen = survey(book, bench.ports, bench.signals, target_revision=revision or None)
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
        | {"kubeconfig": bench.flags.kubeconfig},
    }


def lease(bench: Bench) -> ReleaseLease:
    """Return the Lease of the bench's release."""
    from upgrader.adapters.lease import ReleaseLease

    release = bench.loaded.playbook.release
    return ReleaseLease(bench.kube, bench.ports.clock, namespace=release.namespace, release=release.name)


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
    seen = survey(book, ports, bench.signals, target_revision=revision or None)
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
    said, who = body["measured"], members(body["measured"])
    watch = bench.kube.watch(WATCHED_KINDS, namespace=said["namespace"])
    _await_first_list(watch, bench.ports.clock)
    journal = JournalFile(bench.folder / JOURNAL)

    def fleet() -> Fleet:
        return fleet_of(watch.objects(), who, age_seconds=watch.age_seconds(), error=watch.error())

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
        journal.close()
