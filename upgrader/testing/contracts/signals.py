"""The contract of every signal: it says what it knows, and that it does not know what it does not."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any

import pytest

from upgrader.model.fleet import Fleet
from upgrader.model.plugins import Signal
from upgrader.model.reading import Reading
from upgrader.testing.contracts.rigs import SignalRig, Trouble

LOOK_SECONDS = 1.0
"""A look must be over by then."""
LOOKS = 24
"""So many looks are enough to hear of everything: an answer may take two, a fact three."""


class SignalContract:
    """Subclass it as ``Test…``, and return your rig from `make_rig`."""

    @abstractmethod
    def make_rig(self) -> Any:
        """Return a new rig; asked once a test."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Try what is tried with each trouble with every one that the rig's source can have."""
        if "trouble" in metafunc.fixturenames:
            metafunc.parametrize("trouble", [*self.make_rig().troubles])

    def look(
        self, rig: SignalRig, signal: Signal, *, times: int = LOOKS, fleet: Fleet | None = None
    ) -> list[Reading]:
        """Look so often, at the signal's own pace, at this gateway or the rig's; each look ends in time."""
        readings = []
        for _ in range(times):
            rig.pass_time(signal.interval_seconds)
            began = rig.clock.monotonic()
            reading = signal.read(fleet or rig.fleet())
            took = rig.clock.monotonic() - began
            assert took <= LOOK_SECONDS + 1e-6, f"a look took {took:.2f} s"
            assert isinstance(reading, Reading)
            readings.append(reading)
        return readings

    def looks_in_trouble(self, trouble: Trouble) -> tuple[SignalRig, Signal, list[Reading]]:
        """Look while all is well, then while it fails."""
        rig: SignalRig = self.make_rig()
        signal = rig.make()
        self.look(rig, signal)
        rig.fail(trouble)
        return rig, signal, self.look(rig, signal)

    def test_its_source_can_fail(self) -> None:
        """A rig without any trouble would prove nothing."""
        assert self.make_rig().troubles

    def test_it_says_what_it_is(self) -> None:
        """By these the engine files, paces and weighs it."""
        signal = self.make_rig().make()

        assert isinstance(signal.name, str)
        assert signal.name.strip()
        assert signal.interval_seconds > 0
        for claim in ("counts_requests", "compares_pods", "speaks_of_backends"):
            assert isinstance(getattr(signal, claim), bool), f"{claim} is true or false"

    def test_while_all_is_well_it_has_no_error(self) -> None:
        """Its last reading speaks of now, by its own name."""
        rig: SignalRig = self.make_rig()
        signal = rig.make()

        last = self.look(rig, signal)[-1]

        assert (last.signal, last.error) == (signal.name, "")
        assert last.source.strip()
        assert last.read_at == pytest.approx(rig.clock.now(), abs=LOOK_SECONDS)
        assert last.data_time is not None
        assert last.data_time <= last.read_at

    def test_missing_data_is_an_error_and_never_a_value(self, trouble: Trouble) -> None:
        """It never raises, it says in which way its source failed, and neither counts nor judges by that."""
        rig, _, readings = self.looks_in_trouble(trouble)
        last = readings[-1]

        assert last.error, "no error after many looks that brought nothing"
        assert rig.troubles[trouble].lower() in last.error.lower()
        assert last.counts is None, "what is missing was counted"
        assert not [fact for one in readings if one.error for fact in one.facts], "a failed call is no fact"
        assert last.data_time is None or last.data_time < last.read_at

    def test_it_reads_again_when_the_trouble_is_over(self, trouble: Trouble) -> None:
        """An error is never kept."""
        rig, signal, _ = self.looks_in_trouble(trouble)

        rig.fail(None)

        assert self.look(rig, signal)[-1].error == ""

    def test_it_may_begin_in_trouble(self, trouble: Trouble) -> None:
        """Making it asks nobody, and the first looks are errors."""
        rig: SignalRig = self.make_rig()
        rig.fail(trouble)

        last = self.look(rig, rig.make())[-1]

        assert last.error
        assert last.counts is None

    def test_the_journal_can_hold_its_readings(self) -> None:
        """What was read is what is judged, also by another process."""
        rig: SignalRig = self.make_rig()

        for reading in self.look(rig, rig.make()):
            assert Reading.from_body(json.loads(json.dumps(reading.to_body()))) == reading

    def test_it_tells_no_secret(self) -> None:
        """Neither in what it reads nor in how it fails."""
        rig: SignalRig = self.make_rig()
        signal = rig.make()
        readings = self.look(rig, signal)
        for trouble in rig.troubles:
            rig.fail(trouble)
            readings += self.look(rig, signal, times=3)

        said = f"{signal.name} {readings}"

        assert not [secret for secret in rig.secrets if secret in said]

    def test_it_counts_what_happened(self) -> None:
        """Requests and failures of each side since the last look, each once; or nothing, where it says so."""
        rig: SignalRig = self.make_rig()
        signal = rig.make()
        before = self.look(rig, signal)
        if not signal.counts_requests:
            assert not [one for one in before if one.counts is not None], "it says that it counts nothing"
            return
        rig.serve(old=(90, 1), new=(10, 3))

        read = [one.counts for one in self.look(rig, signal, times=2) if one.counts is not None]

        assert sum(one.old_requests for one in read) == 90
        assert sum(one.old_failures for one in read) == 1
        assert sum(one.new_requests for one in read) == 10
        assert sum(one.new_failures for one in read) == 3
        assert all(one.seconds > 0 for one in read)

    def test_a_source_that_counts_anew_never_makes_negative_counts(self) -> None:
        """A restarted proxy begins at 0."""
        rig: SignalRig = self.make_rig()
        signal = rig.make()
        if not signal.counts_requests:
            return  # that it counts nothing is tried above
        self.look(rig, signal, times=2)
        rig.serve(old=(90, 1), new=(10, 3))
        self.look(rig, signal, times=2)
        rig.restart()
        rig.serve(old=(5, 0), new=(4, 1))

        read = [one.counts for one in self.look(rig, signal, times=3) if one.counts is not None]

        assert all(0 <= one.old_failures <= one.old_requests <= 5 for one in read)
        assert all(0 <= one.new_failures <= one.new_requests <= 4 for one in read)

    def test_it_may_be_closed_twice_and_before_its_first_look(self) -> None:
        """A run that is refused closes what it never read."""
        rig: SignalRig = self.make_rig()
        signal = rig.make()
        signal.close()
        signal.close()

        other = rig.make()
        self.look(rig, other, times=2)
        other.close()
        other.close()
