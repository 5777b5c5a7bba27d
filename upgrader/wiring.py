"""Makes the ports, signals and balancers that a playbook names; `upgrader.context` puts them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from upgrader import plugins
from upgrader.adapters.clock import SystemClock
from upgrader.adapters.playbook_file import LoadedPlaybook
from upgrader.adapters.run_folder import kept
from upgrader.errors import PlaybookInvalid
from upgrader.flags import Flags
from upgrader.model.playbook import Playbook, Release
from upgrader.model.plugins import Color, Signal, Traffic
from upgrader.model.ports import Ports, ProbeSpec, Ref
from upgrader.model.watching import Synthetic

if TYPE_CHECKING:
    from upgrader.adapters.helm import HelmRelease
    from upgrader.adapters.helm_local import Serving
    from upgrader.adapters.kube import KubeApi

_OF_TRAFFIC = ("finest_ratio", "delay_seconds", "split", "move", "by_hand")
"""What a `Traffic` has."""


@dataclass(frozen=True)
class Wiring:
    """What everything is made from.

    Args:
        loaded: The playbook and what it names on this machine.
        flags: What the command line adds.
        kube: The API server.
        folder: The run's folder.
    """

    loaded: LoadedPlaybook
    flags: Flags
    kube: KubeApi
    folder: Path

    def ports(self) -> Ports:
        """Make the world of a gateway in one place."""
        from upgrader.adapters.aws import aws_client
        from upgrader.adapters.background import BackgroundLoop
        from upgrader.adapters.http import HttpClient
        from upgrader.adapters.prober import BackgroundProber
        from upgrader.adapters.runtime_socket import ask
        from upgrader.adapters.sweep import sweep_by
        from upgrader.adapters.tokens import Tokens

        releases = [self._helm(one.release, folder) for one, folder in self._tiers()]
        background = BackgroundLoop()
        for secret in self.loaded.secrets.values():
            self.flags.redactor.add(secret.get_secret_value())
        return Ports(
            clock=SystemClock(),
            kube=self.kube,
            helm=releases[0],
            tiers=tuple(releases) if len(releases) > 1 else (),
            http=HttpClient(),
            sweep=lambda reach: sweep_by(reach, self.kube),
            prober=lambda spec: BackgroundProber(spec, background),
            runtime=ask,
            token=Tokens(learn=self.flags.redactor.add).get,
            aws=lambda service, region, endpoint: aws_client(service, region=region, endpoint=endpoint),
            keep=partial(kept, self.folder),
        )

    def _tiers(self) -> list[tuple[Playbook, Path]]:
        """Return each tier, and the folder of its Helm: processes and logs are looked for there."""
        tiers = self.loaded.playbook.tiers
        if len(tiers) == 1:
            return [(tiers[0], self.folder)]
        return [(one, self.folder / f"tier-{number}") for number, one in enumerate(tiers)]

    def two_places(self, ports: Ports, traffic: Traffic, *, live: Color) -> Ports:
        """Return the ports of a gateway in two places: Helm for each, and how the new one is asked straight.

        Args:
            ports: Those of one place.
            traffic: What moves traffic between them.
            live: The color that carries the traffic; the playbook reads so already.
        """
        book = self.loaded.playbook
        old = self._helm(book.release, self.folder)
        there = self.kube.get(Ref("v1", "Namespace", "", book.beside.namespace)) is not None
        new = self._helm(book.beside, self.folder / "beside", origin=old, makes_namespace=not there)
        base = book.strategy.direct.get(live.other.value, "")
        direct = self._direct(base) if base else ()
        return replace(ports, helm=old, beside=new, traffic=traffic, direct=direct)

    def _helm(
        self,
        release: Release,
        folder: Path,
        *,
        origin: HelmRelease | None = None,
        makes_namespace: bool = True,
    ) -> HelmRelease:
        from upgrader.adapters.helm import HelmRelease, Target
        from upgrader.adapters.helm_program import Place
        from upgrader.adapters.helm_values import Values

        target = Target(
            # The context is pinned: a `kubectl config use-context` in mid-run must not move Helm elsewhere.
            place=Place(release.name, release.namespace, self.flags.kubeconfigs, self.kube.context),
            run_folder=folder,
            chart_ref=self.loaded.chart_of(release),
            chart_version=release.chart.to_version,
            values=Values(self.loaded.files_of(release), release.values.env),
            force_conflicts=True,  # a field that somebody took in mid-run must not keep the bad version
            origin=origin,
            makes_namespace=makes_namespace,
        )
        return HelmRelease.of(
            target,
            scope=self.kube.is_namespaced,
            redactor=self.flags.redactor,
            environment=self.flags.environ,
            serving=self._serving,
        )

    def _serving(self) -> Serving:
        from upgrader.adapters.helm_local import Serving

        return Serving(self.kube.server_version(), self.kube.served_kinds())

    def _direct(self, base: str) -> tuple[ProbeSpec, ...]:
        """Return every synthetic request of the playbook as it goes straight to a place."""
        found = []
        for one in self.loaded.playbook.signals:
            if isinstance(one, Synthetic):
                settings, url = _plain(self.loaded.settings(one)), urlsplit(one.url)
                path = url.path + (f"?{url.query}" if url.query else "")
                headers = {"host": url.netloc, **settings["headers"]}
                found.append(ProbeSpec(base.rstrip("/") + path, 1.0, one.expect, headers))
        return tuple(found)

    def signals(self, ports: Ports) -> tuple[Signal, ...]:
        """Build what the playbook names, and the rollout signal, without which nothing can be judged."""
        book = self.loaded.playbook
        named = [
            *(("signals", one) for one in book.signals if one.kind != "rollout"),
            *(("balancers", one) for one in book.balancers),
        ]
        found = [(plugins.find(kind, one.kind), self.loaded.settings(one)) for kind, one in named]
        made = [module.build(_plain(settings), ports) for module, settings in found]
        signals = (plugins.find("signals", "rollout").build({}, ports), *made)
        require_own_names(signals, file=str(self.loaded.path))
        return signals

    def traffic(self, signals: Sequence[Signal]) -> Traffic | None:
        """Return the balancer that has a green backend; the playbook says if there is one, and but one.

        Raises:
            PlaybookInvalid: It is a plugin that moves no traffic.
        """
        balancers = self.loaded.playbook.balancers
        if not self.loaded.playbook.is_beside:
            return None
        paired = zip(balancers, signals[len(signals) - len(balancers) :], strict=True)
        said, made = next((said, made) for said, made in paired if getattr(said, "green", None))
        if missing := [name for name in _OF_TRAFFIC if not hasattr(made, name)]:
            raise PlaybookInvalid(
                f"balancer {said.kind} moves no traffic: what it makes has no {', '.join(missing)}",
                file=str(self.loaded.path),
                key=f"balancers[{balancers.index(said)}]",
                remedy="give a balancer that moves traffic the green backend",
            )
        return cast("Traffic", made)


def require_own_names(signals: Sequence[Signal], *, file: str) -> None:
    """Refuse two signals of one name: readings are filed by it, so that one would speak for the other.

    Raises:
        PlaybookInvalid: There are two; all are closed.
    """
    twice = [name for name, times in Counter(one.name for one in signals).items() if times > 1]
    if not twice:
        return
    for signal in signals:
        signal.close()
    raise PlaybookInvalid(
        f"two entries are both called {twice[0]!r}, so their readings could not be told apart",
        file=file,
        key="signals, balancers",
        remedy="keep one of them",
    )


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Hand the probes their secret headers; a plugin keeps them where nothing is logged."""
    headers = settings.get("headers")
    if not headers:
        return settings
    known = {name: getattr(value, "get_secret_value", lambda v=value: v)() for name, value in headers.items()}
    return {**settings, "headers": known}
