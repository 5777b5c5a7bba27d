"""The live view: every number an operator asks for at 03:00 is on a screen of 80 columns and 24 lines."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from rich.console import Console

from tests.report.journals import RUN, after, bad, blind, chapters, told
from tests.scenario.stage import Stage
from upgrader.model.phase import Phase
from upgrader.model.reading import Fact, Weight
from upgrader.model.run import Run, Totals
from upgrader.report.live import LiveView
from upgrader.report.panels import Picture, draw
from upgrader.report.standing import needs, waits_for


def console(width: int = 80, height: int = 24, **more: bool | str) -> Console:
    return Console(
        width=width,
        height=height,
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        get_time=lambda: 0.0,
        **more,  # type: ignore[arg-type]
    )


def screen_of(stage: Stage, is_there: Callable[[Run], bool], on: Console | None = None) -> str:
    """Return what the view shows at the first record after which something holds."""
    screen = on or console()
    view = LiveView(screen)
    for run, record in chapters(stage.journal.lines):
        view.show(run, record)
        if is_there(run):
            break
    screen.print(view.picture())
    return screen.export_text()


def at_first_gate(run: Run) -> bool:
    return run.phase is Phase.OBSERVING and run.step.id == "roll proxies 1/2" and run.at - run.since >= 5


def test_a_gate_shows_where_the_run_is_and_how_long_it_stands() -> None:
    shown = screen_of(told(), at_first_gate)

    assert "edge/gateway  gateway-1.11.28 → gateway-1.11.30" in shown
    assert "prod-eu" in shown
    assert RUN in shown
    assert "OBSERVING   after step 4/6 roll proxies 1/2" in shown
    assert "3/6" in shown
    assert "0:06/0:20, 0:14 left  (good looks: envoy_stats)" in shown


def test_pods_backends_and_requests_are_split_into_old_and_new() -> None:
    rows = [line.split() for line in screen_of(told(), at_first_gate).splitlines()]

    assert ["rollout", "18/18", "2/2", "ready"] in rows
    assert ["envoy", "18/18", "2/2", "healthy"] in rows
    assert ["envoy_stats", "12,600", "0", "0", "%", "1,400", "0", "0", "%", "0.80"] in rows


def test_the_evidence_stands_against_the_brake_and_the_way_back() -> None:
    shown = screen_of(told(bad), lambda run: run.phase is Phase.HOLDING)
    bar = next(line for line in shown.splitlines() if line.startswith("evidence"))

    assert "E 25  brake at 10, rolls back at 1,000" in bar
    assert bar.index("│") - len("evidence ") == round(20 / 3)
    assert bar.count("━") + 1 == pytest.approx(20 * 1.4 / 3, abs=1)
    assert "HOLDING" in shown
    assert "0:00/1:00, 1:00 left  (then paused)" in shown
    assert "Observing → holding: brake on" in shown


def test_the_newest_sentences_fill_what_is_left_of_the_screen() -> None:
    lines = screen_of(told(bad), lambda run: run.is_over).splitlines()
    told_lines = [line for line in lines if line[:2] == "13"]

    assert "ROLLED BACK" in lines[1]
    assert "exit 4" in lines[1]
    assert told_lines[-1].startswith("13:46:54 Verifying → rolled back: the old version is back after 14 s;")
    assert len(told_lines) >= 8


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 16), (40, 10)])
@pytest.mark.parametrize("script", [bad, blind], ids=["bad", "blind"])
def test_no_picture_is_larger_than_its_terminal(
    width: int, height: int, script: Callable[..., object]
) -> None:
    """A line too long or one too many would tear the screen at every refresh."""
    stage = told(script)  # type: ignore[arg-type]
    view = LiveView(console(width, height))
    facts = tuple(Fact(Weight.HOLD, f"rule-{n}", "a pod waits for a node " * 9) for n in range(5))

    for run, record in list(chapters(stage.journal.lines))[::5]:
        seen = {name: replace(reading, facts=facts) for name, reading in run.latest.items()}
        view.show(replace(run, latest=seen), record)
        lines = view.picture().plain.split("\n")
        assert len(lines) < height
        assert max(map(len, lines)) <= width


def test_pods_are_shown_by_group_where_the_reading_knows_groups() -> None:
    """All groups where there is room, else the one that is being rolled."""
    run = after(told(), at_first_gate)
    values = {"auth wanted": 2.0, "auth wanted_new": 2.0, "proxies wanted": 20.0, "proxies wanted_new": 2.0}
    pods = replace(run.latest["rollout"], values={**run.latest["rollout"].values, **values})
    steps = tuple(replace(step, settings={"group": "proxies"}) for step in run.steps)
    grouped = replace(run, latest={**run.latest, "rollout": pods}, steps=steps)

    small, large = (draw(Picture(grouped, run.at, {}), console(80, height)).plain for height in (24, 40))

    rows = [line.split() for line in large.splitlines()]
    assert ["auth", "0/2", "2/2", "wanted"] in rows
    assert ["proxies", "18/20", "2/20", "wanted"] in rows
    assert ["proxies", "18/20", "2/20", "wanted"] in [line.split() for line in small.splitlines()]
    assert "auth" not in small


def test_large_numbers_take_room_from_names_never_from_the_evidence() -> None:
    """A long probe's name may be cut off; the column an operator looks at may not."""
    run = after(told(bad), lambda run: run.phase is Phase.HOLDING)
    name = "synthetic 401 /orders/of/a/customer"
    policy = replace(run.policy, signals={name: run.policy.signals["envoy_stats"]})
    many = Totals(1_234_567, 12_345, 11_234_567, 123)
    big = replace(
        run, policy=policy, totals={name: many}, meters={name: run.meters["envoy_stats"]}, latest={}
    )

    rows = draw(Picture(big, big.at, {}), console()).plain.splitlines()
    row = next(line for line in rows if line.startswith("synthetic"))

    assert row.startswith("synthetic 401 /ord")
    assert row.endswith("11,234,567     123  0.0011 %  1,234,567  12,345  1 %  25")
    assert len(row) <= 80


