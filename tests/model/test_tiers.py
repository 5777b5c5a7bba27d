"""Several releases as one plan: names, steps, findings, and Deployments that two of them would take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from upgrader.errors import Refused
from upgrader.model.fleet import Fleet, Pod, Side, joined
from upgrader.model.measure import joint, locks_of, tiers_of
from upgrader.model.plugins import Finding, Severity, Survey
from upgrader.model.tiers import findings_of_all, in_one, names, require_apart
from upgrader.model.undo import whole_way_back
from upgrader.strategies.rolling import plan
from upgrader.testing.surveys import SurveyBuilder

MEASURED = {"known_good": 7, "apply_method": "csa", "workloads": [], "jobs": [], "from": "1", "to": "2"}


def survey(name: str, *, namespace: str = "edge") -> Survey:
    builder = SurveyBuilder()
    builder.playbook["releases"][0] |= {"name": name, "namespace": namespace}
    return builder.build()


def test_one_release_has_no_name_and_its_steps_keep_their_ids() -> None:
    one = survey("gateway")

    steps = in_one({0: plan(one, "r")}, names([one]))

    assert steps == plan(one, "r")


def test_steps_say_their_release_and_stand_tier_by_tier() -> None:
    surveys = [survey("inner"), survey("outer")]
    plans = {tier: plan(surveys[tier], "r")[:2] for tier in (1, 0)}

    steps = in_one(plans, names(surveys))

    assert [(step.id, step.tier) for step in steps] == [
        ("outer: freeze", 1),
        ("outer: helm", 1),
        ("inner: freeze", 0),
        ("inner: helm", 0),
    ]


def test_releases_of_one_name_are_told_apart_by_their_namespace() -> None:
    assert names([survey("gateway"), survey("gateway", namespace="inner")]) == (
        "edge/gateway",
        "inner/gateway",
    )


def test_what_is_found_in_every_tier_alike_is_said_once_and_the_gravest_first() -> None:
    common = Finding("nodes", Severity.WARN, "a node is cordoned")
    own = Finding("replicas", Severity.BLOCK, "one replica")

    found = findings_of_all([(common,), (common, own)], ("inner", "outer"))

    assert found == (replace(own, seen="outer: one replica"), common)


def test_a_deployment_of_two_tiers_is_refused_by_name() -> None:
    """The second tier would find its pods new already, and take them for old."""
    with pytest.raises(Refused, match="Deployment edge/control would be upgraded with release inner and"):
        require_apart([survey("inner"), survey("outer")])


def test_one_release_is_never_apart_from_itself() -> None:
    require_apart([survey("inner")])


def test_the_header_of_one_release_is_as_it_ever_was() -> None:
    one = MEASURED | {"release": "edge", "namespace": "gw"}

    assert joint([one]) == one
    assert tiers_of(one) == (one,)


def test_the_way_back_is_the_order_turned_round_and_the_leases_go_last() -> None:
    said = joint([MEASURED | {"release": name, "namespace": name} for name in ("inner", "outer")])

    back = whole_way_back(said)
    of_a_rollback = whole_way_back(said, order=(1, 0))

    assert locks_of(said) == (("inner", "inner"), ("outer", "outer"))
    assert [line.split()[2:5] for line in back if "rollback" in line] == [
        ["outer", "rollback", "outer"],
        ["inner", "rollback", "inner"],
    ]
    assert [line.split()[2] for line in of_a_rollback if "rollback" in line] == ["inner", "outer"]
    assert all("delete lease" in line for line in back[-2:])


def pod(name: str, tier: int) -> Pod:
    return Pod(name, "gw", name, "", "proxy", "proxies", Side.NEW, True, False, 0, "", (), tier=tier)


def test_a_gateway_cut_to_a_tier_keeps_the_pods_of_the_others_apart() -> None:
    whole = joined(Fleet((), (pod("a", 0),)), Fleet((), (pod("b", 1),), error="stale"))

    cut = whole.of_tier(1)

    assert (cut.tier, cut.pods, cut.others, cut.error) == (1, (pod("b", 1),), (pod("a", 0),), "stale")
    assert set(cut.everywhere) == set(whole.pods)
