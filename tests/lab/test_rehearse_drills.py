"""Drills: what each changes, when it acts, and what is promised of its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from upgrader.errors import ExitCode, PlaybookInvalid
from upgrader.lab.rehearse.acts import Blindness, InMidRun, Killing, Outage
from upgrader.lab.rehearse.derived import derived
from upgrader.lab.rehearse.drills import DRILLS, OUTAGE_SECONDS, PLAIN, drill_of
from upgrader.lab.rehearse.journal import RunJournal
from upgrader.lab.rehearse.made_up import MadeUp

FIRST, SECOND = "roll proxies 1/2", "roll proxies 2/2"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("", ExitCode.COMPLETED),
        ("errors:20%", ExitCode.ROLLED_BACK),
        ("errors:100%", ExitCode.ROLLED_BACK),
        ("never-ready", ExitCode.ROLLED_BACK),
        ("crash-loop", ExitCode.ROLLED_BACK),
        ("no-listener", ExitCode.ROLLED_BACK),
        ("bad-xds", ExitCode.ROLLED_BACK),
        ("upstream-outage", ExitCode.COMPLETED),
        ("metrics-blind", ExitCode.PAUSED),
        ("runner-killed", ExitCode.COMPLETED),
        ("balancer-throttled", ExitCode.COMPLETED),
        ("balancer-times-out", ExitCode.COMPLETED),
        ("balancer-lags", ExitCode.COMPLETED),
        ("balancer-quota", ExitCode.PAUSED),
        ("balancer-forbidden", ExitCode.PAUSED),
        ("balancer-lies", ExitCode.PAUSED),
        ("balancer-unknown-state", ExitCode.PAUSED),
    ],
)
def test_each_drill_promises_its_end(fault: str, code: ExitCode) -> None:
    assert drill_of(fault, exclude=0.2).exit_code is code


def test_fewer_errors_than_a_gate_rules_out_promise_nothing() -> None:
    """With ``exclude: 20%`` a version that fails 19 % of its requests may pass."""
    assert drill_of("errors:19%", exclude=0.2).exit_code is None


@pytest.mark.parametrize("fault", ["errors", "errors:0%", "errors:101%", "errors:2.5%", "Never-Ready", "x"])
def test_an_unknown_drill_is_refused_with_the_known_ones(fault: str) -> None:
    with pytest.raises(PlaybookInvalid, match="upstream-outage") as refused:
        drill_of(fault, exclude=0.2)

    assert refused.value.key == "--fault"


def test_only_what_a_drill_changes_gets_a_playbook_of_its_own() -> None:
    """The plain rehearsal and the killed runner run the operator's own file."""
    own = {name for name, drill in DRILLS.items() if not drill.changes_playbook}

    assert own == {"runner-killed"}
    assert not PLAIN.changes_playbook


def test_a_derived_playbook_can_lie_anywhere() -> None:
    values = {"files": ["a.yaml"], "env": {"k": "K"}}
    release = {"chart": {"ref": "charts/g-{version}"}, "values": values}
    written: dict[str, Any] = {
        "context": "prod",
        "blind": {"hold": "2m", "then": "pause"},
        "releases": [release],
    }

    book = derived(written, folder=Path("/books"), changes={"blind": {"hold": "90s"}}, values="/room/f.json")

    release = book["releases"][0]
    assert "context" not in book
    assert book["blind"] == {"hold": "90s", "then": "pause"}
    assert release["chart"]["ref"] == "/books/charts/g-{version}"
    assert release["values"] == {"files": ["/books/a.yaml", "/room/f.json"], "env": {"k": "K"}}
    assert written["releases"][0]["values"]["files"] == ["a.yaml"]


def test_a_derived_playbook_needs_no_values_of_its_own() -> None:
    written: dict[str, Any] = {"releases": [{"chart": {"ref": "/abs/g"}}]}

    book = derived(written, folder=Path("/books"), changes={}, values="")

    assert book["releases"][0] == {"chart": {"ref": "/abs/g"}, "values": {"files": []}}


def test_secrets_that_are_not_set_are_made_up_once() -> None:
    environ = MadeUp({"SET": "mine", "EMPTY": ""})

    assert environ["SET"] == "mine"
    assert environ["EMPTY"]
    assert environ["ABSENT"] == environ["ABSENT"] != environ["EMPTY"]
    assert environ.names == ("EMPTY", "ABSENT")


