"""Rooms, for real: how fast they are up, and that nothing of them stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import upgrader
from upgrader.errors import ProgramFailed, Refused
from upgrader.lab import build, layout
from upgrader.lab.record import start_time
from upgrader.lab.room import Room

pytestmark = pytest.mark.lab

UP_SECONDS = 15.0
"""The promise: API, node and DNS are there within this after the binary is built."""

ORDINARY_USER = 65_534 - 1
"""An uid nobody has on this machine."""

_OWNER = """
import signal, sys
from upgrader.lab.room import Room
room = Room.up(sys.argv[1], owned=True)
print(room.record.pid, flush=True)
signal.pause()
"""


@dataclass(frozen=True)
class Person:
    """Somebody who makes rooms: their own folders, and a mark on everything they start.

    Args:
        home: Holds state, cache and temporary folder.
        mark: A word in the environment of every process they start.
        command: Runs Python as them.
        environment: Their whole environment.
        started: The processes they started, to be ended at the latest with the test.
    """

    home: Path
    mark: str
    command: tuple[str, ...]
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python in a session of its own."""
        process = subprocess.Popen(
            [*self.command, *arguments],
            env=self.environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def begun(self, program: str) -> subprocess.Popen[str]:
        """Start to make the room ``kept``, and return who does once that program of it runs."""
        owner = self.start("-m", "upgrader.lab.commands", "up", "--name", "kept")
        deadline = time.monotonic() + UP_SECONDS
        while not any(program in line for line in self.processes().values()):
            assert owner.poll() is None, owner.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return owner

    def lab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``upgrader lab`` to its end."""
        command = [*self.command, "-m", "upgrader.lab.commands", *arguments]
        return subprocess.run(
            command, env=self.environment, cwd="/", capture_output=True, text=True, timeout=120, check=False
        )

    def own_room(self, name: str) -> tuple[subprocess.Popen[str], int]:
        """Start a process that owns a room; return it and the room's first process once it is up."""
        owner = self.start("-c", _OWNER, name)
        assert owner.stdout
        line = owner.stdout.readline()
        assert line.strip().isdigit(), line + owner.stdout.read()
        return owner, int(line)

    def processes(self) -> dict[int, str]:
        """Return all processes that carry the mark, with their command lines."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (folder / "environ").read_bytes():
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = line
        return found

    def end_all(self) -> None:
        """Kill what a failed test left running."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            with process:
                process.kill()

    def wait_until_alone(self, *, seconds: float = 5.0) -> dict[int, str]:
        """Wait until none of those processes is left, and return those that are after all."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def files(self) -> list[str]:
        """Return all files and links below the person's folders."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if not path.is_dir())


def _interpreter(uid: int) -> tuple[str, str] | None:
    """Return a Python that user may run, and the PYTHONPATH it needs; ``None`` when there is none."""
    site = next(path for path in sys.path if path.endswith("site-packages"))
    package = str(Path(upgrader.__file__).parents[1])
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python, path in ((sys.executable, package), (f"/usr/bin/{version}", f"{package}:{site}")):
        # by way of a shell: what setpriv itself starts, it still finds with the rights of root
        switch = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        command = [*switch, "/bin/sh", "-c", 'exec "$0" "$@"', python, "-c"]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path}
        probe = [*command, "import ssl, cryptography.x509, upgrader.lab.room"]
        if (
            Path(python).exists()
            and not subprocess.run(
                probe, env=environment, cwd="/", capture_output=True, check=False
            ).returncode
        ):
            return python, path
    return None


@pytest.fixture(scope="module")
def binary() -> Iterator[Path]:
    """The lab's binary, where everybody may run it."""
    built = build.ensure()
    with tempfile.TemporaryDirectory(prefix="lab-binary-") as folder:
        Path(folder).chmod(0o755)
        copy = Path(folder) / "lab-kube"
        shutil.copy(built, copy)
        copy.chmod(0o755)
        yield copy


