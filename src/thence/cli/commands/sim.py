"""The group `sim`: makes simulations, runs them, and plays runs again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thence.cli.commands.sim_runs import list_command, root_option, show_command
from thence.cli.frame import Commands, help_with, output_options, verbosity_options
from thence.cli.output import Output, current

if TYPE_CHECKING:
    from thence.sim.calls import OnWait
    from thence.sim.run import SimulationOrchestrator

VERBOSITIES = ("MILESTONE", "DECISION", "ACTION", "STATE", "DETAIL")


@click.group(
    "sim",
    cls=Commands,
    invoke_without_command=True,
    **help_with("thence sim run spatial_trade_network"),
)
@verbosity_options
@click.pass_context
def sim_command(context: click.Context) -> None:
    """Run simulations and look at their runs."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (list_command, show_command):
    sim_command.add_command(command)


@sim_command.command("run", **help_with("thence sim run spatial_trade_network --seed 3 --turns 20"))
@click.argument("scenario")
@click.option("--seed", type=int, help="Another seed than the scenario's.")
@click.option("--turns", type=click.IntRange(min=1), help="At most so many turns.")
@click.option(
    "--verbosity",
    type=click.Choice(VERBOSITIES, case_sensitive=False),
    help="Which events are written: each level writes those before it too.",
)
@click.option(
    "--mode",
    type=click.Choice(("async", "sync"), case_sensitive=False),
    help="async queues events, sync makes each durable before the next.",
)
@root_option
@output_options
def run_command(
    scenario: str,
    seed: int | None,
    turns: int | None,
    verbosity: str | None,
    mode: str | None,
    root: str | None,
) -> int:
    """Run a scenario.

    SCENARIO is a YAML file, or the bare name of one that comes with thence. The run gets a
    folder of its own; Ctrl-C ends it in good order.
    """
    from thence.sim.run import SimulationOrchestrator

    out = current()
    return _played(
        out,
        lambda show, wait: SimulationOrchestrator(
            scenario,
            seed=seed,
            max_turns=turns,
            output_root=root or out.settings.root,
            verbosity=verbosity,
            mode=mode,
            on_turn=show,
            on_wait=wait,
        ),
    )