def _record(kind: str, step: str, **body: Any) -> dict[str, Any]:
    return {"kind": kind, "step": step, "body": body}


def _steps() -> dict[str, Any]:
    rows = [("helm", "helm_upgrade", 0.0), ("roll control", "roll_batch", 0.0)]
    rows += [(FIRST, "roll_batch", 0.33), (SECOND, "roll_batch", 0.67), ("thaw", "thaw", 1.0)]
    steps = [{"id": name, "kind": kind, "new_share": share} for name, kind, share in rows]
    return _record("header", "", steps=steps)


class Script:
    """A journal that grows as a test says."""

    def __init__(self, folder: Path) -> None:
        self.journal = RunJournal(folder)
        self._path = folder / "runs" / "edge-1" / "journal.jsonl"
        self._path.parent.mkdir(parents=True)
        self.add(_steps())

    def add(self, record: dict[str, Any]) -> None:
        """Write one more record, and look."""
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.journal.look()

    def begin(self, step: str) -> None:
        self.add(_record("intent", step, act="start"))

    def finish(self, step: str) -> None:
        self.add(_record("event", step, event="applied"))


def test_half_a_line_of_the_journal_waits_for_its_other_half(tmp_path: Path) -> None:
    journal = RunJournal(tmp_path)
    journal.look()
    assert journal.run == ""
    path = tmp_path / "runs" / "edge-1" / "journal.jsonl"
    path.parent.mkdir(parents=True)
    line = json.dumps(_steps()) + "\n"

    path.write_text(line + '{"kind": "int')
    journal.look()
    assert len(journal.records) == 1
    path.write_text(line + '{"kind": "intent"}\n')
    journal.look()

    assert [record["kind"] for record in journal.records] == ["header", "intent"]
    assert journal.run == "edge-1"
    assert journal.batches() == [FIRST, SECOND]


def test_an_outage_begins_when_old_and_new_both_serve_and_ends_in_time(tmp_path: Path) -> None:
    script, errors = Script(tmp_path), list[int]()
    outage = Outage(errors.append)

    script.begin(FIRST)
    assert outage.look(script.journal, 0.0) == ""
    script.finish(FIRST)
    assert "fail now" in outage.look(script.journal, 1.0)
    assert outage.look(script.journal, OUTAGE_SECONDS) == ""
    assert "well again" in outage.look(script.journal, 1.0 + OUTAGE_SECONDS)
    outage.undo()

    assert errors == [30, 0]


def test_an_outage_ends_with_the_run_at_the_latest(tmp_path: Path) -> None:
    script, errors = Script(tmp_path), list[int]()
    outage = Outage(errors.append)
    script.finish(FIRST)

    outage.look(script.journal, 1.0)
    outage.undo()

    assert errors == [30, 0]


def test_blindness_comes_once_and_not_before_the_first_batch(tmp_path: Path) -> None:
    script, shut = Script(tmp_path), list[str]()
    blindness = Blindness(lambda: shut.append("shut"))

    script.begin("roll control")
    assert blindness.look(script.journal, 0.0) == ""
    script.begin(FIRST)
    for moment in (1.0, 2.0, 3.0):
        blindness.look(script.journal, moment)

    assert shut == ["shut"]


def test_the_runner_is_killed_once_in_the_middle_of_the_second_batch(tmp_path: Path) -> None:
    script, killed = Script(tmp_path), list[float]()
    clock = [0.0]
    killing = Killing(lambda: killed.append(clock[0]))

    script.begin(FIRST)
    for clock[0] in (0.0, 5.0):
        killing.look(script.journal, clock[0])
    script.begin(SECOND)
    for clock[0] in (6.0, 6.2, 6.4, 8.0):
        killing.look(script.journal, clock[0])

    assert killed == [6.4]


def test_a_drill_knows_whether_its_moment_came(tmp_path: Path) -> None:
    """A run that is refused, say, ends without it."""
    script = Script(tmp_path)
    acts: list[InMidRun] = [Outage(lambda _: None), Blindness(lambda: None), Killing(lambda: None)]

    assert [act.has_come for act in acts] == [False, False, False]
    script.finish(FIRST)
    for step in (FIRST, SECOND):
        script.begin(step)
    for moment in (0.0, 1.0):
        for act in acts:
            act.look(script.journal, moment)

    assert [act.has_come for act in acts] == [True, True, True]
