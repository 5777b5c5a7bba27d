"""The picture of a run: lines for a terminal of a given size. Pure; `live` draws it again and again.

Colour only repeats what the words say: with ``NO_COLOR`` nothing is lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from upgrader.model.phase import EXIT_CODES, TERMINAL, Phase
from upgrader.model.policy import BRAKE_EVIDENCE
from upgrader.model.reading import Weight
from upgrader.model.run import Run
from upgrader.report.standing import (
    Split,
    Wait,
    ceiling_odds,
    facts,
    is_gating,
    silence,
    splits,
    steps_over,
    waits_for,
)
from upgrader.report.wording import (
    clock_time,
    count,
    odds,
    one_line,
    ratio,
    release_name,
    route,
    run_id,
    spoken,
    ticking,
)

MOST_SENTENCES = 20
"""So many sentences are shown where there is room, and at least `LEAST_SENTENCES`."""
LEAST_SENTENCES = 3
MOST_FACTS = 2
ROOMY_LINES = 30
"""From so many lines on, parts are set apart by empty lines and the steps are listed."""
_PHASE_STYLES: dict[Phase, str] = {
    Phase.PLANNED: "cyan",
    Phase.PREFLIGHT: "cyan",
    Phase.APPLYING: "bold cyan",
    Phase.OBSERVING: "bold blue",
    Phase.HOLDING: "bold yellow",
    Phase.PAUSED: "bold yellow",
    Phase.ROLLING_BACK: "bold magenta",
    Phase.VERIFYING: "bold magenta",
    Phase.COMPLETED: "bold green",
    Phase.ROLLED_BACK: "bold green",
    Phase.REFUSED: "bold yellow",
    Phase.ABORTED: "bold yellow",
    Phase.NEEDS_HUMAN: "bold red",
}
_FACT_STYLES = {Weight.BREACH: "bold red", Weight.HOLD: "yellow", Weight.WAIT: "", Weight.NOTE: ""}
_LABEL = 9
"""Width of the word at the left of a bar."""
_NAME = 12
"""Least width of a name at the left of a table."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn.

    Args:
        run: The run.
        now: UTC seconds.
        needed: What the gate needs of each counting signal, as `standing.needs` says.
        told: When and what was said lately, the newest last.
    """

    run: Run
    now: float
    needed: Mapping[str, float]
    told: tuple[tuple[float, str], ...] = ()


def draw(picture: Picture, console: Console) -> Text:
    """Return the picture, never wider nor higher than the console leaves room for."""
    width, height = console.width, console.height - 1
    run, roomy = picture.run, console.height >= ROOMY_LINES
    head = [*_title(picture, width), *_progress(picture, width)]
    if roomy:
        head += _steps(run, width)
    parts = [
        head,
        _splits(run, width, roomy=roomy),
        _requests(picture, width),
        [*_evidence(run, width), *_facts(run)],
    ]
    lines = [line for part in parts if part for line in (*([Text()] if roomy else []), *part)][roomy:]
    lines.append(Text(f"{'─── UTC ':─<{width}}", style="dim"))
    room = max(LEAST_SENTENCES, height - len(lines))
    lines = lines[: height - room] + _told(picture, console, room)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return _plain(Text("\n").join(lines), console)


def _plain(text: Text, console: Console) -> Text:
    """Replace what a terminal without Unicode cannot show."""
    if not console.options.ascii_only:
        return text
    swaps = str.maketrans({"━": "#", "─": "-", "→": ">", "│": "|", "✔": "x", "▶": ">", "·": ".", "…": "~"})
    return Text(text.plain.translate(swaps).encode("ascii", "replace").decode(), spans=text.spans)


def _title(picture: Picture, width: int) -> Iterator[Text]:
    run = picture.run
    place = str(run.measured.get("context") or "")
    yield _apart(Text(f"{release_name(run)}  {route(run)}", style="bold"), Text(place), width)
    shout = (f" {spoken(run.phase).upper()} ", f"{_PHASE_STYLES[run.phase]} reverse")
    left = Text.assemble(shout, f"  {_headline(run)}")
    right = Text(f"{run_id(run)}  {ticking(picture.now - run.began)}", style="dim")
    yield _apart(left, right, width)


def _headline(run: Run) -> str:
    if run.phase in TERMINAL or run.phase is Phase.PAUSED:
        return f"exit {EXIT_CODES[run.phase].value}"
    if run.phase in (Phase.PLANNED, Phase.PREFLIGHT):
        return "nothing is touched yet"
    if run.phase in (Phase.ROLLING_BACK, Phase.VERIFYING):
        return f"{steps_over(run):.0f} of {len(run.begun())} steps left to undo"
    after = "after " if is_gating(run) else ""
    return f"{after}step {run.index + 1}/{len(run.steps)} {run.step.id}"


def _apart(left: Text, right: Text, width: int) -> Text:
    """Set one text at the left and one at the right; the left one gives way last."""
    room = width - left.cell_len - 2
    if right.cell_len > room:
        right = right.copy()
        right.truncate(max(0, room), overflow="ellipsis")
    return Text.assemble(left, " " * max(2, width - left.cell_len - right.cell_len), right)


def _progress(picture: Picture, width: int) -> Iterator[Text]:
    run = picture.run
    style = _PHASE_STYLES[run.phase]
    over, of = steps_over(run), len(run.steps)
    yield _bar("steps", over / of, f"{math.floor(over)}/{of}", style, width)
    wait = waits_for(run, picture.now, picture.needed)
    if wait is not None:
        yield _bar(wait.what, wait.ratio, _waited(wait), style, width)


def _waited(wait: Wait) -> str:
    if math.isinf(wait.of):
        return f"{ticking(wait.done)}  {wait.detail}"
    if wait.detail == "at most":
        return f"{ticking(wait.done)} of at most {ticking(wait.of)}"
    return f"{ticking(wait.done)}/{ticking(wait.of)}, {ticking(wait.left_seconds)} left  ({wait.detail})"


def _bar(word: str, share: float, text: str, style: str, width: int) -> Text:
    """Return a bar of a quarter of the width, with a word before it and a text behind it."""
    cells = max(10, width // 4)
    full = min(cells, round(share * cells))
    line = Text(f"{word:<{_LABEL}}")
    line.append("━" * full, style=style)
    line.append("─" * (cells - full), style="dim")
    return line.append(f"  {text}", style="default")


def _steps(run: Run, width: int) -> list[Text]:
    """Return all steps as one line or more: done, under way, still to come, undone."""
    line = Text(" " * _LABEL)
    for number, step in enumerate(run.steps):
        mark, style = _mark(run, number)
        line.append(f"{mark} {step.id}", style=style).append("   ")
    return list(line.wrap(Console(width=width), width)) if line.cell_len > width else [line]


def _mark(run: Run, number: int) -> tuple[str, str]:
    step = run.steps[number]
    if f"undo {step.id}" in run.ended:
        return "─", "magenta"
    if f"start {step.id}" not in run.intents:
        return "·", "dim"
    is_past = number < run.index or run.phase is Phase.COMPLETED
    return ("✔", "green") if is_past else ("▶", _PHASE_STYLES[run.phase])


def _splits(run: Run, width: int, *, roomy: bool) -> list[Text]:
    group = run.step.settings.get("group")
    shown = [one for one in splits(run) if roomy or one.word != "wanted" or one.name == group]
    rows = [_split(split) for split in shown]
    return _table([_head("pods"), _head("old"), _head("new"), Text("")], rows, width) if rows else []


def _split(split: Split) -> list[Text]:
    if split.error:
        return [Text(split.name), Text("?"), Text("?"), Text(one_line(split.error), style="yellow")]
    is_split = split.word == "wanted"
    sides = [_of(*side, style="" if is_split else "yellow") for side in (split.old, split.new)]
    return [Text(split.name), *sides, Text(split.word)]


def _of(good: float, total: float, *, style: str) -> Text:
    return Text(f"{count(good)}/{count(total)}", style="" if good >= total else style)


def _head(text: str) -> Text:
    return Text(text, style="dim")


def _requests(picture: Picture, width: int) -> list[Text]:
    """Return what each counting signal has counted so far, and its evidence."""
    run = picture.run
    heads = [_head(each) for each in ("requests", "old", "failed", "", "new", "failed", "", "E", "")]
    rows = []
    for name, total in run.totals.items():
        evidence = run.meters[name].evidence
        rows.append(
            [
                Text(name),
                Text(count(total.old_requests)),
                *_failed(total.old_failures, total.old_requests, "yellow"),
                Text(count(total.new_requests)),
                *_failed(total.new_failures, total.new_requests, "red"),
                Text(odds(evidence), style=_heat(evidence, run)),
                Text(_beside(picture, name), style="yellow"),
            ]
        )
    return _table(heads, rows, width) if rows else []


def _beside(picture: Picture, name: str) -> str:
    """Say what makes a signal's numbers less, or more, than they seem."""
    over = ceiling_odds(picture.run, name)
    said = f"ceiling E {odds(over)}" if over >= BRAKE_EVIDENCE else ""
    return silence(picture.run, name, picture.now) or said


