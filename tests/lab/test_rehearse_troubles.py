"""A cloud's API in trouble during a rehearsal: when it begins and ends, what it meets, what is told of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from ruamel.yaml import YAML

from tests.lab.test_rehearse_drills import FIRST, Script
from tests.lab.test_rehearse_outcome import WELL, with_clients
from upgrader.errors import ExitCode, Refused
from upgrader.lab.clouds.front_view import BLUE, GREEN, Fault, Faults
from upgrader.lab.rehearse.acts import ApiTrouble
from upgrader.lab.rehearse.command import exit_code
from upgrader.lab.rehearse.drills import DRILLS, drill_of
from upgrader.lab.rehearse.fronts import CloudFront
from upgrader.lab.rehearse.outcome import Outcome
from upgrader.lab.rehearse.troubles import Met, Trouble, met, require_trouble
from upgrader.lab.traffic.kinds import Kind
from upgrader.model.playbook import Playbook

TROUBLES = {name: drill.trouble for name, drill in DRILLS.items() if drill.trouble}
THROTTLED, FORBIDDEN = TROUBLES["balancer-throttled"], TROUBLES["balancer-forbidden"]
BOOKS = Path(__file__).parents[2] / "playbooks"
CLOUDS = {
    "gcp": {"kind": "gcp_neg", "project": "p", "backend_service": "a", "green": "b", "url_map": "m"},
    "azure": {
        "kind": "azure",
        "service": "front_door",
        "subscription": "00000000-0000-0000-0000-000000000000",
        "resource_group": "lab",
        "name": "lab",
        "origin_group": "gateways",
        "origin": "blue",
        "green": "green",
    },
}


@dataclass
class Cloud:
    """A cloud that counts what it is told, and whose fault meets each second question."""

    told: list[dict[str, Any]] = field(default_factory=list)
    sent_now: Counter[str] = field(default_factory=Counter)
    met_now: Counter[str] = field(default_factory=Counter)

    def trouble(self, body: str) -> None:
        Faults().read(body.encode())  # the cloud understands it
        self.told.append(json.loads(body))

    def sent(self) -> dict[str, int]:
        return dict(self.sent_now)

    def met(self) -> dict[str, int]:
        return dict(self.met_now)


def act(trouble: Trouble) -> tuple[ApiTrouble, Cloud]:
    cloud = Cloud()
    return ApiTrouble(cast(CloudFront, cloud), trouble), cloud


def canary(cloud: str, **changes: Any) -> Playbook:
    written = YAML(typ="safe").load(BOOKS / "demo-canary.yaml")
    lab = {"cloud": cloud} if cloud else {}
    balancers = [CLOUDS[cloud]] if cloud else written["balancers"]
    return Playbook.model_validate(written | {"balancers": balancers, "lab": lab} | changes)


def test_a_trouble_that_passes_begins_in_the_first_gate_and_ends_in_time(tmp_path: Path) -> None:
    script = Script(tmp_path)
    one, cloud = act(THROTTLED)

    script.begin(FIRST)
    early = one.look(script.journal, 0.0)
    script.finish(FIRST)
    said = [one.look(script.journal, at) for at in (1.0, 20.0, 21.0, 22.0)]
    one.undo()

    assert early == ""
    assert said[0] == "the balancer's API is in trouble now, for 20 s: throttle"
    assert said[1:] == ["", "the balancer's API is well again", ""]
    assert [one.get("fault") for one in cloud.told] == ["throttle", None]


def test_a_trouble_that_stays_lasts_until_the_run_is_over(tmp_path: Path) -> None:
    script = Script(tmp_path)
    one, cloud = act(FORBIDDEN)
    script.finish(FIRST)

    for at in (1.0, 100.0):
        one.look(script.journal, at)
    lasting = len(cloud.told)
    one.undo()

    assert (lasting, cloud.told[-1]) == (1, {})


def test_only_a_trouble_that_met_the_run_has_come(tmp_path: Path) -> None:
    """What a fault that nobody noticed proves is nothing."""
    script = Script(tmp_path)
    script.finish(FIRST)
    outcomes = []
    for count in (0, 3):
        one, cloud = act(FORBIDDEN)
        one.look(script.journal, 1.0)
        cloud.met_now[Fault.RIGHTS] = count
        one.undo()
        outcomes.append(one.has_come)

    assert outcomes == [False, True]


def test_a_run_that_ended_before_its_moment_puts_nobody_into_trouble(tmp_path: Path) -> None:
    script = Script(tmp_path)
    one, cloud = act(FORBIDDEN)

    script.begin(FIRST)
    one.look(script.journal, 1.0)
    one.undo()

    assert (cloud.told, one.met, one.has_come) == ([], None, False)


def test_the_share_is_counted_from_when_the_trouble_began(tmp_path: Path) -> None:
    script = Script(tmp_path)
    one, cloud = act(FORBIDDEN)
    script.finish(FIRST)
    cloud.sent_now.update({BLUE: 5000, GREEN: 50})
    one.look(script.journal, 1.0)
    cloud.sent_now.update({BLUE: 670, GREEN: 330})

    one.undo()

    assert one.met == Met(0, 0.33, 330, 1000)


@pytest.mark.parametrize(
    ("new", "requests", "set_ratio", "stayed"),
    [
        (1_000, 10_000, 0.1, True),
        (1_140, 10_000, 0.1, True),
        (1_200, 10_000, 0.1, False),
        (0, 10_000, 0.1, False),
        (10_000, 10_000, 0.1, False),
        (3, 500, 0.01, True),
        (0, 10_000, 0.0, True),
        (3, 10_000, 0.0, False),
        (0, 0, 0.1, True),
    ],
)
def test_a_share_that_moved_is_told_from_chance(
    new: int, requests: int, set_ratio: float, stayed: bool
) -> None:
    told = met({}, {GREEN: new, BLUE: requests - new}, count=1, set_ratio=set_ratio)

    assert told.has_stayed is stayed
    assert told.to_json()["share_stayed"] is stayed


def ended(fault: str, code: ExitCode, told: Met | None, failed: int = 0) -> Outcome:
    clients = {Kind.HTTP1: WELL | {"failed": failed}}
    made = with_clients(clients, fault, code)
    return replace(made, met=told, drill=drill_of(fault, exclude=0.2))


@pytest.mark.parametrize(
    ("made", "code", "word"),
    [
        (ended("balancer-lies", ExitCode.PAUSED, Met(2, 0.1, 100, 1000)), ExitCode.PAUSED, "as it must be"),
        (ended("balancer-lies", ExitCode.PAUSED, Met(2, 0.1, 600, 1000)), ExitCode.BUG, "TRAFFIC WAS MOVED"),
        (ended("balancer-lies", ExitCode.PAUSED, Met(2, 0.1, 0, 1000)), ExitCode.BUG, "TRAFFIC WAS MOVED"),
        (
            ended("balancer-lags", ExitCode.COMPLETED, Met(2, 0.1, 600, 1000)),
            ExitCode.COMPLETED,
            "as it must",
        ),
        (ended("balancer-lies", ExitCode.PAUSED, Met(2, 0.1, 100, 1000), 1), ExitCode.BUG, "1 WERE LOST"),
    ],
    ids=["stayed", "went on", "went back", "goes on when it passed", "lost one"],
)
def test_a_run_that_pauses_must_leave_traffic_where_it_was(made: Outcome, code: ExitCode, word: str) -> None:
    assert exit_code([made]) == code
    assert word in made.lines()[-1]
    assert any("the fault met 2 calls" in line for line in made.lines())


@pytest.mark.parametrize("name", TROUBLES)
def test_a_trouble_needs_a_cloud_that_a_canary_may_meet(name: str) -> None:
    with pytest.raises(Refused, match=r"lab\.cloud"):
        require_trouble(name, TROUBLES[name], canary(""))

    require_trouble(name, TROUBLES[name], canary("gcp"))


def test_front_door_has_no_health_that_could_be_strange() -> None:
    with pytest.raises(Refused, match="application_gateway"):
        require_trouble("balancer-unknown-state", TROUBLES["balancer-unknown-state"], canary("azure"))


@pytest.mark.parametrize("name", ["balancer-quota", "balancer-lies", "balancer-lags"])
def test_where_nothing_moves_traffic_no_move_gets_into_trouble(name: str) -> None:
    written = YAML(typ="safe").load(BOOKS / "demo.yaml")
    health = {key: value for key, value in CLOUDS["gcp"].items() if key not in ("green", "url_map")}
    rolling = Playbook.model_validate(written | {"balancers": [health], "lab": {"cloud": "gcp"}})

    with pytest.raises(Refused, match="the strategy rolling makes none"):
        require_trouble(name, TROUBLES[name], rolling)
    require_trouble("balancer-forbidden", FORBIDDEN, rolling)
