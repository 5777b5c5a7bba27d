"""What Application Gateway and Load Balancer say of pods, word by word and look by look."""

from __future__ import annotations

from typing import Any

import pytest

from tests.balancers.azure_answers import (
    ENDPOINT,
    WHERE,
    ScriptedAzure,
    accepted,
    gateway,
    refused,
    rule,
    said,
    world,
)
from tests.signals.fakes import FakeClock, fleet, pod
from upgrader.balancers.azure import KEPT_SECONDS, AzureHealth, build
from upgrader.flow.look import trial
from upgrader.model.azure_arm import OPERATION_SECONDS
from upgrader.model.azure_health import gateway_backends, rule_backends
from upgrader.model.backend_health import LOOKS_TO_BELIEVE, Health
from upgrader.model.fleet import Side
from upgrader.model.ports import Answer
from upgrader.model.reading import Reading, Weight

OLD, NEW = pod("old-1", address="10.0.0.1"), pod("new-1", Side.NEW, address="10.0.0.2")
BOTH = fleet(OLD, NEW)
PLACE = {"subscription": "s", "resource_group": "g", "endpoint": ENDPOINT}
POST = "POST Microsoft.Network/applicationGateways/agw/backendhealth"
LOOK = "GET Microsoft.Network/locations/eastus/operationResults/1"


class Bench:
    """A balancer whose Azure is in the test's hands; five seconds pass before each look."""

    def __init__(self, *script: Answer, settle: float = 0, **settings: Any) -> None:
        self.clock, self.http = FakeClock(), ScriptedAzure(list(script))
        service = {"service": "application_gateway", "name": "agw"} | settings
        self.balancer = build(PLACE | service | {"settle": settle}, world(self.http, self.clock))

    def look(self, *script: Answer, times: int = 1) -> Reading:
        self.http.script += script
        for _ in range(times):
            self.clock.sleep(AzureHealth.interval_seconds)
            reading = self.balancer.read(BOTH)
        return reading

    def hears(self, body: Any, times: int = 1) -> Reading:
        """Ask and be answered, so many times."""
        return self.look(*[accepted(), said(200, body)] * times, times=2 * times)


def healthy(reading: Reading) -> tuple[float, float, float]:
    return tuple(reading.values[name] for name in ("old_healthy", "new_healthy", "new_total"))  # type: ignore[return-value]


def facts(reading: Reading) -> dict[str, Weight]:
    return {fact.rule: fact.weight for fact in reading.facts}


@pytest.mark.parametrize(
    ("word", "health"),
    [
        ("Up", Health.HEALTHY),
        ("HEALTHY", Health.HEALTHY),
        ("down", Health.FAILING),
        ("Unhealthy", Health.FAILING),
        ("Draining", Health.LEAVING),
        ("Unknown", Health.UNKNOWN),
        ("Partial", Health.UNKNOWN),
        ("Splendid", Health.UNKNOWN),
        ("", Health.UNKNOWN),
    ],
)
def test_both_vocabularies_of_the_gateway_are_understood(word: str, health: Health) -> None:
    found = gateway_backends(gateway(("10.0.0.1", word)))

    assert found.health == {"10.0.0.1": health}
    assert bool(found.strange) == (word in ("Splendid", ""))


@pytest.mark.parametrize(
    ("state", "reason", "health"),
    [
        ("Up", "Up_Probe_Success", Health.HEALTHY),
        ("Up", "Up_Probe_ApproachingUnhealthyThreshold", Health.HEALTHY),
        ("Up", "Up_Probe_AllDownIsUp", Health.UNKNOWN),
        ("Up", "Up_Admin", Health.UNKNOWN),
        ("Up", "Up_Of_Tomorrow", Health.UNKNOWN),
        ("Up", "", Health.UNKNOWN),
        ("Down", "Up_Probe_Success", Health.UNKNOWN),
        ("Down", "Down_Admin", Health.LEAVING),
        ("Down", "Down_Probe_ApproachingHealthyThreshold", Health.UNPROVEN),
        ("Down", "Down_Probe_HttpStatusCodeError", Health.FAILING),
        ("Down", "Down_Probe_HttpEndpointUnreachable", Health.FAILING),
        ("Down", "Down_Platform_Whatever", Health.UNKNOWN),
        ("Up", "Up_Platform", Health.UNKNOWN),
        ("Down", "Down_Platform", Health.UNKNOWN),
        ("Down", "NA", Health.UNPROVEN),
    ],
)
def test_a_rule_is_healthy_only_where_a_probe_succeeded(state: str, reason: str, health: Health) -> None:
    assert rule_backends(rule(("10.0.0.1", state, reason))).health == {"10.0.0.1": health}


@pytest.mark.parametrize("reason", ["Up_Platform", "Down_Platform", "NA"])
def test_a_reason_that_azure_documents_is_no_strange_word(reason: str) -> None:
    assert rule_backends(rule(("10.0.0.1", reason.partition("_")[0], reason))).strange == ()