def _failed(failures: float, requests: float, style: str) -> tuple[Text, Text]:
    style = style if failures else ""
    return Text(count(failures), style=style), Text(ratio(failures, requests), style=style)


def _table(head: list[Text], rows: Sequence[list[Text]], width: int) -> list[Text]:
    """Align columns: the first and the last to the left, numbers to the right; names give way to numbers."""
    table = [head, *rows]
    sizes = [max(row[column].cell_len for row in table) for column in range(len(head))]
    room = width - sum(sizes[1:]) - 2 * (len(sizes) - 1)
    sizes[0] = min(max(sizes[0], _NAME), max(room, _NAME))
    return [_aligned(row, sizes) for row in table]


def _aligned(row: Sequence[Text], sizes: Sequence[int]) -> Text:
    line = Text()
    for column, (cell, size) in enumerate(zip(row, sizes, strict=True)):
        shown = cell.copy()
        shown.truncate(size, overflow="ellipsis")
        pad = " " * (size - shown.cell_len)
        left = column in (0, len(sizes) - 1)
        line = Text.assemble(line, *((shown, pad) if left else (pad, shown)), "  ")
    line.rstrip()
    return line


def _heat(evidence: float, run: Run) -> str:
    if evidence >= 1 / run.policy.false_alarm:
        return "bold red"
    return "bold yellow" if evidence >= BRAKE_EVIDENCE else "green"


