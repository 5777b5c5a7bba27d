"""The Leases of a run over several releases: all of them or none."""

from __future__ import annotations

from typing import cast

import pytest

from tests.adapters.lease_cluster import LeaseCluster
from upgrader.adapters.lease import Identity, Processes, ReleaseLease
from upgrader.adapters.leases import ReleaseLeases
from upgrader.errors import Locked
from upgrader.model.ports import Kube
from upgrader.testing.fakes import FakeClock

OURS, THEIRS = Identity("alpha", "boot-1", 100, 5000), Identity("beta", "boot-2", 200, 6000)


class Machine(Processes):
    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def ours(self) -> Identity:
        return self._identity


class Pair:
    """Two releases, each with its Lease in a cluster, and the processes that want them."""

    def __init__(self) -> None:
        self.inner, self.outer = LeaseCluster(), LeaseCluster()
        self.clock = FakeClock()

    def one(self, cluster: LeaseCluster, identity: Identity) -> ReleaseLease:
        kube, machine = cast(Kube, cluster), Machine(identity)
        name = "inner" if cluster is self.inner else "outer"
        return ReleaseLease(kube, self.clock, namespace="gw", release=name, processes=machine)

    def both(self, identity: Identity = OURS) -> ReleaseLeases:
        return ReleaseLeases([self.one(self.inner, identity), self.one(self.outer, identity)])

    @property
    def held(self) -> tuple[bool, bool]:
        return self.inner.lease is not None, self.outer.lease is not None


@pytest.mark.parametrize("name", ["inner", "outer"])
def test_a_run_that_holds_any_of_the_releases_keeps_another_out(name: str) -> None:
    """Nothing of the other one is held afterwards."""
    pair = Pair()
    pair.one(getattr(pair, name), THEIRS).acquire("theirs")
    before = pair.held

    for take in (pair.both().acquire, pair.both().require_free):
        with pytest.raises(Locked, match=f"release {name} is held by run theirs"):
            take("ours")

    assert pair.held == before


def test_all_are_held_renewed_and_given_back() -> None:
    pair = Pair()
    leases = pair.both()

    leases.acquire("ours")
    held = pair.held
    pair.clock.sleep(6.0)
    leases.renew()
    writes = pair.inner.writes, pair.outer.writes
    leases.release()

    assert (held, writes, pair.held) == ((True, True), (2, 2), (False, False))


def test_a_lease_that_was_lost_ends_the_run_whichever_it_is() -> None:
    pair = Pair()
    leases = pair.both()
    leases.acquire("ours")
    pair.outer.lease = None
    pair.clock.sleep(6.0)

    with pytest.raises(Locked, match="is not ours any more"):
        leases.renew()


def test_a_run_that_cannot_be_taken_up_keeps_what_it_held() -> None:
    """Somebody else must not begin on the half of an unfinished run."""
    pair = Pair()
    pair.one(pair.inner, OURS).acquire("ours")
    pair.one(pair.outer, THEIRS).acquire("theirs")

    with pytest.raises(Locked, match="release outer"):
        pair.both().acquire("ours", resume=True)

    assert pair.held == (True, True)


def test_an_abort_reaches_the_run_and_who_holds_all_is_said_once() -> None:
    pair = Pair()
    leases = pair.both()
    leases.acquire("ours")

    pair.both(THEIRS).request_abort("CHG-7 is cancelled")
    pair.clock.sleep(6.0)
    leases.renew()

    assert leases.abort_requested() == "CHG-7 is cancelled"
    assert leases.told().count("run ours") <= 2
