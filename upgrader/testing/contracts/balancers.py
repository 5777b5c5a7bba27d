"""The contract of balancers: what they say of backends, and how they part traffic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from upgrader.errors import BalancerUnwilling
from upgrader.model.backend_health import Health
from upgrader.model.reading import Reading, Weight
from upgrader.testing.contracts.rigs import (
    NEW_ADDRESS,
    OLD_ADDRESS,
    HealthRig,
    SignalRig,
    TrafficRig,
    Trouble,
)
from upgrader.testing.contracts.signals import LOOKS, SignalContract

BACKEND_VALUES = ("old_healthy", "old_total", "new_healthy", "new_total")
SETTLE_SECONDS = 60.0
SHARES = (0.5, 0.25, 0.05, 0.75, 1.0, 0.0)
MOVE_SECONDS = 10.0
"""A move that waits longer than this waits for something else than its own call."""


def _weights(readings: list[Reading]) -> set[Weight]:
    return {fact.weight for one in readings for fact in one.facts}


class HealthContract(SignalContract):
    """For a balancer that tells how it sees each backend. Its rig is a `HealthRig`."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Try each word of the rig's provider as well."""
        super().pytest_generate_tests(metafunc)
        if "word" in metafunc.fixturenames:
            metafunc.parametrize("word", [*self.make_rig().words])

    def judged(self, old: str | None, new: str | None) -> tuple[Reading, list[Reading]]:
        """Look for long at an old and a new pod of which this is said; return the last reading, and all."""
        rig: HealthRig = self.make_rig()
        balancer = rig.make()
        rig.say(OLD_ADDRESS, rig.word_for(Health.HEALTHY))
        self.look(rig, balancer, times=4)
        rig.say(OLD_ADDRESS, old)
        rig.say(NEW_ADDRESS, new)
        readings = self.look(rig, balancer)
        return readings[-1], readings

    def test_it_speaks_of_backends(self) -> None:
        """Its readings carry both sides' healthy pods and all of them."""
        rig: HealthRig = self.make_rig()
        balancer = rig.make()

        last = self.look(rig, balancer)[-1]

        assert balancer.speaks_of_backends
        assert {name: last.values.get(name) for name in BACKEND_VALUES} == dict.fromkeys(BACKEND_VALUES, 1)

    def test_if_it_moves_traffic_that_is_tried_too(self) -> None:
        """Its author may not forget the other contract."""
        made: Any = self.make_rig().make()

        assert not hasattr(made, "move") or isinstance(self, TrafficContract)

    def test_its_words_are_good_bad_and_doubtful_ones(self) -> None:
        """A rig that leaves a kind of word out would prove little."""
        assert {Health.HEALTHY, Health.FAILING} <= {*self.make_rig().words.values()}

    def test_every_word_means_what_it_must(self, word: str) -> None:
        """Only healthy is healthy, only failing is a breach, and only doubt of the provider's own holds."""
        rig: HealthRig = self.make_rig()
        meant = rig.words[word]

        last, readings = self.judged(rig.word_for(Health.HEALTHY), word)

        assert last.error == ""
        assert last.values["new_healthy"] == float(meant is Health.HEALTHY)
        assert last.values["old_healthy"] == 1
        is_bad = meant in (Health.FAILING, Health.ABSENT)
        assert (Weight.BREACH in _weights(readings)) == is_bad, f"it is {meant}"
        if meant is Health.UNKNOWN:
            assert Weight.HOLD in _weights([last]), "it is doubt, which holds"

    def test_a_new_pod_that_is_not_listed_is_a_breach(self) -> None:
        """No traffic can reach it, whatever its readiness says."""
        last, _ = self.judged(self.make_rig().word_for(Health.HEALTHY), None)

        assert last.values["new_healthy"] == 0
        assert Weight.BREACH in _weights([last])

    def test_a_word_that_is_not_known_is_doubt_and_is_said(self) -> None:
        """A provider learns new words; none of them is good or bad by guessing."""
        rig: HealthRig = self.make_rig()

        last, readings = self.judged(rig.word_for(Health.HEALTHY), rig.strange)

        assert last.values["new_healthy"] == 0
        assert Weight.BREACH not in _weights(readings)
        assert Weight.HOLD in _weights([last])
        assert any(rig.strange in fact.text for one in readings for fact in one.facts)

    def test_a_new_pod_has_its_time_to_settle(self) -> None:
        """Before that nothing speaks against it; afterwards it is a breach."""
        rig: HealthRig = self.make_rig()
        balancer = rig.make(settle_seconds=SETTLE_SECONDS)
        rig.say(NEW_ADDRESS, rig.word_for(Health.FAILING))

        early = self.look(rig, balancer, times=int(SETTLE_SECONDS / balancer.interval_seconds) - 1)
        late = self.look(rig, balancer)

        assert Weight.BREACH not in _weights(early)
        assert Weight.BREACH in _weights(late)

    def test_when_nobody_is_healthy_the_new_version_is_not_to_blame(self) -> None:
        """Providers fail open then, and send traffic to all: none of them is healthy for that."""
        bad = self.make_rig().word_for(Health.FAILING)

        last, readings = self.judged(bad, bad)

        assert (last.values["old_healthy"], last.values["new_healthy"]) == (0, 0)
        assert Weight.HOLD in _weights([last])
        assert Weight.BREACH not in _weights(readings)

    def ended(self, word: str | None) -> list[Reading]:
        """Let the old pod end while this is said of it; return the readings since it is gone."""
        rig: HealthRig = self.make_rig()
        balancer, fleet = rig.make(), rig.fleet()
        self.look(rig, balancer)
        rig.say(OLD_ADDRESS, word)
        others = tuple(pod for pod in fleet.pods if pod.address != OLD_ADDRESS)
        ending = tuple(replace(pod, terminating=True) for pod in fleet.pods if pod.address == OLD_ADDRESS)
        self.look(rig, balancer, fleet=replace(fleet, pods=(*ending, *others)))
        return self.look(rig, balancer, fleet=replace(fleet, pods=others))

    def test_a_pod_that_ends_after_it_was_let_go_of_is_measured(self) -> None:
        """Once, by `Intake.values`: its drain had slack."""
        told = [one.values for one in self.ended(None) if "drained_pods" in one.values]

        assert [one["drained_pods"] for one in told] == [1]
        assert told[0]["drain_slack_seconds"] >= 0

    def test_a_pod_that_is_gone_and_still_healthy_there_holds(self) -> None:
        """Its requests are lost, and the new version is not to blame."""
        readings = self.ended(self.make_rig().word_for(Health.HEALTHY))

        assert ("ended-before-let-go", Weight.HOLD) in [(one.rule, one.weight) for one in readings[-1].facts]
        assert Weight.BREACH not in _weights(readings)

    def test_while_it_cannot_be_asked_nothing_is_said_of_backends(self, trouble: Trouble) -> None:
        """A failed call is neither good nor bad news of a pod."""
        _, _, readings = self.looks_in_trouble(trouble)

        assert not [one for one in readings if one.error and {*BACKEND_VALUES} & {*one.values}]


