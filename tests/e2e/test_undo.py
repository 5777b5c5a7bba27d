"""Undo without the tool: what `upgrader status` prints, run by a shell and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.e2e.gateway import NEW, OLD, Gateway, event

pytestmark = pytest.mark.lab


def test_the_printed_commands_alone_bring_the_old_version_back(make_gateways: Callable[..., Gateway]) -> None:
    """The new version brings fields that the old one has not, and they must go too."""
    gateway = make_gateways("undone")
    gateway.write(new={"proxy": {"resources": {"requests": {"cpu": "1m"}}}})
    before = {name: one["spec"] for name, one in gateway.deployments().items()}
    with gateway.start_run() as running:
        gateway.await_record(running, event("applied", "roll proxies 1/2"))
        running.kill()
    assert gateway.deployments()[gateway.proxy]["spec"]["paused"] is True

    commands = json.loads(gateway.call("status", "--output", "json").said)["undo"]
    shell = gateway.room.run(["bash", "-euxc", "\n".join(commands)], timeout_seconds=90, check=False)

    assert shell.returncode == 0, shell.stderr
    assert {name: one["spec"] for name, one in gateway.deployments().items()} == before
    assert gateway.versions() == {"control-plane": {OLD}, "proxy": {OLD}}
    assert gateway.leftovers() == []
    again = gateway.run()
    assert again.code == 0, again.said[-3000:]
    assert gateway.versions() == {"control-plane": {NEW}, "proxy": {NEW}}
    assert gateway.leftovers() == []