def test_a_gate_that_can_never_pass_says_what_it_lacks() -> None:
    """No countdown to a moment that will not come."""
    run = after(told(), at_first_gate)

    wait = waits_for(run, run.at, {"envoy_stats": math.inf})

    assert wait is not None
    assert (wait.ratio, math.isinf(wait.left_seconds)) == (0.0, True)
    assert wait.detail == "envoy_stats sees too little traffic to rule out 20% failures"
    shown = draw(Picture(run, run.at, {"envoy_stats": math.inf}), console()).plain
    assert "0:06  envoy_stats sees too little traffic" in shown


def test_a_gate_that_waits_for_a_pod_names_it() -> None:
    run = after(told(), at_first_gate)
    wait = Fact(Weight.WAIT, "no-traffic-yet", "no traffic yet on 1 of 1 new pods: a")
    run = replace(run, latest={**run.latest, "rollout": replace(run.latest["rollout"], facts=(wait,))})

    waits = waits_for(run, run.at, {})

    assert waits is not None
    assert waits.detail == "no traffic yet on 1 of 1 new pods: a"
    assert "! no traffic yet on 1 of 1 new pods: a" in draw(Picture(run, run.at, {}), console()).plain


def test_only_the_phase_is_shown_in_reverse() -> None:
    """A style that ran on would paint the line, as it did once."""
    run = after(told(bad), lambda run: run.phase is Phase.HOLDING)

    text = draw(Picture(run, run.at, {}), console())

    assert [text.plain[s.start : s.end] for s in text.spans if "reverse" in str(s.style)] == [" HOLDING "]
    assert not text.style


def test_a_fact_is_shown_with_the_gravest_first() -> None:
    facts = (
        Fact(Weight.NOTE, "retries", "the balancer retried 3 requests"),
        Fact(Weight.HOLD, "pending", "gateway-x waits for a node"),
        Fact(Weight.NOTE, "old-restarted", "gateway-y restarted"),
    )
    shown = screen_of(told(facts=facts), at_first_gate)

    assert shown.index("! gateway-x waits for a node") < shown.index("! the balancer retried 3 requests")
    assert "! and 1 more" in shown


def test_a_blind_signal_says_so_beside_its_last_numbers() -> None:
    shown = screen_of(told(blind), lambda run: run.phase is Phase.HOLDING)

    assert "0.93  blind for 3 s\n" in shown
    assert "! envoy_stats: connection refused" in shown


def test_the_clocks_run_on_between_two_records() -> None:
    """A run that waits for a slow cluster does not look dead."""

    @dataclass
    class Watch:
        time: float = 0.0
        asked: list[float] = field(default_factory=list)

        def now(self) -> float:
            return self.time

    watch = Watch()
    view = LiveView(Console(width=80, height=24, file=io.StringIO(), get_time=watch.now))
    run, record = next(chapters(told().journal.lines))
    view.show(run, record)

    watch.time = 42.0

    assert "0:42" in view.picture().plain


def test_without_colour_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR (no-color.org): no colour code is sent, and the words still say it all."""
    monkeypatch.setenv("NO_COLOR", "1")
    plain = console()
    run = after(told(bad), lambda run: run.phase is Phase.HOLDING)

    plain.print(draw(Picture(run, run.at, needs(run)), plain))

    sent = plain.file.getvalue()  # type: ignore[attr-defined]
    assert "[38;" not in sent
    assert not any(f"[{code}m" in sent for code in range(30, 38))
    assert "HOLDING" in sent


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """An old terminal shows a bar of other characters, never a traceback."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    old = Console(width=80, height=24, file=stream, force_terminal=True, get_time=lambda: 0.0)
    run = after(told(bad), lambda run: run.phase is Phase.HOLDING)

    shown = draw(Picture(run, run.at, needs(run), ((run.at, "Observing → holding…"),)), old).plain

    assert shown.isascii()
    assert "Observing > holding~" in shown


def test_the_view_draws_by_itself_and_leaves_the_last_picture() -> None:
    """`show` only remembers; what stands on the screen at the end is the end."""
    screen = console()
    with LiveView(screen) as view:
        for run, record in chapters(told(bad).journal.lines):
            view.show(run, record)

    assert "ROLLED BACK" in screen.file.getvalue()  # type: ignore[attr-defined]
