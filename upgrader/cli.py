"""The command line: parse, call, render, exit. Nothing else prints or ends the process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from upgrader.errors import ExitCode, Refused, UpgraderError

if TYPE_CHECKING:
    from upgrader.context import Bench, Plan
    from upgrader.flags import Flags
    from upgrader.model.record import Record
    from upgrader.model.run import Run

app = typer.Typer(
    name="upgrader",
    help="Take an API gateway to its next version under live traffic, or bring the old one back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
playbook_app = typer.Typer(help="Check, describe and start playbooks.", no_args_is_help=True)
app.add_typer(playbook_app, name="playbook")

PlaybookPath = Annotated[Path, typer.Argument(help="The playbook, a YAML file.", show_default=False)]
Kubeconfig = Annotated[str, typer.Option(help="kubeconfig file; default as kubectl's.", show_default=False)]
Context = Annotated[
    str, typer.Option(help="kubeconfig context; overrides the playbook's.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask: the plan was seen (pipelines).")]
Output = Annotated[
    str, typer.Option(help="live, text or json; default live in a terminal, else json.", show_default=False)
]
State = Annotated[
    Path | None,
    typer.Option(help="Where runs are kept; default the user's state folder.", show_default=False),
]
RunId = Annotated[
    str, typer.Argument(help="A run's id or journal; default the latest run.", show_default=False)
]


def _flags(state: Path | None, kubeconfig: str = "", context: str = "") -> Flags:
    from platformdirs import user_state_path

    from upgrader.flags import Flags

    folder = state or Path(os.environ.get("UPGRADER_STATE") or user_state_path("upgrader"))
    named = str(Path(kubeconfig).absolute()) if kubeconfig else ""  # a run may be resumed from elsewhere
    return Flags(folder.absolute(), named, context)


@contextmanager
def _view(flags: Flags, output: str) -> Iterator[Callable[[Run, Record], None]]:
    """Choose the view: live in a terminal, JSON lines elsewhere."""
    chosen = output or ("live" if sys.stdout.isatty() else "json")
    if chosen == "live":
        from upgrader.report.live import LiveView

        with LiveView() as live:
            yield live.show
    elif chosen in ("text", "json"):
        from upgrader.report import lines

        yield (lines.TextLines if chosen == "text" else lines.JsonLines)(
            sys.stdout, redact=flags.redactor.text
        ).show
    else:
        raise typer.BadParameter("live, text or json", param_hint="--output")


def _end(run: Run, records: Iterable[Mapping[str, Any]], output: str, *, note: str = "") -> NoReturn:
    """Say how a run ended, with the numbers and what is left to do, and exit by its phase.

    A note says why a run that is not over is told all the same; without one, that is a bug.
    """
    from upgrader.model.phase import EXIT_CODES
    from upgrader.model.undo import undo_commands
    from upgrader.report.summary import summarize

    told = summarize(records, undo=undo_commands(run))
    if output == "json" or not (output or sys.stdout.isatty()):
        noted = {"note": note} if note else {}
        typer.echo(json.dumps({"event": "run.summed_up", **told.to_json(), **noted}))
    else:
        typer.echo("\n".join([*told.lines(), *([note] if note else [])]))
    raise typer.Exit(EXIT_CODES.get(run.phase, ExitCode.COMPLETED if note else ExitCode.BUG))


def _shown(bench: Bench, plan: Plan) -> Any:
    from upgrader.report.plan import Shown

    commands = tuple(_command(bench, plan, tier) for tier in range(len(plan.surveys)))
    kubeconfig = bench.flags.kubeconfig
    return Shown(plan.surveys, plan.findings, plan.steps, plan.policy, commands, plan.revisions, kubeconfig)


def _command(bench: Bench, plan: Plan, tier: int) -> str:
    """Return Helm's own command line for one tier."""
    chart, helm = plan.surveys[tier].chart, bench.ports.releases[tier]
    if chart and (beside := bench.ports.beside):
        return beside.install_command(chart)
    return helm.upgrade_command(chart) if chart else helm.rollback_command(plan.revisions[tier])


