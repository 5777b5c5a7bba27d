"""Somebody who rehearses as an operator does, and what their rehearsals come to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upgrader.errors import ExitCode

ROOT = Path(__file__).parents[2]
RATE = "400"
"""Requests a second: enough for every gate, and other tests run beside."""
END_SECONDS = 400.0


@dataclass
class Operator:
    """Somebody who rehearses, with folders of their own and a mark on every process they start.

    Args:
        home: Holds their state and temporary folder.
        key: Their API key; empty to have one made up.
        playbook: What they rehearse.
    """

    home: Path
    key: str = ""
    playbook: Path = ROOT / "playbooks" / "demo.yaml"
    mark: str = field(default_factory=lambda: f"rehearse-test-{uuid.uuid4().hex}")

    def begin(self, *options: str) -> subprocess.Popen[str]:
        """Start ``upgrader rehearse`` of their playbook."""
        (self.home / "tmp").mkdir(exist_ok=True)
        keep = {
            name: os.environ[name] for name in ("PATH", "HOME", "UPGRADER_LAB_BINARY") if name in os.environ
        }
        environment = keep | {
            "XDG_STATE_HOME": str(self.home / "state"),
            "TMPDIR": str(self.home / "tmp"),
            "UPGRADER_TEST_MARK": self.mark,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if self.key:
            environment["DEMO_API_KEY"] = self.key
        command = [
            sys.executable,
            "-m",
            "upgrader.cli",
            "rehearse",
            str(self.playbook),
            "--rate",
            RATE,
            *options,
        ]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def processes(self) -> dict[int, str]:
        """Return all processes that carry the mark: pid and command line."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def left(self, *, seconds: float = 10.0) -> list[str]:
        """Wait until no process is left; return those that are, and all files but the state's."""
        deadline = time.monotonic() + seconds
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        records = (self.home / "state").glob("upgrader/rooms/*.json")
        return [*self.processes().values(), *map(str, records), *map(str, (self.home / "tmp").iterdir())]


@dataclass(frozen=True)
class Ended:
    """A rehearsal that is over."""

    code: int
    report: dict[str, Any]
    said: str


def rehearsed(operator: Operator, *options: str) -> Ended:
    """Rehearse to the end."""
    process = operator.begin("--output", "json", *options)
    out, said = process.communicate(timeout=END_SECONDS)
    last = out.splitlines()[-1] if out else "{}"
    assert process.returncode is not None
    report = json.loads(last)
    assert report.get("event") == "rehearsal.ended", out[-2000:] + said
    return Ended(process.returncode, report, said)


def told(ended: Ended) -> str:
    """Return why a rehearsal went as it did, for a test that fails."""
    return json.dumps(ended.report, indent=1) + ended.said


def require_right(ended: Ended, code: ExitCode) -> None:
    """Require the named end, exact accounts and nothing left."""
    assert ended.code == code, told(ended)
    assert ended.report["as_expected"], told(ended)
    assert ended.report["drilled"], told(ended)
    assert ended.report["accounts_agree"], told(ended)
    assert ended.report["left_behind"] == [], told(ended)
    assert not ended.report["upstream_rq_retry"]


def require_slack(ended: Ended, batch: str) -> None:
    """Require that pods were seen to end in a batch, and that each that did had been let go of before.

    A pod that still drains when the last gate passes is in no step.
    """
    slacks = {
        step["id"]: step["drain_slack_seconds"]
        for step in ended.report["run"]["steps"]
        if step["drained_pods"]
    }
    assert batch in slacks, told(ended)
    assert all(slack >= 0 for slack in slacks.values()), told(ended)
