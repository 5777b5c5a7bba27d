"""Run the front balancer: ``python -m upgrader.lab.front --namespace N --service S --listen HOST:PORT``.

With ``--green N/S`` it stands before a second place, too, and gives it nothing until its runtime keys say so.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import urllib3

from upgrader.errors import UpgraderError
from upgrader.lab.front import envoy
from upgrader.lab.front.api import SliceRequests
from upgrader.lab.front.bootstrap import CLUSTER, GREEN_CLUSTER, Address, Front, bootstrap
from upgrader.lab.front.endpoints import ready_endpoints, write_endpoints
from upgrader.lab.front.slices import Slice, Slices

_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Place:
    """One installation of the gateway.

    Args:
        namespace: Its namespace; it may come later.
        service: The Service in front of its gateways.
    """

    namespace: str
    service: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read ``NAMESPACE/SERVICE``; raises `ValueError` when it is not that."""
        namespace, _, service = text.partition("/")
        if not namespace or not service or "/" in service:
            raise ValueError(f"'{text}' is not NAMESPACE/SERVICE")
        return cls(namespace, service)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ends the process with status 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m upgrader.lab.front", description=__doc__)
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
    parser.add_argument(
        "--admin", type=Address.parse, default=Address("127.0.0.1", 9901), help="ADDRESS:PORT"
    )
    parser.add_argument("--dir", type=Path, help="where its files go (default: a temporary folder)")
    parser.add_argument(
        "--lag", type=float, default=0.0, help="seconds until a change of the endpoints reaches the balancer"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Balance until SIGTERM or SIGINT; 0 then, 1 when Envoy ended by itself."""
    options = parse(arguments)
    with ExitStack() as stack:
        folder = options.dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="front-")))
        folder.mkdir(parents=True, exist_ok=True)
        green = folder / "endpoints-green.json" if options.green else None
        front = Front(
            options.listen, options.admin, folder / "endpoints.json", folder / "access.log", green_file=green
        )
        try:
            return _balance(front, options)
        except UpgraderError as error:
            sys.stderr.write(f"{error}\n")
            return int(error.exit_code)


def _balance(front: Front, options: argparse.Namespace) -> int:
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    places = {CLUSTER: (Place(options.namespace, options.service), front.endpoints_file)}
    if front.green_file:
        places[GREEN_CLUSTER] = (options.green, front.green_file)
    for cluster, (_, file) in places.items():
        write_endpoints(file, (), cluster=cluster)
    process = envoy.start(bootstrap(front))
    for cluster, (place, file) in places.items():
        threading.Thread(target=_follow, args=(cluster, place, file, options), daemon=True).start()
    while process.poll() is None and not stopped.wait(0.2):
        pass
    ended_by_itself = process.poll() is not None
    process.terminate()
    process.wait()
    return 1 if ended_by_itself else 0


def _follow(cluster: str, place: Place, file: Path, options: argparse.Namespace) -> None:
    def write(slices: list[Slice]) -> None:
        time.sleep(options.lag)
        write_endpoints(file, ready_endpoints(slices, port=options.port), cluster=cluster)

    requests = SliceRequests(options.kubeconfig, namespace=place.namespace, service=place.service)
    slices = Slices(requests, on_change=write)
    trouble = ""
    while True:
        before, trouble = trouble, _trouble_of(slices)
        if trouble != before:
            sys.stderr.write(
                f"front: EndpointSlices of {place.namespace}/{place.service}: {trouble or 'followed again'}\n"
            )
        if trouble:
            time.sleep(_PAUSE_SECONDS)


def _trouble_of(slices: Slices) -> str:
    try:
        slices.follow()
    except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
