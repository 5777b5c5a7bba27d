from __future__ import annotations

from dataclasses import replace

from tests.signals.fakes import pod
from upgrader.model.config_health import ConfigHealth
from upgrader.model.fleet import Pod, Side
from upgrader.model.proxy_stats import ProxyStats
from upgrader.model.reading import Weight

WELL = ProxyStats(
    counters={},
    uptime_seconds=5000,
    rejected={},
    accepted={"cluster_manager.cds": 4},
    listeners=2,
    clusters=40,
    is_connected=True,
)
OLD = pod("old-1")
NEW = pod("new-1", Side.NEW)


def after(one: Pod, *said: ProxyStats) -> tuple[ConfigHealth, int]:
    """Look once a second, and return what is known and when the last look was."""
    health = ConfigHealth()
    for second, stats in enumerate(said):
        aged = replace(stats, uptime_seconds=stats.uptime_seconds + second)
        health = health.look({one.uid: aged}, exists=[one.uid], now=second)
    return health, len(said) - 1


def rules(one: Pod, *said: ProxyStats) -> dict[str, Weight]:
    health, now = after(one, *said)
    return {fact.rule: fact.weight for fact in health.facts([one], now=now)}


def test_an_old_proxy_that_begins_to_refuse_its_configuration_is_a_breach() -> None:
    refusing = replace(WELL, rejected={"cluster_manager.cds": 1})

    health, now = after(OLD, WELL, refusing)
    facts = health.facts([OLD], now=now)

    assert [(fact.rule, fact.weight) for fact in facts] == [("xds-rejected", Weight.BREACH)]
    assert "cluster_manager.cds.update_rejected 0 → 1" in facts[0].text
    assert "old-1" in facts[0].text


def test_a_proxy_that_refused_long_before_says_nothing_until_it_refuses_again() -> None:
    before = replace(WELL, rejected={"cluster_manager.cds": 3})
    again = replace(WELL, rejected={"cluster_manager.cds": 4})

    assert rules(OLD, before, before) == {}
    assert rules(OLD, before, again) == {"xds-rejected-as-before": Weight.HOLD}


def test_a_new_proxy_that_refuses_holds() -> None:
    assert rules(NEW, WELL, replace(WELL, rejected={"listener_manager.lds": 1})) == {
        "xds-rejected-new": Weight.HOLD
    }


def test_a_refusal_stands_until_an_update_of_the_same_kind_is_taken() -> None:
    refusing = replace(WELL, rejected={"cluster_manager.cds": 1})
    taken = replace(refusing, accepted={"cluster_manager.cds": 5})

    assert "xds-rejected" in rules(OLD, WELL, *[refusing] * 100)
    assert rules(OLD, WELL, refusing, taken, taken) == {}


def test_refused_endpoints_are_told_for_a_minute() -> None:
    refusing = replace(WELL, rejected={"cluster.up": 1})

    assert "xds-rejected" in rules(OLD, WELL, *[refusing] * 59)
    assert rules(OLD, WELL, *[refusing] * 62) == {}


def test_a_restarted_old_proxy_that_refuses_what_it_is_served_is_a_breach() -> None:
    restarted = replace(WELL, uptime_seconds=2, rejected={"cluster_manager.cds": 1}, accepted={})

    assert rules(OLD, WELL, restarted) == {"xds-rejected": Weight.BREACH}


def test_a_young_proxy_that_took_what_it_first_refused_is_well() -> None:
    young = replace(WELL, uptime_seconds=2, rejected={"cluster_manager.cds": 1})

    assert rules(NEW, young, young) == {}


def test_a_node_clock_set_back_is_no_refusal() -> None:
    before = replace(WELL, rejected={"cluster_manager.cds": 3})

    assert rules(OLD, before, replace(before, uptime_seconds=4000)) == {}


def test_half_of_the_clusters_lost_is_a_breach_when_it_stands() -> None:
    lost = replace(WELL, clusters=20)

    assert rules(OLD, WELL, lost, WELL) == {}
    assert rules(OLD, WELL, lost) == {}
    assert rules(OLD, WELL, lost, lost) == {"config-lost": Weight.BREACH}


def test_one_cluster_less_is_a_note() -> None:
    less = replace(WELL, clusters=39)

    assert rules(OLD, WELL, less, less) == {"config-shrunk": Weight.NOTE}


def test_the_last_listener_lost_is_a_breach() -> None:
    lost = replace(WELL, listeners=0)

    assert rules(OLD, WELL, lost, lost) == {"config-lost": Weight.BREACH}


def test_a_proxy_that_still_receives_its_configuration_has_lost_nothing() -> None:
    empty = replace(WELL, uptime_seconds=1, listeners=0, clusters=0)

    assert rules(NEW, empty, replace(empty, clusters=7), replace(WELL, uptime_seconds=3)) == {}


def test_what_a_young_proxy_received_can_be_lost() -> None:
    empty = replace(WELL, uptime_seconds=1, listeners=0)
    whole = replace(WELL, uptime_seconds=1)

    assert rules(OLD, empty, whole, empty, empty) == {"config-lost": Weight.BREACH}


def test_a_control_plane_away_for_half_a_minute_holds() -> None:
    away = replace(WELL, is_connected=False)

    assert rules(OLD, WELL, *[away] * 30) == {}
    assert rules(OLD, WELL, *[away] * 31) == {"xds-disconnected": Weight.HOLD}
    assert rules(OLD, WELL, *[away] * 31, WELL) == {}


def test_a_proxy_without_a_control_plane_is_never_disconnected() -> None:
    static = replace(WELL, is_connected=None)

    assert rules(OLD, *[static] * 40) == {}


def test_a_proxy_that_goes_away_is_passed_over() -> None:
    health, now = after(OLD, WELL, replace(WELL, listeners=0), replace(WELL, listeners=0))

    assert health.facts([replace(OLD, terminating=True)], now=now) == ()


def test_many_proxies_make_one_fact_that_names_three() -> None:
    pods = [pod(f"old-{number}") for number in range(5)]
    refusing = replace(WELL, rejected={"cluster_manager.cds": 1})
    health = ConfigHealth()
    for now, said in enumerate((WELL, refusing)):
        health = health.look({one.uid: said for one in pods}, exists=[one.uid for one in pods], now=now)

    (fact,) = health.facts(pods, now=1)

    assert fact.text.startswith("5 old proxies (old-0, old-1, old-2 and 2 more)")
