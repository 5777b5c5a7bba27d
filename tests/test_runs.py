"""Taking up a run where it began, and nowhere else."""

from __future__ import annotations

from typing import Any, cast

import pytest

from upgrader.errors import Refused
from upgrader.runs import require_same_cluster

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
