"""The demo's controller: makes a Deployment of proxies from each ``EdgeProxy``.

It behaves as the controllers of large gateways were seen to: its Deployments are in no chart, it applies
them server-side and with force, it says ``programmed`` whatever becomes of the pods, and after an upgrade
of the chart its proxies begin to roll late, when the new controller has got its lease.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

GROUP = "demo.upgrader.dev"
MANAGER = "proxy-operator"
TEMPLATE_VARIABLE = "PROXY_TEMPLATE"
"""The environment variable that holds the pod template as JSON: a new chart brings a new one."""

_VERSION_LABEL = "version"
_PERIOD_SECONDS = 2.0


class Api(Protocol):
    """What the controller asks of the API server (`upgrader.lab.programs._kube.Cluster`)."""

    def get(self, path: str) -> dict[str, Any] | None:
        """Return an object or list; ``None`` when there is none."""

    def apply(self, path: str, manifest: dict[str, Any], *, manager: str) -> None:
        """Apply server-side, taking over fields that others hold."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the controller was started with.

    Args:
        namespace: Where it works.
        version: Its own version, which its proxies carry as a label.
        template: The pod template of the proxies, ``metadata`` and ``spec``.
        late_seconds: How long after its start it leaves the proxies of another version alone.
    """

    namespace: str
    version: str
    template: dict[str, Any]
    late_seconds: float


class Operator:
    """Bring what runs in line with the ``EdgeProxy`` objects.

    Args:
        api: The API server.
        settings: What to make.
        clock: Seconds that never jump.
    """

    def __init__(self, api: Api, settings: Settings, *, clock: Callable[[], float]) -> None:
        self._api, self._settings, self._clock = api, settings, clock
        self._started = clock()

    def reconcile(self) -> None:
        """Look at each object once; raises `OSError` when the API server does not answer well."""
        found = self._api.get(f"{self._crs()}") or {}
        for edge in found.get("items") or ():
            self._reconcile(edge)

    def _reconcile(self, edge: dict[str, Any]) -> None:
        manifest = deployment(edge, self._settings)
        path = (
            f"/apis/apps/v1/namespaces/{self._settings.namespace}/deployments/{manifest['metadata']['name']}"
        )
        if self._is_early(self._api.get(path)):
            return
        self._api.apply(path, manifest, manager=MANAGER)
        name = edge["metadata"]["name"]
        self._api.apply(f"{self._crs()}/{name}/status", self._status(name), manager=MANAGER)

    def _is_early(self, current: dict[str, Any] | None) -> bool:
        if current is None:
            return False
        theirs = current["metadata"].get("labels", {}).get(_VERSION_LABEL)
        waited = self._clock() - self._started
        return theirs != self._settings.version and waited < self._settings.late_seconds

    def _status(self, name: str) -> dict[str, Any]:
        return {
            "apiVersion": f"{GROUP}/v1",
            "kind": "EdgeProxy",
            "metadata": {"name": name},
            "status": {"programmed": True, "version": self._settings.version},
        }

    def _crs(self) -> str:
        return f"/apis/{GROUP}/v1/namespaces/{self._settings.namespace}/edgeproxies"


def deployment(edge: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the Deployment of one ``EdgeProxy``: only the fields that this controller wants to own."""
    name = edge["metadata"]["name"]
    template = copy.deepcopy(settings.template)
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    labels["pool"] = name
    owner = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "EdgeProxy",
        "name": name,
        "uid": edge["metadata"]["uid"],
        "controller": True,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": f"edge-proxy-{name}",
            "labels": {**labels, _VERSION_LABEL: settings.version},
            "ownerReferences": [owner],
        },
        "spec": {
            "replicas": edge.get("spec", {}).get("replicas", 1),
            "selector": {"matchLabels": {"component": "proxy", "pool": name}},
            "template": template,
        },
    }


def main(arguments: Sequence[str]) -> int:
    """Reconcile until SIGTERM or SIGINT, saying each change of luck."""
    from upgrader.lab.programs._kube import Cluster

    parser = argparse.ArgumentParser(prog="proxy-operator", description=__doc__)
    parser.add_argument("--version", required=True)
    parser.add_argument("--late-seconds", type=float, default=8.0)
    options = parser.parse_args(arguments)
    cluster = Cluster()
    template = json.loads(os.environ[TEMPLATE_VARIABLE])
    settings = Settings(cluster.namespace, options.version, template, options.late_seconds)
    _run(Operator(cluster, settings, clock=time.monotonic))
    return 0


def _run(operator: Operator) -> None:
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    trouble = None
    while not stopped.is_set():
        before, trouble = trouble, _trouble_of(operator)
        if trouble != before:
            sys.stdout.write(f"proxy-operator: {trouble or 'all in line'}\n")
            sys.stdout.flush()
        stopped.wait(_PERIOD_SECONDS)


def _trouble_of(operator: Operator) -> str:
    try:
        operator.reconcile()
    except OSError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
