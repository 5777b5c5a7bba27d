"""The Lease: one run at a time, an unfinished one for ever, no trust in other machines' clocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.adapters.lease_cluster import LeaseCluster
from upgrader.adapters.lease import Holder, Identity, Processes, ReleaseLease
from upgrader.errors import ClusterConflict, Locked, Refused
from upgrader.model.ports import Kube
from upgrader.testing.fakes import FakeClock

HERE = Identity("alpha", "boot-1", 100, 5000)
NEIGHBOUR = Identity("alpha", "boot-1", 200, 6000)
ELSEWHERE = Identity("beta", "boot-2", 100, 5000)


class Machine(Processes):
    """A machine on which we are one process, and every other one lives or none."""

    def __init__(self, identity: Identity, living: Collection[Identity]) -> None:
        self._identity = identity
        self._living = living

    def ours(self) -> Identity:
        return self._identity

    def alive(self, process: Identity) -> bool:
        return process in self._living


def lease(
    cluster: LeaseCluster, clock: FakeClock, identity: Identity = HERE, *, alive: bool = True
) -> ReleaseLease:
    machine = Machine(identity, (HERE, NEIGHBOUR) if alive else ())
    return ReleaseLease(cast(Kube, cluster), clock, namespace="gw", release="edge", processes=machine)


class BusyClock(FakeClock):
    """A clock during whose every wait something happens."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__()
        self._happens = happens

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._happens()


def spec(cluster: LeaseCluster) -> dict[str, Any]:
    assert cluster.lease is not None
    return cast(dict[str, Any], cluster.lease["spec"])


def test_a_free_lease_is_taken_and_names_its_run() -> None:
    cluster = LeaseCluster()

    lease(cluster, FakeClock(1_700_000_000.5)).acquire("r-1")

    assert cluster.lease is not None
    assert cluster.lease["metadata"]["name"] == "upgrader-edge"
    assert spec(cluster)["holderIdentity"] == "r-1"
    assert spec(cluster)["leaseDurationSeconds"] == 30
    assert spec(cluster)["renewTime"] == "2023-11-14T22:13:20.500000Z"
    assert Holder.of(cluster.lease) == Holder("r-1", HERE, "2023-11-14T22:13:20.500000Z", True, "")


def test_the_same_process_may_take_it_again() -> None:
    """A run begins with one object and goes on with another."""
    cluster, clock = LeaseCluster(), FakeClock()
    lease(cluster, clock).acquire("r-1")
    before = clock.monotonic()

    lease(cluster, clock).acquire("r-1", resume=True)

    assert clock.monotonic() == before


def test_who_only_looks_is_refused_alike_and_takes_nothing() -> None:
    """An unfinished run would fail many checks of the next: that it is there is what must be said."""
    free, held = LeaseCluster(), LeaseCluster()
    lease(held, FakeClock(), NEIGHBOUR).acquire("r-1")

    lease(free, FakeClock()).require_free("r-2")
    with pytest.raises(Locked, match="run r-1"):
        lease(held, FakeClock()).require_free("r-2")

    assert free.lease is None


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("hours", [0, 48])
def test_an_unfinished_run_refuses_the_next_however_old(resume: bool, hours: int) -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    lease(cluster, clock, ELSEWHERE).acquire("r-1")
    clock.sleep(hours * 3600)

    with pytest.raises(Locked) as locked:
        lease(cluster, clock).acquire("r-2", resume=resume)

    assert "run r-1, process 100 on beta" in locked.value.what
    assert "upgrader resume r-1" in locked.value.remedy
    assert "kubectl delete lease -n gw upgrader-edge" in locked.value.remedy


@pytest.mark.parametrize(("alive", "words"), [(True, "is running"), (False, "left unfinished")])
def test_on_one_machine_it_is_known_whether_the_holder_lives(alive: bool, words: str) -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    lease(cluster, clock, NEIGHBOUR).acquire("r-1")

    with pytest.raises(Locked, match=words):
        lease(cluster, clock, alive=alive).acquire("r-2")


def test_a_run_whose_process_is_gone_is_resumed_at_once() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    lease(cluster, clock, NEIGHBOUR).acquire("r-1")
    before = clock.monotonic()

    lease(cluster, clock, alive=False).acquire("r-1", resume=True)

    assert clock.monotonic() == before
    assert cluster.lease is not None
    assert Holder.of(cluster.lease).process == HERE
    assert spec(cluster)["leaseTransitions"] == 1


def test_a_run_whose_process_lives_is_not_resumed() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    lease(cluster, clock, NEIGHBOUR).acquire("r-1")

    with pytest.raises(Locked, match="is running"):
        lease(cluster, clock, alive=True).acquire("r-1", resume=True)


def test_a_run_is_not_begun_twice() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    lease(cluster, clock, NEIGHBOUR).acquire("r-1")

    with pytest.raises(Locked):
        lease(cluster, clock, alive=False).acquire("r-1")


def test_a_run_of_another_machine_is_resumed_after_a_whole_lease_of_silence() -> None:
    """Its renewTime says nothing to us: its clock may be hours off."""
    cluster, clock = LeaseCluster(), FakeClock()
    lease(cluster, FakeClock(9e9), ELSEWHERE).acquire("r-1")
    before = clock.monotonic()

    lease(cluster, clock).acquire("r-1", resume=True)

    assert 30 <= clock.monotonic() - before <= 32


def test_a_run_of_another_machine_that_still_renews_is_not_resumed() -> None:
    cluster, theirs = LeaseCluster(), FakeClock()
    other = lease(cluster, theirs, ELSEWHERE)
    other.acquire("r-1")

    def they_renew() -> None:
        theirs.sleep(1)
        other.renew()

    clock = BusyClock(they_renew)
    before = clock.monotonic()

    with pytest.raises(Locked, match="is running"):
        lease(cluster, clock).acquire("r-1", resume=True)

    assert clock.monotonic() - before <= 6