def test_the_worst_of_a_pods_pools_counts_and_other_pools_do_not() -> None:
    body = gateway(("10.0.0.1", "Up"))
    body["backendAddressPools"] += gateway(("10.0.0.1", "Down"), pool="other")["backendAddressPools"]

    assert gateway_backends(body).health == {"10.0.0.1": Health.FAILING}
    assert gateway_backends(body, pools=["gateways"]).health == {"10.0.0.1": Health.HEALTHY}


def test_one_look_asks_and_a_later_one_fetches_the_answer() -> None:
    bench = Bench()

    first = bench.look(accepted())
    waiting = bench.look(accepted())
    answered = bench.look(said(200, gateway(("10.0.0.1", "Up"), ("10.0.0.2", "Up"))))

    assert first.error == "Azure has not answered yet; asked 0 s ago"
    assert waiting.error == "Azure has not answered yet; asked 5 s ago"
    assert (answered.error, healthy(answered)) == ("", (1, 1, 1))
    assert bench.http.calls() == [POST, LOOK, LOOK]


def test_an_answer_at_once_is_taken_too() -> None:
    assert healthy(Bench().look(said(200, gateway(("10.0.0.1", "Up"))))) == (1, 0, 1)


def test_between_two_answers_the_last_one_is_told_with_its_time_and_counted_once() -> None:
    bench = Bench()
    answered = bench.hears(gateway(("10.0.0.1", "Up"), ("10.0.0.2", "Down")))

    asking = bench.look(accepted(), *[accepted()] * 5, times=6)

    assert (asking.data_time, asking.values) == (answered.data_time, answered.values)
    assert facts(asking) == {}


def test_an_answer_that_is_too_old_is_none() -> None:
    bench = Bench()
    bench.hears(gateway(("10.0.0.1", "Up"), ("10.0.0.2", "Up")))

    looks = int(KEPT_SECONDS / AzureHealth.interval_seconds) + 1
    reading = bench.look(*[accepted()] * looks, times=looks)

    assert reading.error == "Azure answered last 95 s ago"


def test_a_question_without_an_answer_is_asked_anew() -> None:
    bench = Bench(accepted())
    looks = int(OPERATION_SECONDS / AzureHealth.interval_seconds)
    bench.look(*[accepted()] * looks, times=looks + 1)

    late = bench.look()
    bench.look(accepted())

    assert "no answer within 120 s" in late.error
    assert bench.http.calls().count(POST) == 2


def test_azures_pause_before_the_next_look_is_kept() -> None:
    bench = Bench()

    bench.look(accepted(retry_after="12"), times=3)
    reading = bench.look(said(200, gateway(("10.0.0.1", "Up"))))

    assert bench.http.calls() == [POST, LOOK]
    assert reading.error == ""


def test_a_throttled_look_is_not_repeated_before_its_time_and_keeps_the_question() -> None:
    bench = Bench(accepted(), refused(429, "TooManyRequests", "slow down", retry_after="17"))

    told = bench.look(times=2)
    waited = bench.look(times=3)
    answered = bench.look(said(200, gateway(("10.0.0.1", "Up"))))

    assert told.error == "Azure throttles us (TooManyRequests: slow down)"
    assert waited.error == "Azure throttles us (TooManyRequests: slow down); asked again in 2 s"
    assert (told.data_time, dict(told.values)) == (None, {})
    assert answered.error == ""
    assert bench.http.calls() == [POST, LOOK, LOOK]


RIGHT = "Microsoft.Network/applicationGateways/backendhealth/action"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refused(401, "ExpiredAuthenticationToken"), "does not accept our token (ExpiredAuthenticationToken"),
        (refused(403, "AuthorizationFailed"), f"give this identity the right {RIGHT}"),
        (refused(403, "QuotaExceeded"), "a quota is used up (QuotaExceeded: no); ask for a higher quota"),
        (refused(403, "RequestDisallowedByPolicy"), "Azure forbids it (RequestDisallowedByPolicy: no)"),
        (refused(404, "ResourceNotFound"), "see the names in the playbook"),
        (refused(409, "AnotherOperationInProgress"), "another change of it is being made"),
        (refused(409, "ScopeLocked"), "take the read-only lock away"),
        (refused(412, "PreconditionFailed"), "somebody else changed it meanwhile"),
        (refused(429, "RetryableErrorDueToAnotherOperation"), "another change of it is being made"),
        (refused(500, "InternalServerError"), "Azure failed: HTTP 500 (InternalServerError: no)"),
        (Answer(502, b"<html>bad gateway"), "Azure failed: HTTP 502 <html>bad gateway"),
        (Answer(0, error="no answer within 0.9 s"), "Azure did not answer: no answer within 0.9 s"),
        (said(202), "HTTP 202 and no place to look for more"),
        (Answer(200, b"<html>"), "is not understood"),
        (said(200, {"backendAddressPools": "all well"}), "backendAddressPools is not a list"),
    ],
)
def test_what_went_wrong_is_said_in_azures_words_and_is_never_a_value(answer: Answer, words: str) -> None:
    reading = Bench().look(answer)

    assert words in reading.error
    assert (dict(reading.values), reading.facts, reading.data_time) == ({}, (), None)


