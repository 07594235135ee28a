"""The group `sim`: makes and runs simulations, and shows their runs."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thence.cli.commands.verify import finding_json
from thence.cli.groups import Commands, help_with, json_option, verbosity_options
from thence.cli.output import Output, current
from thence.cli.shared.locate import runs
from thence.cli.shared.render import bars, counted, wrapped
from thence.core.query.tally import descending
from thence.errors import NotALog
from thence.inspection.outcome import outcome
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import segments
from thence.replica import open_log

if TYPE_CHECKING:
    from thence.sim.result import RunResult

_ALTERED_SHOWN_MAX = 3
_NOTICES_SHOWN_MAX = 10
VERBOSITIES = ("MILESTONE", "DECISION", "ACTION", "STATE", "DETAIL")
root_option = click.option(
    "--output-root",
    "root",
    metavar="FOLDER",
    help="The folder of runs; else THENCE_ROOT, else ./output.",
)


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
    from thence.cli.shared.run_progress import play, with_changes
    from thence.sim.config import SimulationConfig

    out = current()
    config = with_changes(SimulationConfig.from_file(scenario), seed=seed, max_turns=turns)
    settings = {"output_root": root or out.settings.root, "verbosity": verbosity, "mode": mode}
    with progress(out) as show:
        result = play(out, config, show, settings)
    if is_json:
        out.json(result.to_dict())
    else:
        out.write(
            f"run {result.run_id} {result.status}: {result.turns} turns, {result.events} events,"
            f" {result.output_dir}"
        )
    return ended(out, result)


def ended(out: Output, result: "RunResult") -> int:
    """Reports the failure of a run, if it failed, and returns the exit code."""
    from thence.cli.exit_codes import FAILED, INTERRUPTED

    if result.dropped or result.failed:
        out.notice(f"{result.dropped} events were dropped, {result.failed} could not be written")
    if result.status == "interrupted":
        out.notice("interrupted; what happened until then is in the log")
        return INTERRUPTED
    if result.status == "completed":
        return 0
    lines = (
        f"thence: run {result.run_id} failed",
        f"  why:  {result.error or result.reason}",
        f"  next: thence why @last-error --log {result.output_dir}",
    )
    out.warn(*lines)
    return FAILED


@sim_command.command("list", **help_with("thence sim list --json"))
@root_option
@json_option
@verbosity_options
def list_command(root: str | None, is_json: bool) -> None:
    """List the runs, the newest first."""
    from thence.cli.shared.render import counted

    out = current()
    folder = Path(root or out.settings.runs)
    entries = [run_entry(run) for run in run_folders(folder)]
    if is_json:
        out.json({"runs": entries})
        return
    for entry in entries:
        events = counted(int(str(entry["events"])), "event")
        note = altered_note(entry)
        line = f"{entry['status']:<11}  {events:>14}  {entry['run_id']}"
        out.write(f"{line}  ({note})" if note else line)
    if not entries:
        out.notice(f"no runs in {folder}; `thence sim run spatial_trade_network` makes one")


@sim_command.command("show", **help_with("thence sim show output/my-run"))
@click.argument("run", required=False)
@json_option
@verbosity_options
def show_command(run: str | None, is_json: bool) -> None:
    """Sum up a run, by default the newest.

    RUN is a run's id, its folder, or one of its files: its turns, agents, events by type,
    files, and what the log noted about itself.
    """
    from thence.cli.shared.locate import find_log

    out = current()
    folder = find_log(out, run)
    facts = summary(folder)
    if is_json:
        out.json(facts)
    else:
        out.write(*summary_lines(facts, str(folder), out.width))


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


def run_folders(root: Path) -> Iterator[Path]:
    """Yields the folders of simulations' runs, the newest first."""
    for folder in runs(root):
        vocabulary = _read(folder / ".thence" / "log.json").get("vocabulary")
        if vocabulary == "sim" or (folder / "config.json").is_file():
            yield folder


