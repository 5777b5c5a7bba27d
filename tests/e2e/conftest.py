"""One room for all tests that only need a cluster: each has a namespace of its own in it."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.rehearsing import Operator
from upgrader.lab.room import Room

KEPT_ROOM = "UPGRADER_TEST_ROOM"
"""Names a room that is up already, for work on a test; it is not taken down."""


@pytest.fixture(scope="session")
def shared_room() -> Iterator[Room]:
    """A room with one node, up for the session."""
    if kept := os.environ.get(KEPT_ROOM):
        yield Room.find(kept)
        return
    with Room.up(f"e2e-{uuid.uuid4().hex[:8]}") as room:
        yield room


@pytest.fixture(scope="module")
def make_gateways(
    shared_room: Room, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Gateway]]:
    """Make demo gateways, each in a namespace of its own; the namespaces go after the module's tests."""
    made: list[Gateway] = []

    def make(name: str, *, key: str = "a-key", **values: object) -> Gateway:
        gateway = Gateway(
            shared_room, f"{name}-{uuid.uuid4().hex[:4]}", tmp_path_factory.mktemp(name), key=key
        )
        made.append(gateway)
        gateway.install(**values)
        return gateway

    yield make
    for gateway in made:
        shared_room.run(["kubectl", "delete", "namespace", gateway.name, "--wait=false"])


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    made = Operator(tmp_path)
    yield made
    for pid in made.processes():
        os.kill(pid, signal.SIGKILL)
