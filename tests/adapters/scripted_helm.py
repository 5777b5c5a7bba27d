"""A helm program that answers from a script and refuses what it was not told to expect."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upgrader.adapters.shell import Command, Output, Shell
from upgrader.model.ports import Process

HELP4 = """
Flags:
      --dry-run string[="unset"]        simulates the operation
      --force-conflicts                 if set server-side apply will force changes against conflicts
      --hide-notes                      if set, do not show notes
      --history-max int                 limit the maximum number of revisions
  -l, --labels stringToString           Labels that would be added
      --rollback-on-failure             if set, Helm will rollback the upgrade
      --server-side string              must be "true", "false" or "auto" (default "auto")
  -f, --values strings                  specify values in a YAML file
      --wait WaitStrategy[=watcher]     wait until resources are ready
"""
HELP3 = """
Flags:
  -a, --all                              show all releases
      --atomic                           if set, upgrade process rolls back changes
      --dry-run string[="client"]        simulate an install
      --history-max int                  limit the maximum number of revisions
  -l, --labels stringToString            Labels that would be added
      --wait                             if set, will wait
"""
HELP312 = HELP3.replace('string[="client"]  ', "").replace("  -l, --labels stringToString  ", "")


def history(*statuses: str) -> str:
    """Return ``helm history -o json``."""
    return json.dumps(
        [
            {
                "revision": number,
                "status": status,
                "chart": "gw-1.0.0",
                "app_version": "1",
                "description": "d",
            }
            for number, status in enumerate(statuses, start=1)
        ]
    )


@dataclass
class ScriptedHelm(Shell):
    """Answers by the first words of a call.

    Args:
        answers: First words of the call → what it prints; an `Output` for a failure.
        calls: What was called.
        signals: What was signalled.
        tails: What started programs print.
    """

    answers: dict[str, str | Output]
    calls: list[Command] = field(default_factory=list)
    signals: list[tuple[Process, signal.Signals, bool]] = field(default_factory=list)
    tails: str = ""

    def run(self, command: Command, *, deadline_seconds: float) -> Output:
        assert deadline_seconds > 0
        self.calls.append(command)
        called = " ".join(command.argv[1:])
        for words, answer in self.answers.items():
            if called.startswith(words):
                return answer if isinstance(answer, Output) else Output(0, answer, "")
        raise AssertionError(f"nobody expected: helm {called}")

    def start(self, command: Command, *, log: Path) -> Process:
        self.calls.append(command)
        log.touch(0o600)
        return Process(4711, 1, str(log))

    def running(self, process: Process) -> bool:
        return True

    def signal(self, process: Process, number: signal.Signals, *, group: bool = False) -> None:
        self.signals.append((process, number, group))

    def tail(self, process: Process) -> str:
        return self.tails

    def words(self) -> list[str]:
        """Return the last call's arguments."""
        return list(self.calls[-1].argv[1:])


def helm_answers(help_text: str, version: str, **more: Any) -> dict[str, str | Output]:
    """Return the answers every run needs."""
    return {
        "version": version,
        "upgrade --help": help_text,
        "rollback --help": help_text,
        "install --help": help_text,
        "list --help": help_text,
        **more,
    }
