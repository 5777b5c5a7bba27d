"""Taking up a run where it began, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from upgrader import runs
from upgrader.errors import Refused
from upgrader.flags import Flags
from upgrader.model.ports import Ports
from upgrader.model.run import fold
from upgrader.runs import lease_told, require_same_cluster

MEASURED = {"release": "edge", "cluster_uid": "uid-1", "context": "prod"}


class Cluster:
    def __init__(self, uid: str) -> None:
        self._uid = uid

    def cluster_uid(self) -> str:
        return self._uid


def test_a_run_is_taken_up_in_its_own_cluster() -> None:
    require_same_cluster(cast(Any, Cluster("uid-1")), MEASURED)


def test_a_run_is_not_taken_up_in_another_cluster_of_the_same_name() -> None:
    """None of its Deployments is there: each step would find nothing left to do."""
    with pytest.raises(Refused, match="in another cluster") as refused:
        require_same_cluster(cast(Any, Cluster("uid-2")), MEASURED)

    assert "'prod'" in refused.value.remedy


class Files:
    """A Helm with values files."""

    kept = True

    def forget_values(self) -> None:
        self.kept = False


def test_no_values_file_outlives_a_run_not_that_of_the_place_beside_either() -> None:
    """They hold the licence keys and passwords of the release."""
    old, beside = Files(), Files()
    nothing = cast(Any, None)
    ports = Ports(nothing, nothing, cast(Any, old), nothing, nothing, nothing, beside=cast(Any, beside))

    ports.forget_values()

    assert not old.kept
    assert not beside.kept


def test_without_its_cluster_a_run_says_why_its_holder_is_not_known(tmp_path: Path) -> None:
    flags = Flags(tmp_path, kubeconfig=str(tmp_path / "absent"), environ={})

    told = lease_told(flags, fold(runs.recorded()[:60]))

    assert told.startswith(f"not known: cannot use kubeconfig {tmp_path / 'absent'}")


def test_of_a_run_that_is_over_no_cluster_is_asked(tmp_path: Path) -> None:
    """It gave its Lease back; whoever holds one now is another run."""
    flags = Flags(tmp_path, kubeconfig=str(tmp_path / "absent"), environ={})

    assert lease_told(flags, fold(runs.recorded())) == ""
