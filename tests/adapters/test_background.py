"""A call that may take too long is waited for no longer than was said."""

from __future__ import annotations

import threading

import pytest

from upgrader.adapters.background import within
from upgrader.errors import Refused


def test_what_a_call_returns_or_raises_is_the_callers() -> None:
    def refuse() -> None:
        raise Refused("no")

    assert within(5, lambda: 7) == 7
    with pytest.raises(Refused, match="no"):
        within(5, refuse)


def test_a_call_that_takes_longer_is_left_to_itself() -> None:
    done = threading.Event()

    with pytest.raises(TimeoutError):
        within(0.001, done.wait)

    done.set()
