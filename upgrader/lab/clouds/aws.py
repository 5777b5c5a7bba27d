"""The lab's imitation of AWS Elastic Load Balancing: moto's, told by the lab's front balancer.

moto answers the whole API as boto3 asks it; three things are ours. The health of a target is what the front's
checks found (moto calls every target healthy at once). A weight that is set in the rule moves the front's
traffic, after a delay. And faults and the quota of reads meet a call before moto does. There are two target
groups, named like the front's clusters, behind one rule of an application balancer, or the listener of a
network one; targets need not be registered, the front's endpoints are there. What it does not do is said
in ``docs/balancers.md``. moto keeps its state in the process, so there is one such cloud in a process.

Run it: ``python -m upgrader.lab.clouds.aws --front http://127.0.0.1:9901 --listen 127.0.0.1:9920``.
"""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.elbv2.exceptions import TargetGroupNotFoundError
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, elbv2_backends
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from upgrader.lab.clouds.aws_faults import TooMany, struck
from upgrader.lab.clouds.front_view import BLUE, COLORS, GREEN, Fault, FrontView, Pace, Seen, Standing, admin
from upgrader.lab.clouds.serving import CONTROL

REGION: Final = "eu-central-1"
STATES: Final = {
    Standing.HEALTHY: ("healthy", None),
    Standing.UNCHECKED: ("initial", "Elb.InitialHealthChecking"),
    Standing.FAILED: ("unhealthy", "Target.FailedHealthChecks"),
    Standing.LEAVING: ("draining", "Target.DeregistrationInProgress"),
}
"""State and reason of a backend, by how the front sees it."""
STRANGE_STATE: Final = "resting"
"""A word that no schema has, for `Fault.UNKNOWN`."""
_MOVES: Final = ("ModifyRule", "ModifyListener")
_SEED: Final = 1
"""moto draws its ARNs; so they are the same each time, and a playbook can name them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What there is in the imitated account.

    Args:
        kind: Of the load balancer: ``application`` or ``network``.
        registration_seconds: For how long a backend that came is ``initial``, >= 0; AWS's network
            balancers take 3 to 5 minutes.
        reads: How many reads may come at once, and how many a second after that.
    """

    kind: str = "application"
    registration_seconds: float = 0.0
    reads: tuple[float, float] = (40, 10)


@dataclass
class Names:
    """The ARNs of what was made.

    Args:
        groups: The front's cluster → its target group.
        route: The rule, or the listener, that parts the traffic.
    """

    groups: dict[str, str] = field(default_factory=dict)
    route: str = ""


class _FrontBackend(ELBv2Backend):
    """moto's backend, but for the health of the two groups' targets."""

    def __init__(self, view: FrontView, shape: Shape) -> None:
        super().__init__(REGION, DEFAULT_ACCOUNT_ID)
        self.names = Names()
        self._view = view
        self._shape = shape
        self._since: dict[tuple[str, str, int], float] = {}

    def describe_target_health(
        self, target_group_arn: str, targets: list[dict[str, Any]]
    ) -> list[FakeHealthStatus]:
        """Tell the front's backends; a target that is asked for and not there is not registered."""
        cluster = next((one for one, arn in self.names.groups.items() if arn == target_group_arn), "")
        if not cluster:
            raise TargetGroupNotFoundError
        seen = {one.address: one for one in self._view.seen(cluster)}
        if not targets:
            return [self._health(cluster, one) for one in seen.values()]
        asked = [str(one["Id"]) for one in targets]
        return [self._health(cluster, seen[one]) if one in seen else _unregistered(one) for one in asked]

    def weights(self) -> Mapping[str, int]:
        """Return the weights that the rule or listener has now, by ARN."""
        is_rule = ":listener-rule/" in self.names.route
        listener = self.names.route.replace(":listener-rule/", ":listener/")
        found = (
            self.describe_rules(listener_arn=None, rule_arns=[self.names.route])[0].actions
            if is_rule
            else self.describe_listeners(None, [listener])[0].default_actions
        )
        forward: Mapping[str, Any] = next((one.data for one in found if one.type == "forward"), {})
        groups = (forward.get("ForwardConfig") or {}).get("TargetGroups") or ()
        return {one["TargetGroupArn"]: int(one["Weight"]) for one in groups}

    def _health(self, cluster: str, one: Seen) -> FakeHealthStatus:
        now = time.monotonic()
        since = self._since.setdefault((cluster, one.address, one.port), now)
        state, reason = STATES[one.standing]
        if self.names.groups[cluster] not in self.weights():
            state, reason = "unused", "Target.NotInUse"
        elif state != "draining" and now - since < self._shape.registration_seconds:
            state, reason = "initial", "Elb.RegistrationInProgress"
        if self._view.faults.tells_unknown:
            state, reason = STRANGE_STATE, None
        said = f"the front calls it {one.standing}" if reason else None
        return FakeHealthStatus(one.address, str(one.port), str(one.port), state, reason, said)


def _unregistered(address: str) -> FakeHealthStatus:
    return FakeHealthStatus(address, "80", "80", "unused", "Target.NotRegistered", "Target is not registered")


