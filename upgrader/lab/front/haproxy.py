"""Run a HAProxy as the front balancer: ``python -m upgrader.lab.front.haproxy --namespace N --service S``.

It does what ``python -m upgrader.lab.front`` does with Envoy: the gateways are those that Kubernetes calls
ready, it checks them itself, and its access log has the same fields. With ``--green N/S`` it stands before a
second place too, and gives it nothing until ``set map`` says so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from upgrader.adapters.runtime_socket import ask
from upgrader.errors import LabUnavailable, UpgraderError
from upgrader.lab.front.bootstrap import Address
from upgrader.lab.front.endpoints import ready_endpoints
from upgrader.lab.front.envoy import die_with_parent
from upgrader.lab.front.haproxy_setup import BLUE, GREEN, HaproxyFront, Slots, as_json, told
from upgrader.lab.front.places import Place, ended_by_itself, follow, stopped_by_signal
from upgrader.lab.front.slices import Slice

_TELL_SECONDS = 2.0
_START_SECONDS = 10.0


def binary() -> str:
    """Return the HAProxy program; raises `LabUnavailable` when there is none."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise LabUnavailable("HAProxy is not installed", remedy="on Debian: apt-get install haproxy")
    return found


class Haproxy:
    """A running HAProxy; it ends when the calling thread's process does, ``kill -9`` included.

    Args:
        front: How it is set up; its folder is there.
    """

    def __init__(self, front: HaproxyFront) -> None:
        self._front = front
        (front.folder / "haproxy.cfg").write_text(front.configuration())
        Path(front.map).write_text(f"{GREEN} 0\n")
        self._log = (front.folder / "access.log").open("w", buffering=1)
        self.process = subprocess.Popen(
            [binary(), "-db", "-f", str(front.folder / "haproxy.cfg")],
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        self._keeper = threading.Thread(target=self._keep_log, daemon=True)
        self._keeper.start()

    def await_socket(self) -> None:
        """Wait until it can be told anything, or has ended."""
        until = time.monotonic() + _START_SECONDS
        while self.process.poll() is None and time.monotonic() < until:
            if not ask(self._front.socket, "show info", _TELL_SECONDS).error:
                return
            time.sleep(0.02)

    def tell(self, commands: Sequence[str]) -> None:
        """Have it do so; what it answers but with an empty line or a notice of its own is an `OSError`."""
        for command in commands:
            answer = ask(self._front.socket, command, _TELL_SECONDS)
            said = answer.error or answer.body.decode(errors="replace").strip()
            if said and not said.startswith(("IP changed", "port changed", "no need to change")):
                raise OSError(f"{command}: {said}")

    def close(self) -> None:
        """End it, and the log with it."""
        self.process.terminate()
        self.process.wait()
        self._keeper.join()
        self._log.close()
        if self.process.stdout:
            self.process.stdout.close()

    def _keep_log(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if request := told(line):
                self._log.write(as_json(request))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ends the process with status 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m upgrader.lab.front.haproxy", description=__doc__)
    parser.add_argument("--kubeconfig", help="default: KUBECONFIG, then ~/.kube/config")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--service", required=True, help="Service in front of the gateways")
    parser.add_argument(
        "--green", type=Place.parse, help="the second place: NAMESPACE/SERVICE (default none)"
    )
    parser.add_argument("--port", default="http", help="name or number of the pods' port (default http)")
    parser.add_argument(
        "--listen", type=Address.parse, default=Address("127.0.0.1", 8080), help="ADDRESS:PORT"
    )
    parser.add_argument("--dir", type=Path, help="where its files go (default: a temporary folder)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Balance until SIGTERM or SIGINT; 0 then, 1 when HAProxy ended by itself."""
    options = parse(arguments)
    with ExitStack() as stack:
        folder = options.dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="front-")))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return _balance(HaproxyFront(options.listen, folder), options)
        except UpgraderError as error:
            sys.stderr.write(f"{error}\n")
            return int(error.exit_code)


def _balance(front: HaproxyFront, options: argparse.Namespace) -> int:
    stopped = stopped_by_signal()
    haproxy = Haproxy(front)
    haproxy.await_socket()
    places = {BLUE: Place(options.namespace, options.service)}
    if options.green:
        places[GREEN] = options.green
    for backend, place in places.items():
        follow(place, options.kubeconfig, _teller(haproxy, backend, options))
    alone = ended_by_itself(haproxy.process, stopped)
    haproxy.close()
    return int(alone)


def _teller(haproxy: Haproxy, backend: str, options: argparse.Namespace) -> Callable[[list[Slice]], None]:
    slots = Slots(backend)

    def tell(pieces: list[Slice]) -> None:
        try:
            haproxy.tell(slots.commands(ready_endpoints(pieces, port=options.port)))
        except OSError:
            slots.forget()
            raise

    return tell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