def _carry_out(flags: Flags, path: Path, *, revision: int | None, yes: bool, output: str) -> NoReturn:
    """Plan, have the plan seen, and run it."""
    from upgrader import runs
    from upgrader.context import bench, load_playbook, make_plan, new_run_id
    from upgrader.model.findings import blocking
    from upgrader.report.plan import plan_text

    loaded = load_playbook(path, flags)
    with bench(loaded, flags, new_run_id(loaded.playbook)) as made:
        runs.require_free(made)
        plan = make_plan(made, revisions=_targets(made, revision))
        text = plan_text(_shown(made, plan))
        refused = bool(blocking(plan.findings))
        if refused or not yes or output == "text":
            typer.echo(text, err=output == "json")
        if refused:
            typer.echo("refused: nothing was touched; waive a rule only with a reason", err=True)
            raise typer.Exit(ExitCode.REFUSED)
        if not yes and not typer.confirm("Carry this plan out?"):
            raise typer.Exit(ExitCode.ABORTED)
        with _view(flags, output) as tell:
            run = runs.begin(made, plan, tell)
        _end(run, runs.lines(flags, made.run), output)


def _targets(made: Bench, revision: int | None) -> tuple[int, ...]:
    """Return the revision each tier goes to: none for the chart, for -1 the last good one before.

    Raises:
        Refused: A number is given and there are several releases; or one of them has no good one before.
    """
    if revision is None:
        return ()
    from upgrader.model.findings import previous_good

    if revision <= 0:
        return tuple(previous_good(helm.history()) for helm in made.ports.releases)
    if len(made.ports.releases) > 1:
        raise Refused(
            f"revision {revision} of which release? The playbook names {len(made.ports.releases)}",
            remedy="leave --to out: each goes to its last good one; or name one release in a playbook",
        )
    return (revision,)


@app.command()
def plan(
    playbook: PlaybookPath,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    output: Output = "text",
    state: State = None,
) -> None:
    """Show what would be done, what the checks say and the worst case; reads only."""
    from upgrader.context import bench, load_playbook, make_plan, new_run_id
    from upgrader.model.findings import blocking
    from upgrader.report.plan import plan_body, plan_text

    flags = _flags(state, kubeconfig, context)
    loaded = load_playbook(playbook, flags)
    with bench(loaded, flags, new_run_id(loaded.playbook)) as made:
        shown = _shown(made, make_plan(made))
    typer.echo(json.dumps(plan_body(shown), indent=2) if output == "json" else plan_text(shown))
    raise typer.Exit(ExitCode.REFUSED if blocking(shown.findings) else ExitCode.COMPLETED)


@app.command()
def run(
    playbook: PlaybookPath,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    yes: Yes = False,
    output: Output = "",
    state: State = None,
) -> None:
    """Take the gateway to the playbook's version; roll back by itself on proof of harm."""
    _carry_out(_flags(state, kubeconfig, context), playbook, revision=None, yes=yes, output=output)


@app.command()
def rollback(
    playbook: PlaybookPath,
    to: Annotated[
        int, typer.Option(help="Revision to go to; default the last good one.", show_default=False)
    ] = -1,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    yes: Yes = False,
    output: Output = "",
    state: State = None,
) -> None:
    """Go to an earlier revision: a run of its own, in the same batches and gates; of tiers the last first."""
    _carry_out(_flags(state, kubeconfig, context), playbook, revision=to, yes=yes, output=output)


@app.command()
def rehearse(
    playbook: PlaybookPath,
    fault: Annotated[
        str, typer.Option(help="A drill: errors:20%, never-ready, balancer-lies ...", show_default=False)
    ] = "",
    times: Annotated[int, typer.Option(min=1, help="How often.")] = 1,
    rate: Annotated[float, typer.Option(min=1, max=10_000, help="Requests a second.")] = 1_200,
    traffic: Annotated[
        str, typer.Option(help="What clients speak: http1, h2, grpc, websocket, by commas.")
    ] = "http1",
    back: Annotated[
        bool, typer.Option("--back", help="Roll the good upgrade back afterwards, under the same traffic.")
    ] = False,
    output: Output = "",
    context: Annotated[str, typer.Option(help="Not in this version.", hidden=True)] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the lab is built.")] = False,
) -> None:
    """Rehearse an upgrade in the lab, under real traffic; with a fault, drill how it ends."""
    from upgrader.context import load_playbook
    from upgrader.lab.rehearse import command
    from upgrader.lab.rehearse.made_up import MadeUp

    environ, flags = MadeUp(os.environ), _flags(None)
    loaded = load_playbook(playbook, replace(flags, environ=environ))
    command.require_one_release(loaded.playbook)
    command.require_here(context=context, yes=yes)
    wish = command.Wish(fault, times, rate, output, flags.state, environ.names, back, traffic)
    raise typer.Exit(command.carry_out(loaded, wish))