def run_entry(folder: Path) -> dict[str, Any]:
    """Returns the entry of a run in a list."""
    from thence.sim.run_folder import count_events

    result = _read(folder / "result.json")
    return {
        "run_id": folder.name,
        "name": run_name(folder),
        "status": result.get("status") or outcome(OS_DISK, folder),
        "events": count_events(folder),
        **_altered_member(folder),
    }


def altered_note(entry: Mapping[str, Any]) -> str:
    """Returns the altered steps of a run, as "altered: 2.decide.ada.0"; "" without any."""
    steps = entry.get("altered", ())
    shown = ", ".join(steps[:_ALTERED_SHOWN_MAX])
    more = len(steps) - _ALTERED_SHOWN_MAX
    return f"altered: {shown}{f' and {more} more' if more > 0 else ''}" if steps else ""


def _altered_member(folder: Path) -> dict[str, list[str]]:
    """Returns the member `altered`, the steps that a run had to alter; {} without any."""
    found = _read(folder / "config.json").get("altered")
    return {"altered": list(found)} if isinstance(found, dict) and found else {}


def run_name(folder: Path) -> str:
    """Returns the name in a run's scenario, else the name of its folder."""
    scenario = _read(folder / "config.json").get("scenario")
    section = scenario.get("simulation") if isinstance(scenario, dict) else None
    return str((section if isinstance(section, dict) else {}).get("name", folder.name))


def summary(folder: Path) -> dict[str, Any]:
    """Reads a run completely and returns its summary as JSON values.

    Raises NotALog for a log of another host.
    """
    result = _read(folder / "result.json")
    with open_log(folder, create=False) as log:
        if log.vocabulary.name != "sim":
            raise NotALog(
                "could not sum up",
                place=folder,
                cause=f"it is a {log.vocabulary.name} log, no simulation's run",
                hint="`thence sim list` lists the runs, `thence log` the events of any log",
            )
        events = log.events()
        checked = log.verify()
        notices = [log.vocabulary.sentence(e) for e in events if log.vocabulary.is_notice(e)]
    return {
        "run_id": folder.name,
        "name": run_name(folder),
        "status": result.get("status") or outcome(OS_DISK, folder),
        "reason": result.get("reason"),
        "error": result.get("error"),
        **_altered_member(folder),
        "turns": max((event.turn_number or 0 for event in events), default=0),
        "events": len(events),
        "by_type": descending(Counter(event.event_type for event in events)),
        "by_actor": descending(Counter(event.actor for event in events if event.actor)),
        "first": events[0].timestamp if events else None,
        "last": events[-1].timestamp if events else None,
        "files": [
            {"file": path.name, "bytes": path.stat().st_size} for path in segments(OS_DISK, folder)
        ],
        "notices": notices,
        "damage": [finding_json(finding) for finding in checked.damage],
    }


def summary_lines(facts: Mapping[str, Any], folder: str, width: int) -> list[str]:
    """Returns a summary as lines."""
    reason = facts["error"] or facts["reason"]
    lines = [
        *wrapped(facts["run_id"], width),
        *wrapped(facts["status"] + (f": {reason}" if reason else ""), width, "  "),
        f"  {counted(facts['turns'], 'turn')}, {counted(facts['events'], 'event')}",
    ]
    if note := altered_note(facts):
        lines += wrapped(note, width, "  ")
    if facts["first"]:
        lines.append(f"  {facts['first']} to {facts['last']}")
    lines += ["", "by type", *bars(facts["by_type"])]
    if facts["by_actor"]:
        lines += ["", "by agent", *bars(facts["by_actor"])]
    lines += ["", f"files in {folder}"]
    lines += [f"  {file['file']}  {file['bytes']:,} bytes" for file in facts["files"]]
    if facts["notices"]:
        lines += ["", "noted by the log"]
        shown = facts["notices"][-_NOTICES_SHOWN_MAX:]
        for notice in shown:
            lines += wrapped(notice, width, "  ", "    ")
    damage = counted(len(facts["damage"]), "finding") + " of damage: thence verify tells where"
    lines += ["", damage if facts["damage"] else "no damage"]
    return lines


def _read(path: Path) -> dict[str, Any]:
    """Reads a JSON object that the run wrote; {} where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
