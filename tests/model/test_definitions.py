"""Which definitions must be written for the new version, and which are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.rows import Change, add, all_of, put
from tests.checks.rows_beside import canary
from tests.checks.rows_crds import V1, V1_V2, crds, noted, owned, webhook, widgets
from upgrader.model.definitions import BUNDLE, is_same, to_apply
from upgrader.strategies import canary as canary_strategy
from upgrader.testing.surveys import SurveyBuilder

NEWER = crds(widgets(V1_V2, **noted(**{BUNDLE: "v1.2.1"})), widgets(V1, **noted(**{BUNDLE: "v1.1.0"})))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        pytest.param(crds(None, widgets(V1)), ("widgets.x",), id="missing"),
        pytest.param(crds(widgets(V1), widgets(V1_V2)), ("widgets.x",), id="different"),
        pytest.param(crds(widgets(V1), widgets(V1)), (), id="the-same"),
        pytest.param(NEWER, (), id="a-newer-bundle-is-live"),
        pytest.param(crds(widgets(V1, **owned("shop")), widgets(V1_V2)), (), id="of-another-release"),
        pytest.param(all_of(add(widgets(V1), to="old"), add(widgets(V1_V2), to="new")), (), id="a-template"),
        pytest.param(
            all_of(add(widgets(V1_V2), to="new"), put(crds=[widgets(V1_V2)])), (), id="a-template-too"
        ),
    ],
)
def test_what_is_missing_or_differs_is_written_unless_it_is_somebody_elses(
    change: Change, names: tuple[str, ...]
) -> None:
    builder = SurveyBuilder()
    change(builder)

    assert to_apply(builder.build()) == names


@pytest.mark.parametrize(("live", "kinds"), [(V1, ["crds"]), (V1_V2, [])], ids=["different", "the-same"])
def test_a_canary_writes_definitions_first_and_only_where_there_is_a_difference(
    live: dict[str, bool], kinds: list[str]
) -> None:
    builder = SurveyBuilder()
    canary(crds(widgets(live), widgets(V1_V2)))(builder)

    steps = canary_strategy.plan(builder.build(), "r")

    assert [one.kind for one in steps if one.kind == "crds"] == kinds
    assert all(one.settings == {"names": ["widgets.x"]} for one in steps if one.kind == "crds")
    assert [one.kind for one in steps][: len(kinds)] == kinds


FILLED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no conversion": ({"conversion": {"strategy": "None"}}, {}),
    "the webhook's port": (
        {"conversion": webhook()},
        {
            "conversion": {
                **webhook(),
                "webhook": {
                    "conversionReviewVersions": ["v1"],
                    "clientConfig": {
                        "caBundle": "Q0E=",
                        "service": {"namespace": "edge", "name": "control", "port": 443},
                    },
                },
            }
        },
    ),
}


@pytest.mark.parametrize("name", FILLED)
def test_what_the_api_server_fills_in_is_no_difference(name: str) -> None:
    live, new = FILLED[name]

    assert is_same(widgets(V1, **live), widgets(V1, **new))


def test_a_default_that_is_false_is_a_difference_to_none() -> None:
    false, none = ({"on": {"type": "boolean", **more}} for more in ({"default": False}, {}))

    assert not is_same(widgets(V1, properties=false), widgets(V1, properties=none))
