"""boto3 and our balancer against the lab's imitation of AWS, driven by the real front."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

import pytest

from tests.e2e.dataplane import wait_for
from tests.e2e.front_places import Places, Refusal, require_refused, set_fault
from tests.signals.fakes import fleet, pod
from upgrader.adapters.aws import aws_client
from upgrader.adapters.clock import SystemClock
from upgrader.balancers.aws_target_group import AwsWeightedGroups, build
from upgrader.errors import BalancerUnwilling
from upgrader.lab.clouds.aws import REGION, AwsCloud, Shape
from upgrader.lab.clouds.front_view import BLUE, GREEN, FrontView, Pace, admin
from upgrader.model.fleet import Side
from upgrader.model.ports import Ports
from upgrader.model.reading import Reading

pytestmark = pytest.mark.envoy

DELAY, DRAIN = 0.3, 0.6
PODS = fleet(
    pod("edge-blue", Side.OLD, address=Places.blue), pod("edge-green", Side.NEW, address=Places.green)
)
PLENTY = (10_000, 10_000)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    places = Places(tmp_path_factory.mktemp("front"))
    places.open()
    yield places
    places.close()


@contextmanager
def running(places: Places, shape: Shape) -> Iterator[AwsCloud]:
    view = FrontView(admin(places.admin), pace=Pace(DELAY, DRAIN, look_seconds=0.1))
    cloud = AwsCloud(("127.0.0.1", 0), view, shape=shape)
    view.start()
    cloud.start()
    wait_for(lambda: view.green_ratio == 0 and not view.is_moving)
    yield cloud
    cloud.close()
    view.close()


@pytest.fixture(scope="module")
def shared(places: Places) -> Iterator[AwsCloud]:
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            environment.delenv(name, raising=False)
        environment.setenv("AWS_ACCESS_KEY_ID", "lab")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "lab")
        with running(places, Shape(reads=PLENTY)) as cloud:
            yield cloud


@pytest.fixture
def cloud(shared: AwsCloud) -> Iterator[AwsCloud]:
    """A cloud without a fault, all weight on blue, as the next test finds it again."""
    yield shared
    fault(shared, "")
    if balancer(shared).split().green_ratio != 0:
        boto(shared).modify_rule(RuleArn=shared.names.route, Actions=forward(shared, 999, 0))
        time.sleep(DELAY + 0.3)


def forward(cloud: AwsCloud, blue: int, green: int) -> list[dict[str, Any]]:
    groups = [
        {"TargetGroupArn": cloud.names.groups[name], "Weight": weight}
        for name, weight in ((BLUE, blue), (GREEN, green))
    ]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]


def fault(cloud: AwsCloud, name: str, **more: object) -> None:
    set_fault(cloud.url, name, **more)


def balancer(cloud: AwsCloud) -> AwsWeightedGroups:
    """Return our balancer, one group by its name and one by its ARN."""
    nothing = cast("Any", None)
    world = Ports(
        SystemClock(), nothing, nothing, nothing, sweep=nothing, prober=nothing,
        aws=lambda *what: client(what[2]),
    )  # fmt: skip
    settings = {
        "region": REGION,
        "target_group": "gateways",
        "green": cloud.names.groups[GREEN],
        "listener_rule": cloud.names.route,
        "settle": 0.0,
        "delay": DELAY,
        "endpoint": cloud.url,
    }
    made = build(settings, world)
    assert isinstance(made, AwsWeightedGroups)
    return made


@cache
def client(url: str) -> Any:
    """Return the client as the wiring makes it; to make one takes half a second of a busy machine."""
    return aws_client("elbv2", region=REGION, endpoint=url)


def boto(cloud: AwsCloud) -> Any:
    return client(cloud.url)


def moved(traffic: AwsWeightedGroups, ratio: float) -> None:
    traffic.move(ratio)
    assert traffic.split().green_ratio == ratio
    time.sleep(DELAY + 0.4)


def facts(reading: Reading) -> list[str]:
    """Return the facts but one, which is right: the listener's default action sends to a group as well."""
    return [fact.rule for fact in reading.facts if fact.rule != "traffic-not-moved"]


def try_to_move(cloud: AwsCloud, places: Places) -> None:
    traffic = balancer(cloud)

    reading = traffic.read(PODS)
    moved(traffic, 0.25)
    quarter, again = places.answered(500), traffic.read(PODS).values["green_ratio"]
    moved(traffic, 1)
    whole = places.answered(100)
    moved(traffic, 0)

    assert (reading.error, facts(reading)) == ("", [])
    assert reading.values == {
        "old_healthy": 1, "old_total": 1, "new_healthy": 1, "new_total": 1, "green_ratio": 0
    }  # fmt: skip
    assert again == 0.25
    assert 80 < quarter["green"] < 170
    assert whole == {"green": 100}
    assert places.answered(100) == {"blue": 100}


def test_a_rule_moves_real_traffic_and_is_read_back(cloud: AwsCloud, places: Places) -> None:
    try_to_move(cloud, places)


def test_traffic_follows_only_after_the_delay(cloud: AwsCloud, places: Places) -> None:
    traffic = balancer(cloud)

    traffic.move(1)
    at_once = places.answered(20)
    time.sleep(DELAY + 0.4)

    assert (at_once, places.answered(20)) == ({"blue": 20}, {"green": 20})