@pytest.fixture(autouse=True, scope="module")
def interruptible() -> Iterator[None]:
    """Let children be interrupted even where a script started us in its background, which ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=["as ourselves", "as an ordinary user"])
def person(request: pytest.FixtureRequest, binary: Path) -> Iterator[Person]:
    """Somebody with empty folders."""
    ordinary = request.param == "as an ordinary user"
    if ordinary and os.geteuid():
        pytest.skip("we are an ordinary user ourselves")
    command: tuple[str, ...] = (sys.executable, "-P")
    path = str(Path(upgrader.__file__).parents[1])
    if ordinary:
        found = _interpreter(ORDINARY_USER)
        if found is None:
            pytest.skip("no Python here that another user may run")
        python, path = found
        switch = (f"--reuid={ORDINARY_USER}", f"--regid={ORDINARY_USER}", "--clear-groups")
        command = ("setpriv", *switch, python, "-P")
    with tempfile.TemporaryDirectory(prefix="lab-person-") as folder:
        made = _person(Path(folder), command, path, ordinary=ordinary, binary=binary)
        yield made
        made.end_all()


def _person(home: Path, command: tuple[str, ...], path: str, *, ordinary: bool, binary: Path) -> Person:
    (home / "tmp").mkdir()
    if ordinary:
        for folder in (home, home / "tmp"):
            os.chown(folder, ORDINARY_USER, ORDINARY_USER)
    mark = f"lab-test-{uuid.uuid4().hex}"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", "") if not ordinary else "",
        "UPGRADER_LAB_BINARY": str(binary),
        "UPGRADER_TEST_MARK": mark,
    }
    return Person(home, mark, command, {name: value for name, value in environment.items() if value})


def _mounts() -> set[str]:
    """Return the mount points at and below /run that this process sees."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {point for point in points if point == "/run" or point.startswith("/run/")}


def _outer(first: int) -> int:
    return int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(scope="module")
def room(binary: Path) -> Iterator[Room]:
    """One room for all tests that leave it as it was."""
    images = {"shop/standin": {"run": "standin"}, "shop/zen": {"run": "python", "module": "this"}}
    name = f"test-{uuid.uuid4().hex[:8]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPGRADER_LAB_BINARY", str(binary))
        with Room.up(name, nodes=2, images=images) as made:
            yield made


def _kubectl(room: Room, *arguments: str) -> str:
    return room.run(["kubectl", *arguments]).stdout


def test_all_nodes_are_ready_when_the_room_is_up(room: Room) -> None:
    nodes = json.loads(_kubectl(room, "get", "nodes", "-o", "json"))["items"]

    addresses = {node["metadata"]["name"]: node["status"]["addresses"][0]["address"] for node in nodes}
    assert addresses == {"lab-0": "10.244.0.1", "lab-1": "10.244.1.1"}


def test_kubectl_and_helm_inside_are_those_of_the_cluster(room: Room) -> None:
    versions = json.loads(_kubectl(room, "version", "-o", "json"))

    assert versions["clientVersion"]["gitVersion"] == versions["serverVersion"]["gitVersion"]
    assert room.run(["helm", "list", "--all-namespaces", "-o", "json"]).stdout.strip() == "[]"


def test_the_exit_status_comes_through_the_door(room: Room) -> None:
    assert room.run(["sh", "-c", "exit 7"], check=False).returncode == 7
    with pytest.raises(ProgramFailed, match="no such thing"):
        room.run(["sh", "-c", "echo no such thing >&2; exit 1"])


