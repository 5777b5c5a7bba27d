"""What others' packages bring has keys of its own, which their own model reads; strategies too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tests.model.test_playbook import SMALLEST
from upgrader.model.findings import run_all
from upgrader.model.playbook import Playbook
from upgrader.model.plugins import Color, Finding, Severity
from upgrader.model.strategy import GreenPlace, PluginStrategy
from upgrader.model.strict import Strict
from upgrader.model.units import Duration
from upgrader.testing.surveys import SurveyBuilder

PLACE = {"name": "gateway-green", "namespace": "gateway-green"}
THEIRS = {"strategies": ["acme_switch"], "balancers": ["acme"], "signals": ["acme_errors"]}


class Settings(Strict):
    """The keys of a strategy that needs a second place."""

    green: GreenPlace
    patience: Duration = timedelta(minutes=1)


def keys_of(kind: str, name: str) -> type[BaseModel] | None:
    return Settings if (kind, name) == ("strategies", "acme_switch") else None


def read(strategy: dict[str, Any], *balancers: dict[str, Any], **changes: Any) -> Playbook:
    data = SMALLEST | {"strategy": {"kind": "acme_switch"} | strategy, "balancers": list(balancers)} | changes
    return Playbook.read(data, plugins=THEIRS, keys_of=keys_of)


FRONT = {"kind": "acme", "pool": "a", "green": "b"}


def test_a_strategy_of_others_is_given_its_keys_as_its_own_model_reads_them() -> None:
    book = read({"green": PLACE, "patience": "90s"}, FRONT)

    assert isinstance(book.strategy, PluginStrategy)
    assert book.strategy.settings == {"green": GreenPlace(**PLACE), "patience": timedelta(seconds=90)}
    assert book.balancers[0].settings == {"pool": "a", "green": "b"}


def test_a_strategy_of_others_with_a_second_place_installs_beside() -> None:
    book = read({"green": PLACE}, FRONT).with_live(Color.GREEN)

    assert book.is_beside
    assert (book.release.namespace, book.beside.namespace) == ("gateway-green", "gateway-system")


@pytest.mark.parametrize(
    ("strategy", "balancers", "at"),
    [
        ({"patience": "1m"}, [FRONT], ("strategy", "plugin", "green")),
        ({"green": PLACE, "patience": 5}, [FRONT], ("strategy", "plugin", "patience")),
        ({"green": {"name": "x"}}, [FRONT], ("strategy", "plugin", "green", "namespace")),
        ({"green": PLACE | {"namespace": "gateway-system"}}, [FRONT], ()),
        ({"green": PLACE}, [{"kind": "acme", "pool": "a"}], ()),
    ],
    ids=[
        "its own key is missing",
        "it has no unit",
        "half a place",
        "the same place",
        "nobody moves traffic",
    ],
)
def test_wrong_keys_of_a_strategy_of_others_are_refused_by_their_place(
    strategy: dict[str, Any], balancers: list[dict[str, Any]], at: tuple[str, ...]
) -> None:
    with pytest.raises(ValidationError) as refused:
        read(strategy, *balancers)

    assert [one["loc"] for one in refused.value.errors()] == [at]


def test_a_key_that_their_model_does_not_know_is_named() -> None:
    with pytest.raises(ValidationError, match="unknown key; allowed here: green, patience; did you mean pat"):
        read({"green": PLACE, "patiense": "1m"}, FRONT)


def test_without_a_model_of_its_keys_a_plugin_gets_them_as_written() -> None:
    book = Playbook.read(SMALLEST | {"strategy": {"kind": "acme_switch", "speed": 5}}, plugins=THEIRS)

    assert not book.is_beside
    assert book.strategy.settings["speed"] == 5  # type: ignore[union-attr]


def test_a_playbook_with_others_keys_reads_back_what_it_writes() -> None:
    before = read({"green": PLACE, "patience": "90s"}, FRONT)

    written = before.model_dump(mode="json", by_alias=True)

    assert Playbook.read(written, plugins=THEIRS, keys_of=keys_of) == before


class Rule:
    """A check whose rule is one of rolling upgrades."""

    def __init__(self) -> None:
        self.RULES: Mapping[str, str] = {"acme-rule": "It speaks."}
        self.ONLY_FOR = {"acme-rule": ("rolling",)}

    def check(self, survey: object) -> list[Finding]:
        return [Finding("acme-rule", Severity.WARN, "seen")]


def test_what_is_said_of_rolling_is_said_of_every_strategy_in_one_place() -> None:
    survey = SurveyBuilder().build()
    books = {
        "in place": Playbook.read(SMALLEST | {"strategy": {"kind": "acme_switch"}}, plugins=THEIRS),
        "beside": read({"green": PLACE}, FRONT),
    }

    spoken = {name: run_all(_with(survey, book), [Rule()]) for name, book in books.items()}

    assert {name: len(found) for name, found in spoken.items()} == {"in place": 1, "beside": 0}


def _with(survey: Any, book: Playbook) -> Any:
    return type(survey)(**{**vars(survey), "playbook": book})
