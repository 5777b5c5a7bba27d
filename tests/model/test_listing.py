"""How sentences name many things."""

from __future__ import annotations

import pytest

from upgrader.model.listing import listed


@pytest.mark.parametrize(
    ("names", "text"),
    [
        pytest.param([], "", id="none"),
        pytest.param(["a", "b"], "a, b", id="all, where there are as many"),
        pytest.param(["a", "b", "c", "d"], "a, b and 2 more", id="the first, and how many more"),
    ],
)
def test_the_first_are_named_and_the_others_counted(names: list[str], text: str) -> None:
    assert listed(names, 2) == text
