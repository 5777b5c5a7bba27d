"""The parts of the docs that are made from the code; ``python -m tests.promises.generated`` writes them anew.

A page holds such a part between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``. A test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from tests.promises.command_line import command_line
from tests.promises.playbook_keys import playbook_keys
from tests.promises.sources import ROOT
from upgrader.errors import ExitCode
from upgrader.lab.rehearse.drills import DRILLS, PLAIN, Drill, drill_of
from upgrader.model.phase import EXIT_CODES, TRANSITIONS, Back, Phase, diagram
from upgrader.model.undo import whole_way_back

_PART = re.compile(r"(<!-- begin ([a-z-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def phase_diagram() -> str:
    """Return the state machine as a Mermaid diagram."""
    return f"```mermaid\n{diagram()}```"


def phase_table() -> str:
    """Return the state machine as a table, one row a phase."""
    rows = ["| phase | event → next phase |", "|---|---|"]
    for phase in Phase:
        ways = [(event, target) for (source, event), target in TRANSITIONS.items() if source is phase]
        said = " · ".join(f"{event} → {_target(target)}" for event, target in ways)
        rows.append(f"| {_words(phase)} | {said or 'the end' + _exit(phase)} |")
    return "\n".join(rows)


def _words(phase: Phase) -> str:
    return phase.value.replace("_", " ")


def _target(target: Phase | Back) -> str:
    return target.value if isinstance(target, Back) else f"**{_words(target)}**"


def _exit(phase: Phase) -> str:
    return f", exit {EXIT_CODES[phase].value}"


def exit_codes() -> str:
    """Return the exit codes in short, for the README."""
    named = {code: _words(phase) for phase, code in EXIT_CODES.items()}
    named |= {ExitCode.BUG: "a bug of ours", ExitCode.USAGE: "wrong playbook or flag"}
    named |= {ExitCode.LOCKED: "another run, or an unfinished one, holds the release"}
    return " · ".join(f"**{code.value}** {named[code]}" for code in ExitCode)


def undo_example() -> str:
    """Return the undo commands of a small release, as the program would print them."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    measured = {
        "namespace": "gateway-system",
        "release": "gateway",
        "known_good": 7,
        "apply_method": "ssa",
        "workloads": [{"name": "proxy", "strategy": strategy, "min_ready": 0}],
        "jobs": [],
    }
    return "\n".join(["```sh", *whole_way_back(measured), "```"])


def drills() -> str:
    """Return the drills of a rehearsal as a table, one row each."""
    rows = ["| `--fault` | what goes wrong | how the run must end |", "|---|---|---|"]
    rows.append(f"| none | {PLAIN.says} | {_drill_end(PLAIN)} |")
    errors = _drill_end(drill_of("errors:20%", exclude=0.2))
    share, least = "such a share of requests fails on new proxies", "`limits.error_ratio.exclude`"
    rows.append(f"| `errors:1%` … `errors:100%` | {share} | {errors}; promised from {least} on |")
    rows += [f"| `{name}` | {drill.says} | {_drill_end(drill)} |" for name, drill in DRILLS.items()]
    return "\n".join(rows)


def _drill_end(drill: Drill) -> str:
    return f"{_words(drill.end)}{_exit(drill.end)}" if drill.end else "nothing is promised"


PARTS: Mapping[str, Callable[[], str]] = {
    "phase-diagram": phase_diagram,
    "phase-table": phase_table,
    "exit-codes": exit_codes,
    "undo-example": undo_example,
    "playbook-keys": playbook_keys,
    "command-line": command_line,
    "drills": drills,
}


def renewed(page: str) -> str:
    """Return a page with all its generated parts as the code has them now.

    Raises:
        KeyError: The page names a part that nothing makes.
    """
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", page)


def pages() -> Iterator[str]:
    """Yield the pages that hold generated parts, as paths from the project's root."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        if _PART.search(path.read_text(encoding="utf-8")):
            yield path.relative_to(ROOT).as_posix()


def write() -> None:
    """Write every page anew that differs."""
    for name in pages():
        path = ROOT / name
        was = path.read_text(encoding="utf-8")
        if (now := renewed(was)) != was:
            path.write_text(now, encoding="utf-8")
            print(f"{name} written")


if __name__ == "__main__":
    write()
