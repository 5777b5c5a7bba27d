"""What a rehearsal plays on: a room with the old version in it, the front balancer, and traffic."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import upgrader
from upgrader.adapters.helm_values import put
from upgrader.adapters.playbook_file import LoadedPlaybook
from upgrader.errors import ProgramFailed, Refused
from upgrader.lab import layout
from upgrader.lab.entered import Entered
from upgrader.lab.rehearse.fronts import LOG, Front, front_of
from upgrader.lab.rehearse.remains import KINDS, Snapshot
from upgrader.lab.room import Room
from upgrader.model.playbook import Release
from upgrader.model.plugins import Color

FOLDER = layout.ROOT / "rehearsal"
"""All files of a rehearsal lie in the room, and so go with it; secrets among them in mode 0600."""
PLAYBOOK, FAULT_VALUES = FOLDER / "playbook.json", FOLDER / "fault.json"
SECRET_VALUES = FOLDER / "secrets.json"

INSTALL_SECONDS = 180.0
"""How long the old version may take to be there; the demo takes 10 s on an idle machine."""
SETTLE_SECONDS = 30.0
"""How long the balancer may take to see the gateways healthy, and the first answers to come."""


def front_service(loaded: LoadedPlaybook) -> str:
    """Return the Service the front balancer stands before.

    Raises:
        Refused: The playbook names none.
    """
    return service_of(loaded.playbook.release)


def service_of(release: Release) -> str:
    """Return the Service that lets traffic into a release.

    Raises:
        Refused: The playbook names none.
    """
    named = [one.service for one in release.workloads.values() if one.service]
    if not named:
        raise Refused(
            "the rehearsal does not know where traffic goes in",
            remedy="name the gateway's Service in the playbook: workloads.GROUP.service",
        )
    return named[0]


class Stage:
    """One room and what was started in it.

    Args:
        room: The room, up.
        loaded: The playbook as the run will get it.
    """

    def __init__(self, room: Room, loaded: LoadedPlaybook) -> None:
        self.room = room
        self._loaded = loaded
        self._service = front_service(loaded)
        self._front: Front | None = None
        self._logs: Entered | None = None

    def python(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        output: int | IO[Any] | None = None,
        input: int | IO[Any] | None = None,
    ) -> Entered:
        """Start one of our modules inside the room, as `start` does."""
        extra = _environment() | dict(environment or {})
        return self.start(_python(module, *arguments), environment=extra, output=output, input=input)

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        output: int | IO[Any] | None = None,
        input: int | IO[Any] | None = None,
    ) -> Entered:
        """Start a program inside the room.

        It is out of the terminal's reach: a Ctrl-C comes to the rehearsal alone, not to the balancer, the
        traffic, or the door that kills them when it dies.
        """
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the door inherits that
        try:
            return self.room.enter(["setsid", *command], environment=environment, output=output, input=input)
        finally:
            signal.signal(signal.SIGINT, before)

    def write(self, path: Path, content: str) -> None:
        """Write a file of mode 0600 inside the room."""
        script = 'umask 077; mkdir -p "$(dirname "$0")"; cat > "$0"'
        self.room.run(["/bin/sh", "-c", script, str(path)], input=content)

    def install(self) -> int:
        """Install the old version and return how many pods it has, all ready.

        Raises:
            ProgramFailed: Helm failed, or the pods were not ready in time.
        """
        self._apply_manifests()
        release = self._loaded.playbook.release
        values: list[str] = []
        for path in self._loaded.values_files:
            values += ["--values", str(path)]
        if release.values.env:
            secret: dict[str, Any] = {}
            for key, value in self._loaded.secret_values().items():
                put(secret, key, value.get_secret_value())
            self.write(SECRET_VALUES, json.dumps(secret))
            values += ["--values", str(SECRET_VALUES)]
        where = ["--namespace", release.namespace]
        version = ["--version", release.chart.from_version]
        chart = [release.name, self._loaded.old_chart]
        command = ["helm", "install", *chart, *version, *where, "--create-namespace", *values]
        self.room.run(command, timeout_seconds=INSTALL_SECONDS)
        try:
            return self._await_pods(where)
        except ProgramFailed as late:
            raise ProgramFailed(
                f"{release.name} {release.chart.from_version} did not come up",
                output=self._why_not_up(where),
                remedy="name the programs that stand for its images: lab.images in the playbook",
            ) from late

    def _apply_manifests(self) -> None:
        """Apply what the playbook wants beside the gateway, and wait for its pods, wherever they are."""
        for name in self._loaded.playbook.lab.manifests:
            content = (self._loaded.path.parent / name).read_text()
            # Server-side: a definition may be too long for the annotation that kubectl keeps otherwise.
            self.room.run(["kubectl", "apply", "--server-side", "-f", "-"], input=content)
            if "CustomResourceDefinition" in content:
                there = ["--for=condition=Established", "crd", "--all", "--timeout=30s"]
                self.room.run(["kubectl", "wait", *there])
        if self._loaded.playbook.lab.manifests:
            self._await_pods(["--all-namespaces"])

    def _await_pods(self, where: Sequence[str]) -> int:
        kinds = "deployments,statefulsets,daemonsets"
        form = "--output=custom-columns=N:.metadata.namespace,K:.kind,M:.metadata.name"
        found = self.room.run(["kubectl", "get", kinds, *where, "--no-headers", form]).stdout
        for namespace, kind, name in (line.split() for line in found.splitlines()):
            status = ["kubectl", "rollout", "status", f"{kind}/{name}", "--namespace", namespace]
            wait = [*status, f"--timeout={INSTALL_SECONDS:.0f}s"]
            self.room.run(wait, timeout_seconds=INSTALL_SECONDS + 10)
        pods = self.room.run(["kubectl", "get", "pods", *where, "--output=name"])
        return len(pods.stdout.split())

    def _why_not_up(self, where: Sequence[str]) -> str:
        """Return the pods as they are, and the last warnings."""
        pods = self.room.run(["kubectl", "get", "pods", *where], check=False).stdout
        warnings = ["kubectl", "get", "events", *where, "--field-selector=type=Warning", "--no-headers"]
        told = self.room.run([*warnings, "--sort-by=.lastTimestamp"], check=False).stdout
        return "\n".join([pods.strip(), *told.splitlines()[-6:]])

    def snapshot(self, color: Color = Color.BLUE) -> Snapshot:
        """Return what is in the namespace of the release now, in the one or the other place."""
        release = self._loaded.playbook.place(color)
        where = ["--namespace", release.namespace]
        get = ["kubectl", "get", KINDS, *where, "--output=json"]
        leases = ["kubectl", "get", "leases", *where, "--output=jsonpath={.items[*].metadata.name}"]
        history = ["helm", "history", release.name, *where, "--output=json"]
        return Snapshot(
            objects=json.loads(self.room.run(get).stdout)["items"],
            leases=self.room.run(leases).stdout.split(),
            history=json.loads(self.room.run(history, check=False).stdout or "[]"),
        )

    def open_front(self) -> int:
        """Start the balancer and the log keeper; return how many gateways it would send to.

        Raises:
            ProgramFailed: It saw no healthy gateway in time.
        """
        namespace, lab = self._loaded.playbook.release.namespace, self._loaded.playbook.lab
        where = ["--namespace", namespace, "--service", self._service, "--port", self._port(namespace)]
        self.room.run(["/bin/sh", "-c", 'mkdir -p "$(dirname "$0")"; touch "$0"', str(LOG)])
        self._front = front_of(lab, self, [*where, *self._green()])
        self._front.open()
        late = "the front balancer saw no healthy gateway"
        count = await_any(self._front.healthy, late, seconds=SETTLE_SECONDS)
        self._logs = self._keep_logs()
        return count

    @property
    def front(self) -> Front:
        """The front balancer; open."""
        assert self._front
        return self._front

    def _green(self) -> list[str]:
        """Return the front balancer's second place, where the strategy needs one."""
        if not self._loaded.playbook.is_beside:
            return []
        green = self._loaded.playbook.place(Color.GREEN)
        return ["--green", f"{green.namespace}/{service_of(green)}"]

    def _keep_logs(self) -> Entered:
        places = {self._loaded.playbook.place(color).namespace for color in Color}
        whose = [word for place in sorted(places) for word in ("--namespace", place)]
        log = ["--front-log", str(LOG)]
        pipe = subprocess.PIPE
        module = "upgrader.lab.rehearse.access_logs"
        return self.python(module, *whose, *log, input=pipe, output=pipe)

    def _port(self, namespace: str) -> str:
        asked = ["kubectl", "get", "service", self._service, "--namespace", namespace, "--output=json"]
        port = json.loads(self.room.run(asked).stdout)["spec"]["ports"][0]
        return str(port.get("name") or port["targetPort"])

    def ask(self, method: str, *urls: str, body: str = "") -> str:
        """Return what URLs inside the room answer.

        Args:
            method: ``GET`` or ``POST``.
            urls: Asked one after the other.
            body: Sent to each; empty for none.

        Raises:
            ProgramFailed: One did not answer well.
        """
        command = _python("upgrader.lab.rehearse.inside", method, body, *urls)
        return self.room.run(command, environment=_environment()).stdout

    def access_counts(self) -> dict[str, Any]:
        """Return what the front balancer and the gateways have logged so far; see `access_logs.told`."""
        assert self._logs
        assert self._logs.stdin
        assert self._logs.stdout
        with contextlib.suppress(BrokenPipeError):  # then it has said why it ended
            self._logs.stdin.write("count\n")
            self._logs.stdin.flush()
        line = self._logs.stdout.readline()
        if not line.startswith("{"):
            raise ProgramFailed(
                "the keeper of the access logs has ended", output=line + self._logs.stdout.read()
            )
        told: dict[str, Any] = json.loads(line)
        return told

    def log(self, name: str) -> IO[str]:
        """Open a log inside the room's own folder of logs."""
        return self.outside(layout.LOGS / f"{name}.log").open("w")

    def outside(self, path: Path) -> Path:
        """Return where a file of the room is for us, who are outside it."""
        return Path(f"/proc/{self.room.record.pid}/root{path}")


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", module, *arguments]


def _environment() -> dict[str, str]:
    package = str(Path(upgrader.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def await_any(ask: Callable[[], int], late: str, *, seconds: float) -> int:
    """Ask until the answer is not 0, and return it.

    Raises:
        ProgramFailed: It was 0 all the time; ``late`` says what that means.
    """
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        if time.monotonic() > deadline:
            raise ProgramFailed(f"{late} within {seconds:.0f} s")
        time.sleep(0.2)
    return found