class TrafficContract(SignalContract):
    """For a balancer that moves traffic. Its rig is a `TrafficRig`."""

    def share(self, rig: TrafficRig, made: Any) -> float | None:
        """Let what was accepted come into force, and ask."""
        rig.take_effect()
        rig.pass_time(made.delay_seconds + made.interval_seconds)
        said: float | None = made.split().green_ratio
        return said

    def test_it_says_what_it_can_give(self) -> None:
        """The strategy plans its rungs by that."""
        made: Any = self.make_rig().make()

        assert 0 < made.finest_ratio <= 0.5
        assert made.delay_seconds >= 0
        assert made.name.strip()

    def test_if_it_speaks_of_backends_that_is_tried_too(self) -> None:
        """And one that does not says nothing of them."""
        rig: TrafficRig = self.make_rig()
        made: Any = rig.make()

        said = {name for one in self.look(rig, made) for name in one.values}

        assert made.speaks_of_backends == isinstance(self, HealthContract)
        assert made.speaks_of_backends or not said & {*BACKEND_VALUES}

    def test_at_first_all_is_blue(self) -> None:
        """Looked at before anything was moved."""
        rig: TrafficRig = self.make_rig()
        made: Any = rig.make()

        assert made.split().green_ratio == 0
        assert rig.writes == 0

    def test_a_move_shows_at_the_provider_and_is_read_back(self) -> None:
        """Share after share, up and down; each to within half of the finest."""
        rig: TrafficRig = self.make_rig()
        made: Any = rig.make()
        for wanted in SHARES:
            made.move(wanted)

            said = self.share(rig, made)

            assert said is not None, wanted
            assert abs(said - wanted) <= made.finest_ratio / 2 + 1e-9, wanted
            assert said == pytest.approx(rig.front_share()), wanted

    @pytest.mark.parametrize("end", [0.0, 1.0])
    def test_all_and_nothing_are_exact(self, end: float) -> None:
        """Not one request in a million goes to a place that shall have none."""
        rig: TrafficRig = self.make_rig()
        made: Any = rig.make()
        made.move(0.5)
        self.share(rig, made)

        made.move(end)

        assert (self.share(rig, made), rig.front_share()) == (end, end)

    @pytest.mark.parametrize("wanted", [1e-6, 1e-3, 1 - 1e-3, 1 - 1e-6])
    def test_other_shares_are_never_rounded_to_all_or_nothing(self, wanted: float) -> None:
        """What is finer than it can give becomes the finest it can."""
        rig: TrafficRig = self.make_rig()
        made: Any = rig.make()

        made.move(wanted)

        said = self.share(rig, made)
        assert said is not None
        assert 0 < said < 1
        assert 0 < rig.front_share() < 1

    @pytest.mark.parametrize("writes_only", [False, True])
    def test_a_move_that_is_not_taken_raises_and_the_split_tells_the_truth(
        self, trouble: Trouble, *, writes_only: bool
    ) -> None:
        """It is asked once, for the step paces; afterwards nobody guesses whether it has happened."""
        rig, made = self._before()
        rig.fail(trouble, writes_only=writes_only)
        asked, began = rig.writes, rig.clock.monotonic()

        with pytest.raises(BalancerUnwilling) as refused:
            made.move(0.5)

        assert refused.value.what.strip()
        assert rig.writes - asked <= 1, "it tried again by itself"
        assert rig.clock.monotonic() - began <= MOVE_SECONDS
        rig.fail(None)
        rig.pass_time(60)
        assert self.share(rig, made) == pytest.approx(rig.front_share())

    def test_what_only_an_operator_can_mend_has_a_remedy(self) -> None:
        """A right to give, a quota to raise."""
        for trouble in {Trouble.QUOTA, Trouble.RIGHTS} & {*self.make_rig().troubles}:
            rig, made = self._before()
            rig.fail(trouble)

            with pytest.raises(BalancerUnwilling) as refused:
                made.move(0.5)

            assert refused.value.remedy.strip(), trouble

    def test_after_trouble_it_moves_again(self, trouble: Trouble) -> None:
        """Above all, back."""
        rig, made = self._before()
        rig.fail(trouble, writes_only=True)
        with pytest.raises(BalancerUnwilling):
            made.move(0.5)
        rig.fail(None)
        rig.pass_time(60)
        rig.take_effect()

        made.move(0.0)

        assert (self.share(rig, made), rig.front_share()) == (0, 0)

    def test_a_split_that_cannot_be_read_says_why(self, trouble: Trouble) -> None:
        """It does not raise, and is no value; readings carry none either."""
        rig, made = self._before()
        rig.fail(trouble)
        read = self.look(rig, made, times=LOOKS)[-1]

        split = made.split()

        assert split.green_ratio is None
        assert split.error.strip()
        assert "green_ratio" not in read.values

    def test_a_provider_that_lies_shows_in_the_split(self) -> None:
        """It says yes and does nothing."""
        rig: TrafficRig = self.make_rig()
        made: Any = rig.make()
        rig.lie()

        made.move(0.5)

        assert rig.writes
        assert (self.share(rig, made), rig.front_share()) == (0, 0)

    def test_what_somebody_else_sets_shows_too(self) -> None:
        """In the split and in the readings."""
        rig: TrafficRig = self.make_rig()
        made: Any = rig.make()
        made.move(0.5)
        self.share(rig, made)

        rig.meddle(0.25)

        read = self.look(rig, made)[-1]
        assert self.share(rig, made) == pytest.approx(0.25, abs=made.finest_ratio)
        assert read.values["green_ratio"] == pytest.approx(0.25, abs=made.finest_ratio)

    def test_what_is_set_already_may_be_asked_for_again(self) -> None:
        """A run that is taken up asks for the same."""
        rig: TrafficRig = self.make_rig()
        made: Any = rig.make()
        made.move(0.25)
        self.share(rig, made)

        made.move(0.25)

        assert self.share(rig, made) == pytest.approx(0.25, abs=made.finest_ratio)

    def test_an_operator_is_told_how_to_do_it_by_hand(self) -> None:
        """Each share its own words; in trouble too, and never with a secret."""
        rig: TrafficRig = self.make_rig()
        made: Any = rig.make()
        told = [made.by_hand(share) for share in (0.0, 0.25, 1.0)]
        made.split()
        told += [made.by_hand(share) for share in (0.0, 0.25, 1.0)]
        for trouble in rig.troubles:
            rig.fail(trouble)
            told.append(made.by_hand(0.0))

        assert all(one.strip() for one in told)
        assert told[3] != told[5]
        assert not [secret for secret in rig.secrets for one in told if secret in one]

    def _before(self) -> tuple[Any, Any]:
        """Return a rig and a balancer that has just given green a quarter."""
        rig: TrafficRig = self.make_rig()
        made: Any = rig.make()
        made.move(0.25)
        assert self.share(rig, made) is not None
        return rig, made


class BalancerContract(HealthContract, TrafficContract):
    """For a balancer that tells health and moves traffic. Its rig is a `BalancerRig`."""


class BalancerRig(HealthRig, TrafficRig):
    """A provider that does both."""


__all__ = ["BalancerContract", "BalancerRig", "HealthContract", "SignalRig", "TrafficContract"]
