"""Run the front balancer: ``python -m upgrader.lab.front --namespace N --service S --listen HOST:PORT``.

With ``--green N/S`` it stands before a second place, too, and gives it nothing until its runtime keys say so.
With ``--tls HOST:PORT`` it also serves there over TLS; clients verify it by the ``ca.crt`` in its folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from upgrader.errors import UpgraderError
from upgrader.lab.front import envoy
from upgrader.lab.front.bootstrap import CLUSTER, GREEN_CLUSTER, Address, Front, Tls, bootstrap
from upgrader.lab.front.endpoints import ready_endpoints, write_endpoints
from upgrader.lab.front.places import Place, ended_by_itself, follow, stopped_by_signal
from upgrader.lab.front.slices import Slice


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
    parser.add_argument("--tls", type=Address.parse, help="ADDRESS:PORT of a door over TLS (default none)")
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
        tls = with_certificate(options.tls, folder) if options.tls else None
        files = folder / "endpoints.json", folder / "access.log"
        front = Front(options.listen, options.admin, *files, green_file=green, tls=tls)
        try:
            return _balance(front, options)
        except UpgraderError as error:
            sys.stderr.write(f"{error}\n")
            return int(error.exit_code)


def with_certificate(listen: Address, folder: Path) -> Tls:
    """Return a door over TLS, with a certificate for its address by an authority of its own: ``ca.crt``."""
    from upgrader.lab.certificates import Authority

    authority = Authority("lab-front-ca")
    pair = authority.server("front", names=[listen.host])
    (folder / "ca.crt").write_bytes(authority.pair.certificate)
    tls = Tls(listen, folder / "front.crt", folder / "front.key")
    tls.certificate.write_bytes(pair.certificate)
    tls.key.touch(mode=0o600)
    tls.key.write_bytes(pair.key)
    return tls


def _balance(front: Front, options: argparse.Namespace) -> int:
    stopped = stopped_by_signal()
    places = {CLUSTER: (Place(options.namespace, options.service), front.endpoints_file)}
    if front.green_file:
        places[GREEN_CLUSTER] = (options.green, front.green_file)
    for cluster, (_, file) in places.items():
        write_endpoints(file, (), cluster=cluster)
    process = envoy.start(bootstrap(front))
    for cluster, (place, file) in places.items():
        follow(place, options.kubeconfig, _writer(cluster, file, options))
    alone = ended_by_itself(process, stopped)
    process.terminate()
    process.wait()
    return int(alone)


def _writer(cluster: str, file: Path, options: argparse.Namespace) -> Callable[[list[Slice]], None]:
    def write(slices: list[Slice]) -> None:
        time.sleep(options.lag)
        write_endpoints(file, ready_endpoints(slices, port=options.port), cluster=cluster)

    return write


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
