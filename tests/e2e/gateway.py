"""The demo gateway in a namespace of its own, and runs of the real command line against it.

Nothing here is faked: the room has a real Kubernetes and a real Helm, the proxies are real Envoys, and
`upgrader` is a child process in the room, as an operator would start it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

import yaml

import upgrader
from upgrader.lab.entered import Entered
from upgrader.lab.room import Room

PACKAGE = Path(upgrader.__file__).parents[1]
CHARTS = PACKAGE / "playbooks/demo"
OLD, NEW = "1.11.28", "1.11.30"
KEY = "DEMO_API_KEY"
QUICK: Mapping[str, Any] = {
    "upstream": {"enabled": False, "address": "127.0.0.1:9"},
    "migration": {"seconds": 0},
    "proxy": {"replicas": 3, "drain": {"interval": 0.2, "threshold": 1, "longestRequest": 0}},
}
"""No traffic flows in these tests, so nothing must be drained long."""
PLAYBOOK: Mapping[str, Any] = {
    "strategy": {"kind": "rolling", "batches": [1, "50%", "100%"], "ready_within": "40s"},
    "signals": [{"kind": "rollout"}],
    "gate": {"stand": "1s"},
    "bake": "1s",
    "checks": {"waive": [{"rule": "drain-budget", "reason": "no traffic flows in this test"}]},
}
RUN_SECONDS = 150.0
"""The longest any run here may take; the machine may be busy with more than this test."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Args:
        code: Its exit status.
        said: What it printed on both streams.
    """

    code: int
    said: str


@dataclass(frozen=True)
class Gateway:
    """One release of the demo gateway, and the playbook that upgrades it.

    Args:
        room: The room it is in.
        name: Of the release and of its namespace.
        folder: Of the playbook, its values and the tool's state; seen from outside and inside the room.
        key: The API key: the secret given by ``values.env``.
    """

    room: Room
    name: str
    folder: Path
    key: str = "a-key"

    @property
    def playbook(self) -> Path:
        """Return the playbook."""
        return self.folder / "playbook.yaml"

    @property
    def proxy(self) -> str:
        """Return the name of the proxies' Deployment."""
        return f"{self.name}-proxy"

    def write(self, *, new: Mapping[str, Any] | None = None, **changed: Any) -> None:
        """Write the playbook, some of its keys changed.

        Args:
            new: Values that only the new version gets.
            changed: Keys of the playbook.
        """
        (self.folder / "new.yaml").write_text(json.dumps(new or {}))
        release = {
            "name": self.name,
            "namespace": self.name,
            "chart": {"ref": f"{CHARTS}/gateway-{{version}}", "from": OLD, "to": NEW},
            "values": {"files": ["values.yaml", "new.yaml"], "env": {"apiKey": KEY}},
            "workloads": {
                "control_plane": {"selector": "app=gateway,component=control-plane"},
                "proxies": {"selector": "app=gateway,component=proxy", "service": self.proxy},
            },
        }
        head = {"apiVersion": "upgrader/v1", "name": self.name, "releases": [release]}
        self.playbook.write_text(yaml.safe_dump({**head, **PLAYBOOK, **changed}, sort_keys=False))

    def install(self, **values: Any) -> None:
        """Install the old version and wait until its pods are there; the key comes by standard input."""
        merged = _merged(QUICK, values)
        (self.folder / "values.yaml").write_text(json.dumps(merged))
        files = ["--values", str(self.folder / "values.yaml"), "--values", "-"]
        chart = [self.name, str(CHARTS / f"gateway-{OLD}"), "--namespace", self.name, "--create-namespace"]
        fast = ["--wait", "--timeout", "120s", "--qps", "1000", "--burst-limit", "1000"]
        key = json.dumps({"apiKey": self.key})
        self.room.run(["helm", "install", *chart, *files, *fast], input=key, timeout_seconds=130)
        self.write()

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Running:
        """Start the command line inside the room; what it prints goes to a file."""
        number = len(list(self.folder.glob("said-*")))
        log = self.folder / f"said-{number:02d}-{arguments[0]}"
        wanted = {"PYTHONPATH": str(PACKAGE), "UPGRADER_STATE": str(self.folder / "state"), KEY: self.key}
        command = [sys.executable, "-P", "-m", "upgrader.cli", *arguments]
        written = {journal: len(_records(journal)) for journal in self.journals()}
        with log.open("w") as output:
            child = self.room.enter(
                command, environment={**wanted, **(environment or {})}, folder=self.folder, output=output
            )
        return Running(child, log, written)

    def start_run(self) -> Running:
        """Start `upgrader run`, the plan agreed to."""
        return self.start("run", str(self.playbook), "--yes", "--output", "json")

    def call(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
        """Run the command line to its end."""
        with self.start(*arguments, environment=environment) as running:
            return running.end()

    def run(self) -> Ended:
        """Run `upgrader run` to its end, the plan agreed to."""
        with self.start_run() as running:
            return running.end()

    def journals(self) -> list[Path]:
        """Return the journals of all runs, oldest first."""
        found = self.folder.glob("state/runs/*/journal.jsonl")
        return sorted(found, key=lambda path: path.parent.name)

    def records(self) -> list[Record]:
        """Return what the newest journal holds; a line that is still being written is left out."""
        return [record for journal in self.journals()[-1:] for record in _records(journal)]

    def events(self) -> list[str]:
        """Return the events of the newest run."""
        return [str(one["body"]["event"]) for one in self.records() if one["kind"] == "event"]

    def await_record(
        self, running: Running, seen: Callable[[Record], bool], *, seconds: float = 60
    ) -> Record:
        """Wait until this process has written such a record, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            ended = running.child.poll() is not None
            for record in self._fresh(running):
                if seen(record):
                    return record
            assert not ended, f"the run ended first:\n{running.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"not in {seconds:.0f} s:\n{running.log.read_text()[-3000:]}"
            time.sleep(0.03)

    def _fresh(self, running: Running) -> list[Record]:
        for journal in self.journals()[-1:]:
            return _records(journal)[running.written.get(journal, 0) :]
        return []

    def kubectl(self, *arguments: str) -> str:
        """Return what kubectl prints in the gateway's namespace."""
        return self.room.run(["kubectl", "--namespace", self.name, *arguments]).stdout

    def read(self, kind: str, *more: str) -> list[dict[str, Any]]:
        """Return objects of the namespace."""
        said = self.kubectl("get", kind, *more, "--output=json", "--show-managed-fields")
        return list(json.loads(said)["items"])

    def deployments(self) -> dict[str, dict[str, Any]]:
        """Return the Deployments by name."""
        return {str(one["metadata"]["name"]): one for one in self.read("deployments")}

    def versions(self) -> dict[str, set[str]]:
        """Return which versions run, by component, terminating pods left out."""
        found: dict[str, set[str]] = {}
        for pod in self.read("pods"):
            labels = pod["metadata"]["labels"]
            if "deletionTimestamp" not in pod["metadata"] and "version" in labels:
                found.setdefault(labels["component"], set()).add(labels["version"])
        return found

    def leftovers(self) -> list[str]:
        """Say what a run left behind that it must not."""
        said = [f"Lease {one['metadata']['name']}" for one in self.read("leases")]
        for name, one in self.deployments().items():
            notes = one["metadata"].get("annotations") or {}
            said += [f"{name}: {key}" for key in notes if key.startswith("upgrader/")]
            said += [f"{name} is paused"] if one["spec"].get("paused") else []
            owners = {each["manager"] for each in one["metadata"]["managedFields"]}
            said += [f"{name}: fields of {owner}" for owner in owners if "upgrader" in owner]
        return said

    def strategies(self) -> dict[str, Any]:
        """Return the strategy of each Deployment."""
        return {name: one["spec"]["strategy"] for name, one in self.deployments().items()}


@dataclass
class Running:
    """The command line, running.

    Args:
        child: Its process.
        log: What it prints.
        written: How many records each journal held before it.
    """

    child: Entered
    log: Path
    written: Mapping[Path, int]

    def end(self, seconds: float = RUN_SECONDS) -> Ended:
        """Wait for its end."""
        return Ended(self.child.wait(seconds), self.log.read_text())

    def kill(self) -> None:
        """End it as a power cut would."""
        self.child.kill()
        self.child.wait(10)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        if self.child.poll() is None:
            self.kill()


def _records(journal: Path) -> list[Record]:
    lines = journal.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def event(name: str, step: str = "") -> Callable[[Record], bool]:
    """Return what tells one event, of one step if named, from other records."""
    return lambda one: (
        one["kind"] == "event" and one["body"]["event"] == name and (not step or one["step"] == step)
    )


@dataclass(frozen=True)
class Sample:
    """A Deployment as the API server said it was.

    Args:
        at: When it was heard, UTC seconds.
        generation: Of the spec.
        observed: The generation the status speaks of.
        replicas: Wanted.
        paused: Whether it was.
        updated: Pods of the newest template, in the status.
        available: Pods that could serve.
    """

    at: float
    generation: int
    observed: int
    replicas: int
    paused: bool
    updated: int
    available: int


_FIELDS = (
    "{.metadata.generation} {.status.observedGeneration} {.spec.replicas} paused={.spec.paused} "
    "updated={.status.updatedReplicas} available={.status.availableReplicas}"
)


@contextmanager
def watching(gateway: Gateway, deployment: str) -> Iterator[list[Sample]]:
    """Watch a Deployment by a program of its own and collect each change of it."""
    template = _FIELDS + '{"\\n"}'
    command = ["kubectl", "--namespace", gateway.name, "get", "deployment", deployment, "--watch"]
    samples: list[Sample] = []
    with gateway.room.enter([*command, f"--output=jsonpath={template}"], output=PIPE) as child:
        assert child.stdout
        lines = child.stdout

        def listen() -> None:
            for line in lines:
                samples.append(_sample(line))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield samples
        finally:
            child.kill()
            thread.join(10)


def _sample(line: str) -> Sample:
    generation, observed, replicas, paused, updated, available = line.split()
    number = {name: text.partition("=")[2] for name, text in (("u", updated), ("a", available))}
    return Sample(
        time.time(),
        int(generation),
        int(observed),
        int(replicas),
        paused == "paused=true",
        int(number["u"] or 0),
        int(number["a"] or 0),
    )


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(one)
    for key, value in other.items():
        known = both.get(key)
        both[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both