def test_health_is_what_the_fronts_checks_find(cloud: AwsCloud, places: Places) -> None:
    traffic = balancer(cloud)
    moved(traffic, 0.5)

    places.fail("green")
    try:
        wait_for(lambda: traffic.read(PODS).values["new_healthy"] == 0)
        for _ in range(2):
            reading = traffic.read(PODS)
    finally:
        places.fail("green", fails=False)
    wait_for(lambda: traffic.read(PODS).values["new_healthy"] == 1)

    assert facts(reading) == ["no-healthy-new-backend", "balancer-fails-open", "target-words"]
    assert "unhealthy (Target.FailedHealthChecks): the front calls it failed" in reading.facts[2].text
    assert facts(traffic.read(PODS)) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("throttle", "AWS throttled elasticloadbalancing:"),
        ("quota", "AWS refused elasticloadbalancing:"),
        ("rights", "AWS denied elasticloadbalancing:"),
        ("error", "AWS has trouble of its own with elasticloadbalancing:"),
        ("hang", "AWS did not answer elasticloadbalancing:"),
    ],
)
def test_each_refusal_is_an_error_that_says_which(cloud: AwsCloud, name: str, words: str) -> None:
    """Read, read back and move: each says so within its time, and none is ever a fact or a value."""
    require_refused(balancer(cloud), PODS, Refusal(cloud.url, name, words), within_seconds=3)


def test_a_right_that_is_missing_is_named(cloud: AwsCloud) -> None:
    traffic = balancer(cloud)
    fault(cloud, "rights", on="write")

    with pytest.raises(BalancerUnwilling) as refused:
        traffic.move(0.5)

    assert refused.value.remedy == "allow the IAM action elasticloadbalancing:ModifyRule"
    assert "arn:aws:iam::123456789012:user/lab is not authorized" in refused.value.what


def test_a_write_that_hangs_is_sent_once_and_found_out(cloud: AwsCloud) -> None:
    traffic = balancer(cloud)
    traffic.split()
    fault(cloud, "hang", on="write", seconds=3)
    before = cloud.calls["write"]

    with pytest.raises(BalancerUnwilling, match=r"did not answer .*ModifyRule in time"):
        traffic.move(0.5)

    time.sleep(0.5)
    assert cloud.calls["write"] == before + 1
    assert traffic.split().green_ratio == 0


def test_an_unknown_state_is_never_healthy_and_holds(cloud: AwsCloud) -> None:
    traffic = balancer(cloud)
    fault(cloud, "unknown")

    for _ in range(3):
        reading = traffic.read(PODS)

    assert (reading.values["new_healthy"], reading.values["old_healthy"]) == (0, 0)
    assert facts(reading) == ["backend-unknown", "target-words", "target-words"]


def test_a_lie_is_seen_in_the_traffic_alone(cloud: AwsCloud, places: Places) -> None:
    """The API tells the new weights; only requests tell the truth. It is for the step to compare both."""
    traffic = balancer(cloud)
    fault(cloud, "lie")
    moved(traffic, 1)

    assert traffic.split().green_ratio == 1
    assert places.answered(100) == {"blue": 100}


def test_a_lag_is_longer_than_the_stated_delay(cloud: AwsCloud, places: Places) -> None:
    """It comes into force in ten minutes: after all tests that share this front."""
    traffic = balancer(cloud)
    fault(cloud, "lag", seconds=600)
    moved(traffic, 1)

    assert places.answered(100) == {"blue": 100}


def test_a_group_that_nobody_uses_is_not_in_use(cloud: AwsCloud) -> None:
    blue = {"Type": "forward", "TargetGroupArn": cloud.names.groups[BLUE]}
    boto(cloud).modify_rule(RuleArn=cloud.names.route, Actions=[blue])

    reading = balancer(cloud).read(PODS)

    assert "split-unknown" in facts(reading)
    assert "unused (Target.NotInUse)" in next(one.text for one in reading.facts if one.rule == "target-words")


def test_a_listener_of_a_network_balancer_moves_real_traffic(shared: AwsCloud, places: Places) -> None:
    """Another cloud in the same process takes the first one's place: this comes after all who need that."""
    with running(places, Shape("network", reads=PLENTY)) as cloud:
        try_to_move(cloud, places)

    assert ":listener/" in cloud.names.route
    assert cloud.names.groups == shared.names.groups, "a playbook could not name them"
    assert "AWS was not reached for elasticloadbalancing:" in balancer(cloud).read(PODS).error


def test_a_new_target_is_waited_for_and_one_that_left_drains(shared: AwsCloud, places: Places) -> None:
    def states() -> list[str]:
        found = elb.describe_target_health(TargetGroupArn=blue)["TargetHealthDescriptions"]
        return [one["TargetHealth"]["State"] for one in found if one["Target"]["Id"] == Places.blue]

    with running(places, Shape(registration_seconds=0.5, reads=PLENTY)) as cloud:
        elb, blue = boto(cloud), cloud.names.groups[BLUE]
        first = states()
        wait_for(lambda: states() == ["healthy"], seconds=5)
        places.list_blue()
        try:
            wait_for(lambda: states() == ["draining"], seconds=5)
            wait_for(lambda: states() == [], seconds=5)
            gone = elb.describe_target_health(TargetGroupArn=blue, Targets=[{"Id": Places.blue}])
        finally:
            places.list_blue(Places.blue)

    assert first == ["initial"]
    assert gone["TargetHealthDescriptions"][0]["TargetHealth"]["Reason"] == "Target.NotRegistered"