@sim_command.command(
    "validate", **help_with("thence sim validate scenarios/spatial_trade_network.yaml")
)
@click.argument("scenario")
@output_options
def validate_command(scenario: str) -> int:
    """Check a scenario without running it.

    Each problem is reported with file, line, key and a hint. Exit code 2 if there is one.
    """
    from thence.cli import MISUSED
    from thence.cli.failure import problem_line
    from thence.cli.shared.render import counted
    from thence.errors import ScenarioError
    from thence.sim.scenario import SimulationConfig

    out = current()
    problems: tuple[dict[str, object], ...] = ()
    try:
        config = SimulationConfig.from_file(scenario)
    except ScenarioError as error:
        problems = tuple(dict(problem) for problem in error.problems)
    if out.is_json:
        out.json({"ok": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            out.write(problem_line(problem))
        out.write(counted(len(problems), "problem"))
    else:
        agents, turns = len(config.agents), config.simulation.max_turns
        sizes = f"{counted(agents, 'agent')}, at most {counted(turns, 'turn')}"
        out.write(f"ok: {config.simulation.name}, {sizes}")
    return MISUSED if problems else 0


@sim_command.command("new", **help_with("thence sim new market"))
@click.argument("project_name", metavar="NAME")
@output_options
def new_command(project_name: str) -> None:
    """Make a folder with a small simulation of your own.

    In the new folder NAME are an agent, an engine, a scenario, and a test that passes.
    """
    from thence.sim.new_project import FILES, is_project_name, make_project

    out = current()
    if not is_project_name(project_name):
        reason = "a name has letters, digits, _ and -, 100 at most"
        raise click.BadParameter(reason, param_hint="NAME")
    make_project(Path(project_name))
    if out.is_json:
        out.json({"folder": project_name, "files": FILES})
        return
    out.write(f"made {project_name} with {', '.join(FILES)}")
    out.notice(f"next: thence sim run {project_name}/scenario.yaml")


@sim_command.command("resume", **help_with("thence sim resume my-run"))
@click.argument("run")
@click.option("--turns", type=click.IntRange(min=1), help="Another number of turns at most.")
@output_options
def resume_command(run: str, turns: int | None) -> int:
    """Play a run on where a kill, Ctrl-C or a failure ended it.

    RUN is a run's id or its folder. It begins at the newest checkpoint; what it comes to again must
    be as it was recorded. Answers that were recorded are not asked for again. Nothing is done for a
    run that is completed, unless --turns is given.
    """
    from thence.cli.shared.locate import find_log
    from thence.sim.recorded import RecordedRun
    from thence.sim.replay import resume

    out = current()
    folder = find_log(out, run)
    with RecordedRun(folder) as recorded:
        result = recorded.result
    if turns is None and result.get("status") == "completed":
        if out.is_json:
            out.json(result)
        else:
            reason = result.get("reason", "its end was reached")
            out.write(f"run {recorded.run_id} is completed: {reason}; nothing is left to play")
            out.write(f"next: thence sim resume {run} --turns NUMBER")
        return 0
    return _played(
        out,
        lambda show, wait: resume(folder, max_turns=turns, on_turn=show, on_wait=wait),
    )


@sim_command.command("replay", **help_with("thence sim replay my-run"))
@click.argument("run")
@output_options
def replay_command(run: str) -> int:
    """Play a run again in memory, and compare all its events.

    RUN is a run's id or its folder. Nothing is written, and nothing outside is asked. Exit code 1
    if an event differs; the first one is named.
    """
    import msgspec

    from thence.cli import FAILED
    from thence.cli.shared.locate import find_log
    from thence.cli.shared.progress import progress, send_records_to_stderr
    from thence.sim.replay import replay
    from thence.sim.run import TurnProgress

    out = current()
    folder = find_log(out, run)
    with progress(out) as display:

        def show(turn: int, turns: int) -> None:
            display.turn(TurnProgress(run_id=folder.name, turn=turn, max_turns=turns, counts={}))

        send_records_to_stderr(out, names_waits=display.wait is None)
        replayed = replay(folder, on_turn=show, on_wait=display.wait)
    if out.is_json:
        out.json(msgspec.structs.asdict(replayed))
    elif not replayed.step:
        out.write(
            f"the same: {replayed.turns} turns, {replayed.events} events, content {replayed.sha256}"
        )
    else:
        out.write(f"not the same: the first difference is at {replayed.step}")
        out.write(f"  {replayed.difference}")
    return FAILED if replayed.step else 0


@sim_command.command(
    "branch", **help_with("thence sim branch my-run --at 12 --set place.Mill.price_grain=9.5")
)
@click.argument("run")
@click.option("--at", type=click.IntRange(min=0), required=True, help="The last turn in common.")
@click.option(
    "--set",
    "values",
    metavar="SUBJECT=VALUE",
    multiple=True,
    help="A variable's value at the end of that turn, such as agent.ada.money=5.",
)
@click.option(
    "--decide",
    "decisions",
    metavar="STEP=ACTION",
    multiple=True,
    help="Another decision, an action as JSON, or null for none.",
)
@click.option("--turns", type=click.IntRange(min=1), help="Another number of turns at most.")
@root_option
@output_options
def branch_command(
    run: str,
    at: int,
    values: tuple[str, ...],
    decisions: tuple[str, ...],
    turns: int | None,
    root: str | None,
) -> int:
    """Play a run on from one of its turns, with something changed.

    RUN is a run's id or its folder. The new run has a folder of its own, and records its parent and
    the changes. `thence diff RUN NEW-RUN` shows what came of them.
    """
    from thence.cli.shared.locate import find_log
    from thence.sim.replay import branch

    out = current()
    changes = _pairs("--set", values), _pairs("--decide", decisions)
    folder = find_log(out, run)
    return _played(
        out,
        lambda show, wait: branch(
            folder,
            at,
            set=changes[0],
            decide=changes[1],
            output_root=root,
            max_turns=turns,
            on_turn=show,
            on_wait=wait,
        ),
    )


def _played(
    out: Output,
    make: "Callable[[Callable[[Any], None], OnWait | None], SimulationOrchestrator]",
) -> int:
    """Plays the run that `make` returns, and reports its end; returns the exit code."""
    from thence.cli.shared.progress import play, progress, report_end

    with progress(out) as display:
        result = play(out, make, display)
    return report_end(out, result)


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, object]:
    """Returns NAME=VALUE pairs; a value is JSON, or else a text as it stands."""
    pairs: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        try:
            pairs[name] = json.loads(value)
        except ValueError:
            if option == "--decide":
                reason = f"{value!r} is no JSON; write '{{\"action_type\": …}}' or null"
                raise click.BadParameter(reason, param_hint=option) from None
            pairs[name] = value
    return pairs