def test_a_signal_reaches_the_program_and_not_only_the_door(room: Room) -> None:
    script = 'trap "echo asked; exit 5" TERM; echo ready; while :; do sleep 0.05; done'
    with room.enter(["sh", "-c", script], output=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"

        child.terminate()

        assert child.wait(10) == 5
        assert child.stdout.read() == "asked\n"


def test_killing_the_door_ends_the_program(room: Room) -> None:
    with room.enter(["sh", "-c", "echo ready; exec sleep 60"], output=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        program = child.pid
        assert program

        os.kill(_outer(program), signal.SIGKILL)

        child.wait(5)
        deadline = time.monotonic() + 5
        while start_time(program) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert start_time(program) is None


def test_a_value_of_the_environment_is_on_no_command_line(room: Room) -> None:
    secret = uuid.uuid4().hex
    script, pipe = 'echo "$KEY"; sleep 60; :', subprocess.PIPE
    with room.enter(["sh", "-c", script], environment={"KEY": secret}, output=pipe) as child:
        assert child.stdout
        assert child.stdout.readline().strip() == secret

        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        child.kill()

    assert len(lines) > 10
    assert not [line for line in lines if secret.encode() in line]


def test_the_room_has_no_way_out_and_no_port_on_the_host(room: Room) -> None:
    routes = room.run(["cat", "/proc/net/route"]).stdout.splitlines()[1:]

    assert not [route for route in routes if route.split()[1] == "00000000"]
    here, there = (os.readlink(f"/proc/{pid}/ns/net") for pid in ("self", room.record.pid))
    assert here != there


def test_a_second_room_of_the_same_name_is_refused(room: Room) -> None:
    with pytest.raises(Refused, match=room.name):
        Room.up(room.name)


def _run_pod(room: Room, image: str, *arguments: str) -> str:
    """Run a pod of that image to its end, and return what it printed."""
    name = f"pod-{uuid.uuid4().hex[:8]}"
    extra = ["--", *arguments] if arguments else []
    _kubectl(room, "run", name, f"--image={image}", "--restart=Never", *extra)
    _kubectl(room, "wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    return _kubectl(room, "logs", name)


@pytest.mark.parametrize(
    ("image", "arguments", "printed"),
    [
        ("busybox:1.36", ["-c", "echo in $0"], "in "),
        ("docker.io/envoyproxy/envoy:v1.40.0", ["--version"], "version:"),
        ("bitnami/kubectl:1.37", ["version", "--client"], "v1.37"),
        ("shop/zen", [], "The Zen of Python"),
    ],
)
def test_images_run_the_programs_they_stand_for(
    room: Room, image: str, arguments: list[str], printed: str
) -> None:
    assert printed in _run_pod(room, image, *arguments)


def test_a_standin_turns_ready_and_serves(room: Room) -> None:
    probe = {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1}
    container = {"name": "standin", "image": "shop/standin", "readinessProbe": probe}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "standin"},
        "spec": {"containers": [container]},
    }
    room.run(["kubectl", "create", "-f", "-"], input=json.dumps(pod))
    _kubectl(room, "wait", "pod/standin", "--for=condition=Ready", "--timeout=30s")

    answer = _kubectl(room, "get", "--raw", "/api/v1/namespaces/default/pods/standin:8080/proxy/any")

    assert answer == "ok\n"


def test_an_image_in_no_table_is_not_pulled(room: Room) -> None:
    _kubectl(room, "run", "unknown", "--image=shop/unknown", "--restart=Never")

    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    _kubectl(room, "wait", "pod/unknown", f"--for={reason}=ErrImagePull", "--timeout=30s")


def test_two_rooms_side_by_side_know_nothing_of_each_other(room: Room) -> None:
    began = time.monotonic()
    with Room.up(f"test-{uuid.uuid4().hex[:8]}") as other:
        took = time.monotonic() - began
        _kubectl(other, "create", "namespace", "only-here")

        assert "only-here" in _kubectl(other, "get", "namespaces")
        assert "only-here" not in _kubectl(room, "get", "namespaces")
        assert took < UP_SECONDS


def test_a_component_that_dies_is_recorded(room: Room) -> None:
    with Room.up(f"test-{uuid.uuid4().hex[:8]}") as other:
        [scheduler] = [each for each in other.status().components if each["name"] == "kube-scheduler"]
        assert not other.status().dead

        other.run(["kill", "-9", str(scheduler["pid"])])

        deadline = time.monotonic() + 5
        while not (dead := other.status().dead) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [(each["name"], each["status"]) for each in dead] == [("kube-scheduler", -9)]


def test_a_room_is_up_in_time_and_leaves_nothing(person: Person) -> None:
    mounts = _mounts()
    began = time.monotonic()
    up = person.lab("up", "--name", "kept")
    took = time.monotonic() - began
    assert up.returncode == 0, up.stderr

    nodes = person.lab("exec", "--name", "kept", "--", "kubectl", "get", "nodes", "-o", "name")
    whole = json.loads(person.lab("status", "--output", "json").stdout)
    down = person.lab("down", "--name", "kept")

    assert nodes.stdout == "node/lab-0\n"
    assert [(each["name"], each["owned"]) for each in whole] == [("kept", False)]
    assert down.returncode == 0, down.stderr
    assert took < UP_SECONDS
    assert person.wait_until_alone() == {}
    assert person.files() == []
    assert _mounts() == mounts


def _kill_owner(owner: int, _first: int) -> None:
    os.kill(owner, signal.SIGKILL)


def _terminate_owner(owner: int, _first: int) -> None:
    os.kill(owner, signal.SIGTERM)


def _interrupt_owner(owner: int, _first: int) -> None:
    os.killpg(owner, signal.SIGINT)  # as a terminal does


def _kill_outer(_owner: int, first: int) -> None:
    os.kill(_outer(first), signal.SIGKILL)


def _kill_first(_owner: int, first: int) -> None:
    os.kill(first, signal.SIGKILL)


@pytest.mark.parametrize(
    "end",
    [_kill_owner, _terminate_owner, _interrupt_owner, _kill_outer, _kill_first],
    ids=lambda function: function.__name__.strip("_"),
)
def test_however_a_room_is_killed_nothing_of_it_stays(
    person: Person, end: Callable[[int, int], None]
) -> None:
    mounts = _mounts()
    owner, first = person.own_room("owned")
    assert len(person.processes()) > 8

    end(owner.pid, first)
    deadline = time.monotonic() + 5
    while start_time(first) and time.monotonic() < deadline:
        time.sleep(0.02)
    owner.kill()
    owner.communicate(timeout=5)

    assert person.wait_until_alone() == {}
    assert _mounts() == mounts
    swept = person.lab("status", "--output", "json")
    assert json.loads(swept.stdout) == []
    assert person.files() == []


@pytest.mark.parametrize("program", ["upgrader.lab.commands", "etcd", "lab-addons"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killing_the_owner_of_a_starting_room_ends_it(
    person: Person, program: str, number: signal.Signals
) -> None:
    """At its very beginning, in the middle, and shortly before it is up."""
    owner = person.begun(program)

    os.killpg(owner.pid, number)
    owner.communicate(timeout=5)

    assert owner.returncode
    assert person.wait_until_alone() == {}
    assert json.loads(person.lab("status", "--output", "json").stdout) == []
    assert person.files() == []


def test_a_room_that_is_still_being_built_can_be_ended(person: Person) -> None:
    owner = person.begun("etcd")

    early = person.lab("exec", "--name", "kept", "true")
    down = person.lab("down", "--name", "kept")

    owner.communicate(timeout=5)
    assert "not up yet" in early.stderr
    assert down.returncode == 0
    assert person.wait_until_alone() == {}
    assert person.files() == []


def test_where_the_kernel_forbids_namespaces_the_switch_is_named(person: Person) -> None:
    """In a user namespace of our own we may play the administrator who forbids further ones."""
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces"
    powerless = "exec setpriv --inh-caps=-all --bounding-set=-all"
    command = " ".join([*person.command[-2:], "-m", "upgrader.lab.commands", "up", "--name", "never"])
    switch = person.command[:-2]

    done = subprocess.run(
        [*switch, "unshare", "--user", "--map-root-user", "sh", "-c", f"{forbid}; {powerless} {command}"],
        env=person.environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert "user.max_user_namespaces = 0 forbids rooms here" in done.stderr
    assert "--context" in done.stderr
    assert person.files() == []


def test_a_part_that_cannot_start_is_named_with_its_last_words(
    binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text(
        '#!/bin/sh\nname=$(basename "$0")\n'
        "case $name in kube-controller-manager) echo no more wishes >&2; exit 3;; esac\n"
        f'[ $name = broken ] || set -- $name "$@"\nexec {binary} "$@"\n'
    )
    broken.chmod(0o755)
    monkeypatch.setenv("UPGRADER_LAB_BINARY", str(broken))

    with pytest.raises(ProgramFailed) as failed:
        Room.up(f"test-{uuid.uuid4().hex[:8]}")

    assert "kube-controller-manager ended with status 3" in failed.value.output
    assert "no more wishes" in failed.value.output


def test_everything_inside_lies_below_one_folder() -> None:
    folders = (layout.BIN, layout.LOGS, layout.PKI, layout.KUBECONFIG, layout.STATE, layout.IMAGES)

    assert all(path.is_relative_to(layout.ROOT) for path in folders)
