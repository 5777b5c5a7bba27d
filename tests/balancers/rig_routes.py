"""Route objects as the contract tries them: an API server that can fail, and a controller that answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tests.balancers import test_gateway_api as gateway_api
from tests.balancers import test_gloo as gloo
from tests.balancers import test_istio as istio
from tests.balancers.route_kube import FakeWatch, RouteKube, ports_with
from tests.signals.fakes import FakeClock
from upgrader.balancers.gateway_api import build as build_gateway_api
from upgrader.balancers.gloo import build as build_gloo
from upgrader.balancers.istio import build as build_istio
from upgrader.errors import ClusterUnreachable, Refused, UpgraderError
from upgrader.model.balancing_routes import GatewayApiBalancer, GlooBalancer, IstioBalancer
from upgrader.model.plugins import Signal
from upgrader.model.ports import Manifest, PatchKind, Ref
from upgrader.testing.contracts.rigs import TrafficRig, Trouble

Entries = Sequence[dict[str, Any]]


def error_of(trouble: Trouble) -> UpgraderError:
    """Return what the adapter raises then; see `upgrader.adapters.kube_answers`."""
    if trouble is Trouble.RIGHTS:
        return Refused("not allowed to patch the route: forbidden", remedy="grant 'patch' on the route")
    said = {Trouble.THROTTLED: "429: slow down", Trouble.DOWN: "503: starting"}.get(trouble, "nothing at all")
    return ClusterUnreachable(f"the API server answered PATCH with {said}", remedy="look at its health")


class TroubledWatch(FakeWatch):
    """A copy that is out of date while the server does not let itself be read."""

    kube: TroubledKube

    def age_seconds(self) -> float:
        return 60.0 if self.kube.read_trouble else 0.0

    def error(self) -> str:
        return str(error_of(self.kube.read_trouble)) if self.kube.read_trouble else ""


class TroubledKube(RouteKube):
    """The API server, which can fail, and lose a write without a word."""

    trouble: Trouble | None = None
    writes_only = lies = False
    writes = 0

    @property
    def read_trouble(self) -> Trouble | None:
        return None if self.writes_only else self.trouble

    def get(self, ref: Ref) -> Manifest | None:
        if self.read_trouble:
            raise error_of(self.read_trouble)
        return super().get(ref)

    def patch(
        self, ref: Ref, body: list[dict[str, Any]], *, kind: PatchKind, dry_run: bool = False
    ) -> Manifest:
        self.writes += 1
        made = {}
        if self.trouble in (None, Trouble.LOST) and not self.lies:
            made = super().patch(ref, body, kind=kind, dry_run=dry_run)
        if self.trouble:
            raise error_of(self.trouble)
        return made

    def watch(self, kinds: Sequence[tuple[str, str]], *, namespace: str) -> FakeWatch:
        return TroubledWatch(self)


class RouteRig(TrafficRig):
    """What the three have in common. A quota is nothing that these calls meet."""

    troubles: ClassVar = {
        Trouble.THROTTLED: "429: slow down",
        Trouble.RIGHTS: "grant 'patch' on the route",
        Trouble.DOWN: "503: starting",
        Trouble.SILENT: "nothing at all",
        Trouble.LOST: "nothing at all",
    }

    def __init__(self, route: Manifest) -> None:
        self.clock: FakeClock = FakeClock()
        self.kube = TroubledKube(route)

    def entries(self) -> Entries:
        """Return blue's entry and green's."""
        raise NotImplementedError

    @property
    def route(self) -> Manifest:
        assert self.kube.route is not None
        return self.kube.route

    def fail(self, trouble: Trouble | None, *, writes_only: bool = False) -> None:
        self.kube.trouble, self.kube.writes_only = trouble, writes_only

    def front_share(self) -> float:
        blue, green = (int(one.get("weight", 0)) for one in self.entries())
        return green / (blue + green)

    def meddle(self, green_ratio: float) -> None:
        for one, share in zip(self.entries(), (1 - green_ratio, green_ratio), strict=True):
            one["weight"] = round(100 * share)

    def lie(self) -> None:
        self.kube.lies = True

    @property
    def writes(self) -> int:
        return self.kube.writes


class GatewayApiRig(RouteRig):
    """An HTTPRoute."""

    def __init__(self) -> None:
        super().__init__(gateway_api.http_route([gateway_api.ref("blue", 1), gateway_api.ref("green", 0)]))

    def make(self) -> Signal:
        settings = GatewayApiBalancer.model_validate(gateway_api.ENTRY).settings
        return build_gateway_api(settings, ports_with(self.kube, self.clock))

    def entries(self) -> Entries:
        return self.route["spec"]["rules"][0]["backendRefs"]  # type: ignore[no-any-return]

    def take_effect(self) -> None:
        generation = self.route["metadata"]["generation"]
        self.route["status"] = {"parents": [gateway_api.accepted(generation=generation)]}


class IstioRig(RouteRig):
    """A VirtualService of Istio's."""

    def __init__(self) -> None:
        places = [istio.to("proxy", 100), istio.to(istio.GREEN, 0)]
        super().__init__(istio.service({"http": [{"route": places}]}))

    def make(self) -> Signal:
        settings = IstioBalancer.model_validate(istio.ENTRY).settings
        return build_istio(settings, ports_with(self.kube, self.clock))

    def entries(self) -> Entries:
        return self.route["spec"]["http"][0]["route"]  # type: ignore[no-any-return]


class GlooRig(RouteRig):
    """A VirtualService of Gloo's."""

    def __init__(self) -> None:
        both = gloo.multi(gloo.kube_ref("blue", 1), gloo.kube_ref("green", 0))
        super().__init__(gloo.virtual_service(both))

    def make(self) -> Signal:
        settings = GlooBalancer.model_validate(gloo.ENTRY).settings
        return build_gloo(settings, ports_with(self.kube, self.clock))

    def entries(self) -> Entries:
        action = self.route["spec"]["virtualHost"]["routes"][0]["routeAction"]
        return action["multi"]["destinations"]  # type: ignore[no-any-return]