def test_the_answer_of_a_question_takes_a_right_of_its_own() -> None:
    """It is a resource of the subscription: a right on the gateway alone does not read it."""
    bench = Bench(accepted(), refused(403, "AuthorizationFailed"))

    reading = bench.look(times=2)

    assert "Microsoft.Network/locations/operationResults/read (on the subscription)" in reading.error


def test_a_look_at_another_address_is_never_made() -> None:
    bench = Bench(accepted("https://evil.example/operationResults/1"))

    reading = bench.look(times=2)

    assert reading.error == "Azure names another address to ask, evil.example: not asked"
    assert bench.http.calls() == [POST]


@pytest.mark.parametrize(
    ("where", "is_asked"),
    [
        ("https://management.azure.com:443/subscriptions/s/operationResults/1", True),
        ("https://Management.Azure.com/subscriptions/s/operationResults/1", True),
        ("https://management.azure.com:8443/operationResults/1", False),
        ("https://management.azure.com@evil.example/operationResults/1", False),
        ("https://management.azure.com:x/operationResults/1", False),
    ],
)
def test_azures_own_address_may_name_its_port(where: str, is_asked: bool) -> None:
    bench = Bench(accepted(where), said(200, gateway(("10.0.0.1", "Up"))), endpoint=None)

    reading = bench.look(times=2)

    assert (reading.error == "", len(bench.http.sent) == 2) == (is_asked, is_asked)


def test_a_token_goes_to_azure_only() -> None:
    here, azure = Bench(said(500)), Bench(said(500), endpoint=None)

    here.look()
    azure.look()

    assert "authorization" not in here.http.sent[0].headers
    assert azure.http.sent[0].headers["authorization"] == "Bearer token of azure"
    assert azure.http.sent[0].url.startswith("https://management.azure.com/subscriptions/s/resourceGroups/g/")


def test_a_new_pod_that_fails_is_a_breach_by_answers_and_not_by_looks() -> None:
    bench, down = Bench(), gateway(("10.0.0.1", "Up"), ("10.0.0.2", "Down"))

    early = bench.hears(down, times=LOOKS_TO_BELIEVE - 1)
    late = bench.hears(down)

    assert facts(early) == {}
    assert facts(late) == {"no-healthy-new-backend": Weight.BREACH}


def test_a_new_pod_that_the_ingress_controller_has_not_listed_has_its_settle_time() -> None:
    reading = Bench(settle=300).hears(gateway(("10.0.0.1", "Up")), times=9)

    assert (facts(reading), healthy(reading)) == ({}, (1, 0, 1))


@pytest.mark.parametrize("word", ["Unknown", "Partial", "Splendid"])
def test_what_is_no_verdict_holds_and_never_blames(word: str) -> None:
    reading = Bench().hears(gateway(("10.0.0.1", "Up"), ("10.0.0.2", word)), times=LOOKS_TO_BELIEVE)

    note = {"unknown-health-word": Weight.NOTE} if word == "Splendid" else {}
    assert facts(reading) == {"backend-unknown": Weight.HOLD} | note
    assert healthy(reading) == (1, 0, 1)


def test_a_rule_that_fails_open_calls_nobody_healthy() -> None:
    settings: dict[str, Any] = {"service": "load_balancer", "name": "lb", "rule": "https"}
    body = rule(("10.0.0.1", "Up", "Up_Probe_AllDownIsUp"), ("10.0.0.2", "Up", "Up_Probe_AllDownIsUp"))

    reading = Bench(**settings).hears(body, times=LOOKS_TO_BELIEVE)

    assert (healthy(reading), facts(reading)) == ((0, 0, 1), {"backend-unknown": Weight.HOLD})


def test_a_load_balancer_of_nodes_tells_nothing_of_pods() -> None:
    settings: dict[str, Any] = {"service": "load_balancer", "name": "lb", "rule": "https"}

    reading = Bench(**settings).hears(rule(("10.224.0.4", "Up", "Up_Probe_Success")))

    assert "on AKS a load balancer holds nodes" in reading.error
    assert dict(reading.values) == {}


def test_a_pool_that_is_not_there_is_an_error() -> None:
    reading = Bench(pools=("mine",)).hears(gateway(("10.0.0.1", "Up")))

    assert reading.error == "no backend pool mine; there is: gateways"


def test_the_place_to_look_is_azures_last_word() -> None:
    bench = Bench(accepted(), accepted(f"{WHERE}0"), said(500))

    bench.look(times=3)

    assert bench.http.calls() == [POST, LOOK, f"{LOOK}0"]


def test_a_trial_waits_for_the_first_answer_and_for_no_refusal() -> None:
    """`plan` would else call a balancer blind that is only slow."""
    slow = Bench(accepted(), *[accepted()] * 3, said(200, gateway(("10.0.0.1", "Up"))))
    shut = Bench(*[refused(403, "AuthorizationFailed")] * 2)

    readings = [trial(one.clock, [one.balancer], BOTH)["azure agw"] for one in (slow, shut)]

    assert [bool(one.error) for one in readings] == [False, True]
    assert slow.clock.monotonic() - FakeClock().time == 4 * AzureHealth.interval_seconds