def _evidence(run: Run, width: int) -> Iterator[Text]:
    """Yield the run's one evidence on a log scale from 1 to where it rolls back, with the brake's mark."""
    if not run.meters:
        return
    proof = 1 / run.policy.false_alarm
    cells = max(10, width // 4)
    full = round(cells * min(1.0, max(0.0, math.log(max(run.evidence, 1e-9)) / math.log(proof))))
    brake = round(cells * math.log(BRAKE_EVIDENCE) / math.log(proof))
    line = Text(f"{'evidence':<{_LABEL}}")
    for cell in range(cells):
        lit = cell < full
        mark = "│" if cell == brake else "━" if lit else "─"
        line.append(mark, style=_heat(run.evidence, run) if lit else "dim")
    line.append("  E ", style="default").append(odds(run.evidence), style=_heat(run.evidence, run))
    yield line.append(f"  brake at {count(BRAKE_EVIDENCE)}, rolls back at {count(proof)}", style="dim")


def _facts(run: Run) -> Iterator[Text]:
    said = facts(run)
    for fact in said[:MOST_FACTS]:
        yield Text(f"! {one_line(fact.text)}", style=_FACT_STYLES[fact.weight])
    if len(said) > MOST_FACTS:
        yield Text(f"! and {len(said) - MOST_FACTS} more", style="dim")


def _told(picture: Picture, console: Console, room: int) -> list[Text]:
    """Return the newest sentences that fit, oldest first; a long one takes at most three lines."""
    lines: list[Text] = []
    for at, said in reversed(picture.told[-MOST_SENTENCES:]):
        newest = not lines
        wrapped = Text(said, style="" if newest else "dim").wrap(console, console.width - 9)
        shown = list(wrapped)[:3]
        if len(wrapped) > 3:
            shown[-1].truncate(console.width - 10)
            shown[-1].append("…")
        if len(lines) + len(shown) > room:
            break
        times = [clock_time(at), *[" " * 8] * (len(shown) - 1)]
        lines[:0] = [
            Text.assemble((f"{time} ", "dim"), line) for time, line in zip(times, shown, strict=True)
        ]
    return lines
