"""Every balancer that ships with us passes the contract that third parties run."""

from __future__ import annotations

import pkgutil

import upgrader.balancers
from tests.balancers.rig_aws_target_group import AwsTargetGroupRig
from tests.balancers.rig_azure import ApplicationGatewayRig, FrontDoorRig, LoadBalancerRig
from tests.balancers.rig_envoy import EnvoyRig
from tests.balancers.rig_gcp_neg import GcpNegRig
from tests.balancers.rig_haproxy import HaproxyRig
from tests.balancers.rig_routes import GatewayApiRig, GlooRig, IstioRig
from upgrader.model.balancing import BALANCERS
from upgrader.testing.contracts.balancers import BalancerContract, HealthContract, TrafficContract
from upgrader.testing.contracts.signals import SignalContract


class TestEnvoy(BalancerContract):
    def make_rig(self) -> EnvoyRig:
        return EnvoyRig()


class TestHaproxy(BalancerContract):
    def make_rig(self) -> HaproxyRig:
        return HaproxyRig()


class TestGcpNeg(BalancerContract):
    def make_rig(self) -> GcpNegRig:
        return GcpNegRig()


class TestAwsTargetGroup(BalancerContract):
    def make_rig(self) -> AwsTargetGroupRig:
        return AwsTargetGroupRig()


class TestGatewayApi(TrafficContract):
    def make_rig(self) -> GatewayApiRig:
        return GatewayApiRig()


class TestIstio(TrafficContract):
    def make_rig(self) -> IstioRig:
        return IstioRig()


class TestGloo(TrafficContract):
    def make_rig(self) -> GlooRig:
        return GlooRig()


class TestAzureApplicationGateway(HealthContract):
    def make_rig(self) -> ApplicationGatewayRig:
        return ApplicationGatewayRig()


class TestAzureLoadBalancer(HealthContract):
    def make_rig(self) -> LoadBalancerRig:
        return LoadBalancerRig()


class TestAzureFrontDoor(TrafficContract):
    def make_rig(self) -> FrontDoorRig:
        return FrontDoorRig()


def test_every_balancer_that_ships_is_held_to_its_contract() -> None:
    """One without a rig fails here."""
    ships = {one.name for one in pkgutil.iter_modules(upgrader.balancers.__path__)}

    own = [one for one in globals().values() if getattr(one, "__module__", "") == __name__]
    contracts = [one for one in own if isinstance(one, type) and issubclass(one, SignalContract)]
    tried = {one().make_rig().make().name.split()[0] for one in contracts}

    assert tried == ships == {*BALANCERS}
