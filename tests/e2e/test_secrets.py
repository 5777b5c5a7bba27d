"""A secret given by ``values.env``: only Helm and the cluster get to know it."""

from __future__ import annotations

import base64
import json
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.gateway import Gateway, event

pytestmark = pytest.mark.lab


def shapes(secret: str) -> list[bytes]:
    """Return what a secret looks like, plain and within anything in base64, whatever stands before it."""
    within = [
        base64.b64encode(b"-" * before + secret.encode())[4 if before else 0 :][:-4] for before in range(3)
    ]
    return [secret.encode(), *within]


def holders(folder: Path, secret: str) -> dict[str, int]:
    """Return the files that hold a secret, and their modes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files, f"nothing to search in {folder}"
    return {
        str(path.relative_to(folder)): path.stat().st_mode & 0o777
        for path in files
        if any(shape in path.read_bytes() for shape in shapes(secret))
    }


class Onlooker:
    """Another user of the machine, who looks at all processes all the time.

    Args:
        secret: What they hope to see.
        release: Whose helm they want to see the environment of.
    """

    def __init__(self, secret: str, release: str) -> None:
        self.seen: set[str] = set()
        self.helms = 0
        self._shapes, self._release = shapes(secret), release.encode()

    def look(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
                self._note(words, words)
                if words.split(b"\0")[0].endswith(b"/helm") and self._release in words:
                    self.helms += 1
                    self._note(words, (process / "environ").read_bytes())
            except OSError:
                continue

    def _note(self, words: bytes, where: bytes) -> None:
        if any(shape in where for shape in self._shapes):
            self.seen.add(words.replace(b"\0", b" ").decode())

    @contextmanager
    def looking(self) -> Iterator[None]:
        over = threading.Event()

        def look_on() -> None:
            while not over.wait(0.03):
                self.look()

        thread = threading.Thread(target=look_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(10)


def killed_while_planning(gateway: Gateway) -> set[int]:
    """Kill `upgrader plan` when it has written its values; return the modes of what holds the secret."""
    deadline = time.monotonic() + 30
    with gateway.start("plan", str(gateway.playbook)) as planning:
        while not list(gateway.folder.glob("state/runs/*/values/secrets.json")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        planning.kill()
    return set(holders(gateway.folder, gateway.key).values())


def told(gateway: Gateway, commands: Sequence[Sequence[str]]) -> str:
    """Return all that commands print."""
    return "".join(gateway.call(*command).said for command in commands)


def test_a_secret_is_nowhere_but_with_helm_and_the_cluster(make_gateways: Callable[..., Gateway]) -> None:
    """Searched for while the run is under way, while it is paused, and when all is over.

    What a planner that was killed left behind is gone then, too.
    """
    secret = uuid.uuid4().hex
    gateway = make_gateways("secret", key=secret)
    onlooker = Onlooker(secret, gateway.name)

    with onlooker.looking():
        planned = killed_while_planning(gateway)
        with gateway.start_run() as running:
            gateway.await_record(running, event("applied", "roll proxies 1/2"))
            running.child.send_signal(signal.SIGINT)
            paused = running.end()
        meanwhile = holders(gateway.folder, secret)
        resumed = gateway.call("resume", "--output", "text")
    asked = [("plan", str(gateway.playbook)), ("status",), ("explain",)]
    told(gateway, [*asked, *((*command, "--output", "json") for command in asked)])
    cluster = gateway.kubectl("get", "leases,deployments,events", "--output=json")
    temporary = gateway.room.run(["grep", "-rl", secret, "/run/upgrader/tmp"], check=False).stdout
    values = json.loads(gateway.kubectl("get", "secret", f"{gateway.name}-keys", "--output=json"))["data"]

    assert planned == {0o600}, "Helm reads the values from a file"
    assert (paused.code, resumed.code) == (8, 0), resumed.said[-3000:]
    assert base64.b64decode(values["client-0"]).decode() == secret, "the search would find nothing anyway"
    assert onlooker.helms > 10, "the onlooker was blind"
    assert onlooker.seen == set()
    [(kept, mode)] = meanwhile.items()
    assert (kept.rpartition("/")[2], mode) == ("secrets.json", 0o600)
    assert holders(gateway.folder, secret) == {}
    assert not any(shape.decode() in cluster for shape in shapes(secret))
    assert temporary == ""


def test_the_search_finds_a_secret_in_every_shape(tmp_path: Path) -> None:
    """A check that cannot fail would be none."""
    secret = uuid.uuid4().hex
    for number in range(3):
        inside = b"." * number + secret.encode() + b"..."
        (tmp_path / f"{number}").write_bytes(b'{"data": "' + base64.b64encode(inside) + b'"}')
    (tmp_path / "plain").write_text(f"key={secret}")
    (tmp_path / "clean").write_text("nothing")

    assert set(holders(tmp_path, secret)) == {"0", "1", "2", "plain"}
