"""What the wiring itself decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from tests.model.test_playbook import SMALLEST
from upgrader.adapters.playbook_file import LoadedPlaybook
from upgrader.errors import PlaybookInvalid
from upgrader.model.playbook import Playbook
from upgrader.testing.fakes import FakeClock, ScriptedSignal
from upgrader.wiring import Wiring, require_own_names


class Closing(ScriptedSignal):
    """A signal that tells whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def signals(*names: str) -> list[Closing]:
    return [Closing(name, FakeClock(), lambda now: "") for name in names]


def test_two_signals_of_one_name_are_refused_and_closed() -> None:
    """Two `envoy_stats`, or a balancer twice: one reading would stand for the other."""
    made = signals("rollout", "envoy edge", "envoy edge")

    with pytest.raises(PlaybookInvalid, match="both called 'envoy edge'") as refused:
        require_own_names(made, file="book.yaml")

    assert refused.value.file == "book.yaml"
    assert all(one.closed for one in made)


def test_signals_with_names_of_their_own_stay_open() -> None:
    made = signals("rollout", "envoy a", "envoy b")

    require_own_names(made, file="book.yaml")

    assert not any(one.closed for one in made)


def test_a_plugin_with_a_green_backend_that_moves_no_traffic_is_refused() -> None:
    """Another's package may take the key and know nothing of it."""
    place = {"name": "gateway-green", "namespace": "gateway-green"}
    data = SMALLEST | {
        "strategy": {"kind": "blue_green", "green": place},
        "balancers": [{"kind": "acme", "green": "b"}],
    }
    book = Playbook.read(data, plugins={"balancers": ["acme"]})
    loaded = LoadedPlaybook(book, Path("book.yaml"), "", "", "", (), {})
    wiring = Wiring(loaded, cast(Any, None), cast(Any, None), Path())

    with pytest.raises(PlaybookInvalid, match="balancer acme moves no traffic") as refused:
        wiring.traffic(signals("rollout", "acme"))

    assert refused.value.key == "balancers[0]"
