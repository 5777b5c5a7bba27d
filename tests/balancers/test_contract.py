"""Every balancer that ships with us passes the contract that third parties run."""

from __future__ import annotations

from tests.balancers.rig_aws_target_group import AwsTargetGroupRig
from tests.balancers.rig_envoy import EnvoyRig
from tests.balancers.rig_gcp_neg import GcpNegRig
from upgrader.testing.contracts.balancers import BalancerContract


class TestEnvoy(BalancerContract):
    def make_rig(self) -> EnvoyRig:
        return EnvoyRig()


class TestGcpNeg(BalancerContract):
    def make_rig(self) -> GcpNegRig:
        return GcpNegRig()


class TestAwsTargetGroup(BalancerContract):
    def make_rig(self) -> AwsTargetGroupRig:
        return AwsTargetGroupRig()