class AwsCloud:
    """The API with its server; begins to answer with `start`."""

    def __init__(self, address: tuple[str, int], view: FrontView, *, shape: Shape) -> None:
        """Set it up.

        Args:
            address: Host and port; port 0 takes a free one.
            view: The front balancer; started and closed by whoever made it.
            shape: What there is.
        """
        self._backend = _FrontBackend(view, shape)
        elbv2_backends[DEFAULT_ACCOUNT_ID][REGION] = self._backend
        self._view = view
        self._shape = shape
        self._reads = TooMany(*shape.reads)
        self._stopped = threading.Event()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._is_made = False
        self._server = make_server(*address, self._answer, threaded=True, request_handler=_Requests)
        self.url = f"http://{self._server.host}:{self._server.server_port}"
        """Where it listens."""

    @property
    def names(self) -> Names:
        """Return the ARNs of what was made."""
        return self._backend.names

    @property
    def calls(self) -> Mapping[str, int]:
        """Return how many reads and writes came in."""
        return self._view.faults.calls

    def start(self) -> None:
        """Serve in the background, and make what there is in the account."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        _furnish(self.names, self.url, self._shape.kind)
        self._view.move(0)
        self._is_made = True

    def close(self) -> None:
        """Stop serving, and let go of what hangs."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ.get("PATH_INFO") == CONTROL:
            return self._control(environ["REQUEST_METHOD"], body)(environ, start)
        action = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
        refused = self._refused(action) if self._is_made else None
        if refused:
            return refused(environ, start)
        answer = Response.from_app(self._moto, environ)
        if action in _MOVES and answer.status_code == 200:
            self._moved()
        return answer(environ, start)

    def _refused(self, action: str) -> Response | None:
        is_write = not action.startswith("Describe")
        fault = self._view.faults.strike(is_write=is_write)
        if fault is Fault.HANG:
            self._stopped.wait(self._view.faults.seconds)
            raise ConnectionResetError  # werkzeug closes the connection without a word
        if not is_write and self._reads.is_one_more_too_many(time.monotonic()):
            fault = Fault.THROTTLE
        return struck(fault, action)

    def _moved(self) -> None:
        weights = self._backend.weights()
        blue, green = (weights.get(self.names.groups[one], 0) for one in COLORS)
        if blue + green:
            self._view.move(green / (blue + green))

    def _control(self, method: str, body: bytes) -> Response:
        status, said = 200 if self._is_made else 503, json.dumps(self._view.faults.told())
        if method == "POST":
            try:
                self._view.faults.read(body)
            except (ValueError, AttributeError, TypeError) as error:
                status, said = 400, json.dumps({"error": str(error)})
        return Response(said, status, content_type="application/json")


class _Requests(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: whoever started it asks for counts."""


def _furnish(names: Names, url: str, kind: str) -> None:
    """Make a load balancer with two target groups behind one rule, through the API as anybody would."""
    login = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab"}
    elb = boto3.client("elbv2", region_name=REGION, endpoint_url=url, **login)
    subnets = ec2_backends[DEFAULT_ACCOUNT_ID][REGION].describe_subnets()
    mock_random.seed(_SEED)
    protocol = "HTTP" if kind == "application" else "TCP"
    target = {"Protocol": protocol, "Port": 8080, "VpcId": subnets[0].vpc_id, "TargetType": "ip"}
    for name in COLORS:
        made = elb.create_target_group(Name=name, **target)["TargetGroups"][0]
        names.groups[name] = made["TargetGroupArn"]
    weights = [{"TargetGroupArn": names.groups[BLUE], "Weight": 999}]
    weights.append({"TargetGroupArn": names.groups[GREEN], "Weight": 0})
    forward = [{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}]
    ids = [one.id for one in subnets]
    balancer = elb.create_load_balancer(Name="edge", Type=kind, Subnets=ids)["LoadBalancers"][0]
    where = {"LoadBalancerArn": balancer["LoadBalancerArn"], "Protocol": protocol, "Port": 80}
    names.route = elb.create_listener(DefaultActions=forward, **where)["Listeners"][0]["ListenerArn"]
    if kind == "application":
        every = [{"Field": "path-pattern", "Values": ["/*"]}]
        rule = {"ListenerArn": names.route, "Priority": 1, "Conditions": every, "Actions": forward}
        names.route = elb.create_rule(**rule)["Rules"][0]["RuleArn"]


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; the ARNs go to standard output as JSON."""
    parser = argparse.ArgumentParser(prog="python -m upgrader.lab.clouds.aws", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:9920", help="ADDRESS:PORT (default 127.0.0.1:9920)")
    parser.add_argument("--front", required=True, help="URL of the front balancer's admin page")
    parser.add_argument("--kind", choices=("application", "network"), default="application")
    parser.add_argument("--delay", type=float, default=10.0, help="seconds until traffic follows a weight")
    parser.add_argument("--drain", type=float, default=0.0, help="seconds a backend that left is draining")
    parser.add_argument("--registration", type=float, default=0.0, help="seconds a new backend is initial")
    options = parser.parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    view = FrontView(admin(options.front), pace=Pace(options.delay, options.drain))
    shape = Shape(options.kind, options.registration)
    cloud, ended = AwsCloud((host, int(port)), view, shape=shape), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    view.start()
    cloud.start()
    print(
        json.dumps({"url": cloud.url, "listener_rule": cloud.names.route, **cloud.names.groups}), flush=True
    )
    ended.wait()
    cloud.close()
    view.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
