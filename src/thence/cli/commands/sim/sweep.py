"""The commands of many runs: `sim sweep` plays them, `sim table` and `sim plot` show what came."""

import os
import re
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from thence.cli import FAILED, INTERRUPTED
from thence.cli.frame import PATH, file_option, help_with, json_or_text, output_options
from thence.cli.output import Output, current
from thence.cli.shared.locate import find_run
from thence.cli.shared.progress import bar
from thence.cli.shared.render import counted
from thence.sim.again.on_ray import play_on_ray
from thence.sim.again.sweep import (
    Sweep,
    command_of,
    equal_seeds,
    is_completed,
    keep_plan,
    make_plan,
    play_in_processes,
    read_plan,
    sweep_table,
)
from thence.sim.results.plot import plot
from thence.sim.results.table import Table

Settings = dict[str, list[Any]]
_SEEDS = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
_SEEDS_MAX = 100_000


def _settings(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> Settings:
    """Returns the values of each key of KEY=VALUE,VALUE; a value is JSON, or else a text."""
    settings: Settings = {}
    for text in texts:
        key, _, listed = text.partition("=")
        values = json_or_text(f"[{listed}]")
        if isinstance(values, str):
            values = [json_or_text(part) for part in listed.split(",")]
            if any(isinstance(value, str) and {*value[:1]} & {*'"[{'} for value in values):
                reason = f"{text!r} begins a quoted string, a list or a map, and is not JSON"
                raise click.BadParameter(reason, context, parameter)
        if not all(key.split(".")) or not values or "" in values:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE,VALUE", context, parameter)
        if key == "simulation.seed":
            raise click.BadParameter("seeds are given by --seed or --seeds", context, parameter)
        earlier = settings.setdefault(key, [])
        by_text = {msgspec.json.encode(value): value for value in (*earlier, *values)}
        earlier[:] = by_text.values()  # an equal value would make the same runs again
    return settings


def _seeds(context: click.Context, parameter: click.Parameter, text: str | None) -> list[int]:
    """Returns the seeds of a list such as 1-50,99."""
    seeds: set[int] = set()
    for part in text.split(",") if text is not None else ():
        match = _SEEDS.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not 0 <= last - first < _SEEDS_MAX:
            reason = f"{part!r} is neither a seed nor a range such as 1-50"
            raise click.BadParameter(reason, context, parameter)
        seeds.update(range(first, last + 1))
    return sorted(seeds)


def check_ending(path: Path, *endings: str) -> None:
    """Raises BadParameter for a file with another ending."""
    if path.suffix not in endings:
        reason = f"{path} does not end in {' or '.join(endings)}"
        raise click.BadParameter(reason, param_hint="--output")


def write_table(table: Table, path: Path) -> None:
    """Writes a table as CSV if the file's ending says so, else as Parquet."""
    (table.to_csv if path.suffix == ".csv" else table.to_parquet)(path)


output_option = file_option(
    "The file to write or replace, as a whole; its extension gives the format.", is_required=True
)
setting_option = click.option(
    *("--set", "settings"),
    multiple=True,
    callback=_settings,
    metavar="KEY=VALUE",
    help="A key of the scenario, such as engine.growth=0.2; for a sweep 0.2,0.35.",
)


@click.command(
    "sweep",
    **help_with(
        "thence sim sweep fishery --set engine.growth=0.2,0.35 --seeds 1-50",
        extra="ray for --on ray",
    ),
)
@click.argument("scenario", required=False, type=PATH)
@setting_option
@click.option("--seeds", metavar="LIST", callback=_seeds, help="As 1-50; default: the scenario's.")
@click.option(
    "--jobs", type=click.IntRange(1, 1000), help="Runs in parallel; default: one per processor."
)
@click.option("--on", type=click.Choice(("here", "ray")), default="here", help="Here, or on Ray.")
@click.option(
    *("-o", "--output"),
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder; default: ./output/SCENARIO-sweep.",
)
@click.option("--print", "is_printed", is_flag=True, help="Print the commands, and run nothing.")
@output_options
def sweep_command(
    scenario: str | None,
    settings: Settings,
    seeds: list[int],
    jobs: int | None,
    on: str,
    output: Path | None,
    is_printed: bool,
) -> int:
    """Run a scenario many times, over seeds and values of its settings.

    Each combination of values runs with each seed. The folder gets plan.json and a folder for each
    run. To continue, run the same command again, or name only the folder: missing runs are started,
    and runs that were cut off or failed are resumed. Exit code 1 if a run failed; the others
    continue. Ray runs at RAY_ADDRESS, by default on this machine.
    """
    out = current()
    if scenario is None:
        if output is None or settings or seeds:
            raise click.UsageError("name a scenario, or only --output to continue a sweep")
        kept = read_plan(output)
        scenario, settings, seeds = kept.scenario, kept.settings, kept.seeds
    plan = make_plan(scenario, settings, seeds)
    folder = output or Path(out.settings.runs, f"{Path(plan.scenario).stem}-sweep")
    plan = keep_plan(folder, plan)
    runs = plan.runs
    if is_printed:
        commands = [command_of(plan, run, folder) for run in runs if not is_completed(folder, run)]
        out.result({"commands": commands}, commands)
        return 0
    count, status, code = len(runs), "completed", 0
    with bar(out, "runs") as show:
        sweep = Sweep(plan, folder, lambda completed: show(completed, count))
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            if on == "ray" and sweep.waiting:
                play_on_ray(sweep, jobs, os.environ.get("RAY_ADDRESS"))
            elif sweep.waiting:
                play_in_processes(sweep, jobs or os.cpu_count() or 1)
        except KeyboardInterrupt:
            status, code = "interrupted", INTERRUPTED
    failed = [
        {"run_id": run.run_id, "error": fault, "next": command_of(plan, run, folder)}
        for run in runs
        if (fault := sweep.faults.get(run.run_id))
    ]
    if failed and not code:
        status, code = "failed", FAILED
    result = {"folder": str(folder), "status": status, "runs": count}
    line = f"sweep {status}: {sweep.completed} of {counted(count, 'run')} completed, {folder}"
    out.result({**result, "completed": sweep.completed, "failed": failed}, [line])
    _warn_of_equal_seeds(folder)
    for run in failed:
        out.report(f"run {run['run_id']} is not completed", run["error"], run["next"])
    if code == INTERRUPTED:
        out.notice(f"next: thence sim sweep --output {folder}")
    return code


@click.command(
    "table",
    **help_with("thence sim table my-sweep --output runs.parquet", extra="tables for Parquet"),
)
@click.argument("folder", metavar="SWEEP|RUN", type=PATH)
@output_option
@click.option(
    "--rows", type=click.Choice(("runs", "turns")), default="runs", help="A row for each."
)
@click.option("--variable", multiple=True, help="With turns: that of one row, people/817/money.")
@output_options
def table_command(
    folder: str, output: Path, rows: Literal["runs", "turns"], variable: tuple[str, ...]
) -> None:
    """Write a sweep, or one run, as a table in Parquet or CSV.

    A row is a run, with its settings, seed, status and the final values of its variables; or a turn
    of a run, with the values after it.
    """
    out = current()
    check_ending(output, ".parquet", ".csv")
    place = _folder(out, folder)
    table = sweep_table(place, rows, variable)
    write_table(table, output)
    told = f"{counted(len(table), 'row')} in {output}"
    out.result({"rows": len(table), "columns": table.columns, "file": str(output)}, [told])
    _warn_of_equal_seeds(place)


@click.command(
    "plot",
    **help_with("thence sim plot my-sweep --variable global/fish --output fish.svg", extra="plot"),
)
@click.argument("folders", metavar="SWEEP|RUN...", nargs=-1, required=True, type=PATH)
@click.option("--variable", multiple=True, required=True, help="SCOPE/NAME; * matches any text.")
@output_option
@output_options
def plot_command(folders: tuple[str, ...], variable: tuple[str, ...], output: Path) -> None:
    """Draw variables of sweeps and runs over the turns, as PNG or SVG.

    In a sweep each combination of settings is a line: the run in the middle of its seeds, in a band
    that holds 80 % of them. Several runs are drawn together, and where a branch diverges from
    another.
    """
    out = current()
    check_ending(output, ".png", ".svg")
    places = [_folder(out, folder) for folder in folders]
    with bar(out, "runs") as show:
        plot(places, variable, output, show)
    out.result({"file": str(output)}, [str(output)])
    for place in places:
        _warn_of_equal_seeds(place)


def _warn_of_equal_seeds(folder: Path) -> None:
    if told := equal_seeds(folder):
        current().notice(told)


def _folder(out: Output, name: str) -> Path:
    """Returns the folder of a sweep, or of a run by its folder or id."""
    return Path(name) if (Path(name) / "plan.json").is_file() else find_run(out, name)