def test_of_two_who_want_a_free_lease_one_gets_it() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    cluster.before_write = lambda: lease(cluster, clock, ELSEWHERE).acquire("r-1")

    with pytest.raises(Locked, match="r-1"):
        lease(cluster, clock).acquire("r-2")


def test_of_two_who_resume_one_gets_it() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    lease(cluster, clock, Identity("alpha", "boot-1", 300, 1)).acquire("r-1")
    cluster.before_write = lambda: lease(cluster, clock, NEIGHBOUR, alive=False).acquire("r-1", resume=True)

    ours = lease(cluster, clock)
    with pytest.raises(Locked, match="process 200"):
        ours.acquire("r-1", resume=True)


def test_renewing_each_second_writes_every_five() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    ours = lease(cluster, clock)
    ours.acquire("r-1")
    before = cluster.writes

    for _ in range(60):
        clock.sleep(1)
        ours.renew()

    assert cluster.writes - before == 12


def test_a_request_to_abort_reaches_the_run() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    ours = lease(cluster, clock)
    ours.acquire("r-1")
    quiet = ours.abort_requested()

    lease(cluster, clock, ELSEWHERE).request_abort("CHG-7 is cancelled")
    clock.sleep(5)
    ours.renew()

    assert quiet == ""
    assert ours.abort_requested() == "CHG-7 is cancelled"
    before = cluster.writes
    ours.renew()
    assert cluster.writes == before + 1


def test_a_request_to_abort_waits_for_the_one_who_resumes() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    lease(cluster, clock, NEIGHBOUR).acquire("r-1")
    lease(cluster, clock, ELSEWHERE).request_abort("")

    ours = lease(cluster, clock, alive=False)
    ours.acquire("r-1", resume=True)

    assert ours.abort_requested() == "asked by the operator"


def test_nobody_can_be_asked_to_abort_where_no_run_is() -> None:
    with pytest.raises(Refused, match="no run of release edge"):
        lease(LeaseCluster(), FakeClock()).request_abort("why")


@pytest.mark.parametrize("loss", ["deleted", "taken"])
def test_a_lost_lease_is_noticed(loss: str) -> None:
    """Fencing: the run was taken up elsewhere while we could not reach the API server."""
    cluster, clock = LeaseCluster(), FakeClock()
    ours = lease(cluster, clock)
    ours.acquire("r-1")
    clock.sleep(60)
    if loss == "deleted":
        cluster.lease = None
    else:
        lease(cluster, FakeClock(), NEIGHBOUR, alive=False).acquire("r-1", resume=True)

    with pytest.raises(Locked, match="not ours any more"):
        ours.renew()
    with pytest.raises(Locked):
        ours.renew()
    ours.release()

    assert (cluster.lease is None) == (loss == "deleted")


def test_releasing_deletes_it() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    ours = lease(cluster, clock)
    ours.acquire("r-1")

    ours.release()
    ours.release()

    assert cluster.lease is None
    lease(cluster, clock, ELSEWHERE).acquire("r-2")


def test_releasing_looks_again_where_somebody_wrote_meanwhile() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    ours = lease(cluster, clock)
    ours.acquire("r-1")
    cluster.before_write = lambda: lease(cluster, clock, ELSEWHERE).request_abort("late")

    ours.release()

    assert cluster.lease is None


def test_a_lease_that_changes_all_the_time_is_given_up() -> None:
    class Restless(LeaseCluster):
        def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
            raise ClusterConflict("already exists")

    with pytest.raises(Locked, match="3 times"):
        lease(Restless(), FakeClock()).acquire("r-1")


def test_we_know_ourselves() -> None:
    processes = Processes()

    ours = processes.ours()

    assert ours == processes.ours()
    assert ours.pid == os.getpid()
    assert processes.alive(ours)
    assert not processes.alive(replace(ours, started=ours.started + 1))


def test_a_lease_that_was_left_by_nobody_we_know_is_taken_when_it_expires() -> None:
    cluster, clock = LeaseCluster(), FakeClock()
    strange = {"holderIdentity": "somebody", "leaseDurationSeconds": 15, "renewTime": "x"}
    cluster.create({"metadata": {"name": "upgrader-edge"}, "spec": strange})
    before = clock.monotonic()

    lease(cluster, clock).acquire("r-1")

    assert 15 <= clock.monotonic() - before <= 17
    assert cluster.lease is not None
    assert Holder.of(cluster.lease).run == "r-1"


@pytest.mark.parametrize(
    ("asker", "alive", "words"),
    [
        (NEIGHBOUR, True, "run r-1, process 100 on alpha, and is running"),
        (NEIGHBOUR, False, "run r-1, process 100 on alpha, whose process is gone, so it was left unfinished"),
        (
            ELSEWHERE,
            True,
            "run r-1, process 100 on alpha, and renewed it last at 2023-11-14T22:13:20.500000Z by its own "
            "clock",
        ),
    ],
    ids=["living", "gone", "of another machine"],
)
def test_who_holds_it_is_told_as_far_as_it_can_be_seen(asker: Identity, alive: bool, words: str) -> None:
    cluster, clock = LeaseCluster(), FakeClock(1_700_000_000.5)
    lease(cluster, clock).acquire("r-1")

    looked = lease(cluster, clock, asker, alive=alive)

    assert looked.told() == words
    assert cluster.writes == 1
    looked.request_abort("too slow")
    assert looked.told() == f"{words}; asked to go back: too slow"


def test_that_nobody_holds_it_is_told() -> None:
    assert lease(LeaseCluster(), FakeClock()).told() == "nobody holds it"