@app.command()
def resume(
    run: RunId = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    output: Output = "",
    state: State = None,
) -> None:
    """Go on with a paused run, or one whose process died."""
    from upgrader import runs

    flags = _flags(state, kubeconfig, context)
    chosen = run or runs.latest(flags)
    with _view(flags, output) as tell:
        ended = runs.take_up(flags, chosen, tell)
    _end(ended, runs.lines(flags, chosen), output)


@app.command()
def abort(
    run: RunId = "",
    reason: Annotated[str, typer.Option(help="Why; goes into the journal.")] = "aborted by the operator",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    state: State = None,
) -> None:
    """Ask the process that drives a run to bring the old version back."""
    from upgrader import runs

    flags = _flags(state, kubeconfig, context)
    chosen = run or runs.latest(flags)
    runs.abort(flags, chosen, reason)
    typer.echo(f"asked {chosen} to go back; if no process drives it, `upgrader resume {chosen}` does it now")


@app.command()
def status(
    run: RunId = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    output: Output = "text",
    state: State = None,
) -> None:
    """Say where a run stands, who drives it if the cluster tells, and how to undo it without this tool."""
    from upgrader import runs
    from upgrader.model.undo import undo_commands
    from upgrader.report.status import status_body, status_text

    flags = _flags(state, kubeconfig, context)
    seen = runs.read(flags, run or runs.latest(flags))
    render = status_body if output == "json" else status_text
    said = render(seen, undo=undo_commands(seen), lease=runs.lease_told(flags, seen))
    typer.echo(json.dumps(said, indent=2) if output == "json" else said)


@app.command()
def explain(run: RunId = "", output: Output = "text", state: State = None) -> None:
    """Derive every verdict of a run again from its journal."""
    from upgrader import runs
    from upgrader.report.explain import explain_body, explain_text

    flags = _flags(state)
    records = runs.lines(flags, run or runs.latest(flags))
    said, equal = (explain_body if output == "json" else explain_text)(records)
    typer.echo(json.dumps(said, indent=2) if output == "json" else said)
    raise typer.Exit(ExitCode.COMPLETED if equal else ExitCode.NEEDS_HUMAN)


@app.command()
def replay(
    run: Annotated[
        str, typer.Argument(help="A run's id or journal; default a recorded one.", show_default=False)
    ] = "",
    speed: Annotated[str, typer.Option(help="Such as 1x, 10x or max.")] = "10x",
    output: Output = "",
    state: State = None,
) -> None:
    """Show a recorded run in the live view, at any speed; needs no cluster."""
    from upgrader import runs
    from upgrader.adapters.clock import SystemClock
    from upgrader.report.replay import factor_of, open_end, replay_lines

    flags = _flags(state)
    records = runs.lines(flags, run) if run else runs.recorded()
    with _view(flags, output) as tell:
        seen = replay_lines(records, tell, speed=factor_of(speed), clock=SystemClock())
    _end(seen, records, output, note=open_end(seen))


@app.command()
def doctor(
    playbook: Annotated[
        Path | None, typer.Argument(help="Also try this playbook.", show_default=False)
    ] = None,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    state: State = None,
) -> None:
    """Look what works from here: programs, cluster, rights, and how proxies are reached."""
    from upgrader.doctor import examine

    lines, well = examine(_flags(state, kubeconfig, context), playbook)
    typer.echo("\n".join(lines))
    raise typer.Exit(ExitCode.COMPLETED if well else ExitCode.REFUSED)


@playbook_app.command("validate")
def validate(playbook: PlaybookPath) -> None:
    """Check a playbook and all it names on this machine; needs no cluster."""
    from upgrader.context import load_playbook

    loaded = load_playbook(playbook, _flags(None))
    typer.echo(f"{loaded.path}: {loaded.playbook.name} is valid")


@playbook_app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a playbook, for editors."""
    from upgrader.adapters.playbook_file import schema as schema_of

    typer.echo(json.dumps(schema_of(), indent=2))


@playbook_app.command("new")
def new(kind: Annotated[str, typer.Argument(help="The strategy.")] = "rolling") -> None:
    """Print a commented playbook to start from."""
    from upgrader.adapters.playbook_file import new as text_of

    typer.echo(text_of(kind), nl=False)


def main() -> NoReturn:
    """Run the command line; expected errors end in their exit code and no traceback."""
    _mount_lab()
    try:
        app()
    except UpgraderError as error:
        typer.echo(f"upgrader: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(ExitCode.COMPLETED)


def _mount_lab() -> None:
    """Add the lab's commands; their module imports nothing dear."""
    from upgrader.lab import commands

    app.add_typer(commands.app, name="lab")


if __name__ == "__main__":
    main()
