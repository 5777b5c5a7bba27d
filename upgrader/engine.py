"""The loop: look, decide, act, write down; until the run is over or paused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from upgrader.context import Context
from upgrader.flow import apply, observe, preflight, roll_back
from upgrader.flow.decide import Decision, decide
from upgrader.model.phase import WATCHED, Event, Phase
from upgrader.model.record import Kind, Record
from upgrader.model.run import Run, fold, open_run
'''.replace("E\n","E\n") if False else ''
