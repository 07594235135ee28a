"""The group `sim`: makes and runs simulations, and shows their runs."""

from typing import TYPE_CHECKING

import click

from thence.cli.commands.sim_again import branch_command, replay_command, resume_command
from thence.cli.commands.sim_runs import list_command, root_option, show_command
from thence.cli.groups import Commands, help_with, json_option, verbosity_options
from thence.cli.output import current

if TYPE_CHECKING:
    pass

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


for command in (resume_command, replay_command, branch_command):
    sim_command.add_command(command)
sim_command.add_command(list_command)
sim_command.add_command(show_command)


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
@json_option
@verbosity_options
def run_command(
    scenario: str,
    seed: int | None,
    turns: int | None,
    verbosity: str | None,
    mode: str | None,
    root: str | None,
    is_json: bool,
) -> int:
    """Run a scenario.

    SCENARIO is a YAML file, or the bare name of one that comes with thence. The run gets a
    folder of its own; Ctrl-C ends it in good order.
    """
    from thence.cli.shared.progress import progress
    from thence.cli.shared.run_progress import play, report_end, with_changes
    from thence.sim.config import SimulationConfig

    out = current()
    config = with_changes(SimulationConfig.from_file(scenario), seed=seed, max_turns=turns)
    settings = {"output_root": root or out.settings.root, "verbosity": verbosity, "mode": mode}
    with progress(out) as display:
        result = play(out, config, display, settings)
    return report_end(out, result, is_json=is_json)


@sim_command.command(
    "validate", **help_with("thence sim validate scenarios/spatial_trade_network.yaml")
)
@click.argument("scenario")
@json_option
@verbosity_options
def validate_command(scenario: str, is_json: bool) -> int:
    """Check a scenario without running it.

    Each problem is reported with file, line, key and a hint. Exit code 2 if there is one.
    """
    from thence.cli.exit_codes import MISUSED
    from thence.cli.failure import problem_line
    from thence.cli.shared.render import counted
    from thence.errors import ScenarioError
    from thence.sim.config import SimulationConfig

    out = current()
    problems: tuple[dict[str, object], ...] = ()
    try:
        config = SimulationConfig.from_file(scenario)
    except ScenarioError as error:
        problems = tuple(dict(problem) for problem in error.problems)
    if is_json:
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
@json_option
@verbosity_options
def new_command(project_name: str, is_json: bool) -> None:
    """Make a folder with a small simulation of your own.

    In the new folder NAME are an agent, an engine, a scenario, and a test that passes.
    """
    from pathlib import Path

    from thence.sim.new_project import FILES, is_project_name, make_project

    out = current()
    if not is_project_name(project_name):
        reason = "a name has letters, digits, _ and -, 100 at most"
        raise click.BadParameter(reason, param_hint="NAME")
    make_project(Path(project_name))
    if is_json:
        out.json({"folder": project_name, "files": FILES})
        return
    out.write(f"made {project_name} with {', '.join(FILES)}")
    out.notice(f"next: thence sim run {project_name}/scenario.yaml")
