"""The group `sim`: makes simulations, runs them, and plays runs again."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from os.path import relpath
from pathlib import Path
from typing import Any

import click
import msgspec

from thence.cli import FAILED, MISUSED
from thence.cli.commands.log.verify import finding_json
from thence.cli.commands.sim.playing import play, run_bar, send_records_to_stderr
from thence.cli.commands.sim.sweep import (
    check_ending,
    plot_command,
    setting_option,
    sweep_command,
    table_command,
    write_table,
)
from thence.cli.failure import problem_line
from thence.cli.frame import (
    PATH,
    command_group,
    file_option,
    help_with,
    json_or_text,
    log_argument,
    output_options,
)
from thence.cli.output import Output, current, wrapped
from thence.cli.shared.locate import find_log, find_run, newest_run, runs
from thence.cli.shared.render import (
    NAMES_SHOWN_MAX,
    bars,
    counted,
    failures_text,
    some_lines,
    table,
    usage_text,
)
from thence.core.sentences.events import clipped
from thence.errors import ScenarioError, ThenceError
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import segments
from thence.log.recovery.writers import outcome, run_status
from thence.sim.again.replay import branch, replay, resume
from thence.sim.record.events import VerbosityLevel
from thence.sim.results.recorded import RecordedRun, fitting, read_object, read_result
from thence.sim.run.costs import forecast, run_usage
from thence.sim.run.run import SimulationOrchestrator
from thence.sim.run.run_folder import count_events
from thence.sim.run.simulation import make_components
from thence.sim.scenario.new_project import FILES, is_project_name, make_project
from thence.sim.scenario.scenario import SimulationConfig

_ALTERED_SHOWN_MAX = 3
_NOTICES_SHOWN_MAX = 10
_PARAMETER_CHARACTERS_MAX = 60
# the variables that are shown unless the user names some
_VARIABLES_SHOWN_MAX = 6
_NUMBERS = ("int", "float")
_VARIABLE_COLUMNS_MAX, _VALUE_CHARACTERS_MAX = 36, 40
root_option = click.option(
    "--output-root",
    "root",
    type=PATH,
    metavar="FOLDER",
    help="The folder of runs; default: THENCE_ROOT or ./output.",
)


@command_group("sim", "thence sim run spatial_trade_network")
def sim_command() -> None:
    """Run simulations and look at their runs."""


@sim_command.command("list", **help_with("thence sim list --json"))
@root_option
@output_options
def list_command(root: str | None) -> None:
    """List the runs, the newest first.

    A run is running, completed, failed, interrupted (by Ctrl-C, or by the program that ran it),
    killed (its process ended without recording it), or unreadable.
    """
    out = current()
    root_folder = Path(root or out.settings.runs)
    entries, rows = [], []
    for folder in runs(root_folder):
        config = read_object(folder / "config.json")
        vocabulary = read_object(folder / ".thence" / "log.json").get("vocabulary")
        if vocabulary != "sim" and not (folder / "config.json").is_file():
            continue
        entry = _entry(folder, config, read_result(folder))
        try:
            entry["events"] = count_events(folder)
        except OSError:  # such as another user's, which hides no other run
            entry |= {"status": "unreadable", "events": 0}
        notes = "; ".join(_notes(entry))
        name = f"{entry['run_id']}  ({notes})" if notes else entry["run_id"]
        status = run_status(entry["status"], entry).text
        rows.append((status, counted(entry["events"], "event"), name))
        entries.append(entry)
    lines = table(rows, right=(1,))
    missing = f"no runs in {root_folder}; `thence sim run spatial_trade_network` creates one"
    out.result({"runs": entries}, lines, () if entries else [missing])


@sim_command.command(
    "show", **help_with("thence sim show output/my-run --variable place/Mill/price_ore")
)
@click.argument("run", required=False, type=PATH)
@click.option(
    "--variable",
    "patterns",
    multiple=True,
    metavar="SCOPE/NAME",
    help="A variable to show; * matches any characters.",
)
@output_options
def show_command(run: str | None, patterns: tuple[str, ...]) -> None:
    """Summarize a run, by default the newest.

    RUN is a run's id, its folder, or one of its files. The summary has its state and parameters,
    its variables over the turns, its events by type and agent, its files, and the log's notices
    about itself. It shows some numbers that changed, those of the world and of places first; -v
    shows all.
    """
    out = current()
    folder = find_run(out, run) if run else find_log(out, out.settings.log or newest_run(out))
    with RecordedRun(folder) as recorded:
        facts = summary(recorded)
        courses, note = variable_courses(recorded, patterns)
    if out.is_json:
        out.json({**facts, "variables": courses})
        return
    variables = []
    if courses:
        rows = [(one["variable"], _course_text(one)) for one in courses]
        variables = table(rows, indent="  ", most={0: _VARIABLE_COLUMNS_MAX}, width=out.width)
        most = len(rows) if patterns else _VARIABLES_SHOWN_MAX
        variables = some_lines(out, variables, most, "variable")
    variables += wrapped(note, out.width, "  ") if note else []
    out.write(*summary_lines(facts, str(folder), out, variables))


def summary(run: RecordedRun) -> dict[str, Any]:
    """Reads a run completely and returns its summary as JSON values; None is what it lacks."""
    log, result, words = run.log, run.result, run.log.vocabulary
    tally, checked = log.stats(), log.verify()
    failures, rejected = log.failures()
    systems = (event for page in log.pages(type="SYSTEM") for event in page)
    notices = filter(words.is_notice, systems)
    scenario, recorded = _member(run.config, "scenario"), _member(run.config, "events")
    llm = _member(run.config, "llm")
    settings = _member(run.config, "simulation") or _member(scenario, "simulation")
    agents = None
    if isinstance(scenario.get("agents"), list):
        counts = (entry.get("count") for entry in scenario["agents"] if isinstance(entry, dict))
        agents = sum(count if type(count) is int else 1 for count in counts)
    last_turn = next((event.turn_number or 0 for event in log.query(turn="0..", last=1)), 0)
    return {
        **_entry(run.folder, run.config, result),
        "reason": result.get("reason"),
        "error": result.get("error"),
        "parameters": {
            "seed": settings.get("seed"),
            "max_turns": settings.get("max_turns"),
            "verbosity": recorded.get("verbosity"),
            "mode": recorded.get("mode"),
            "engine": _member(scenario, "engine").get("type"),
            "validator": _member(scenario, "validator").get("type"),
            "agents": agents,
            "scenario": run.config.get("source"),
        },
        "turns": min(last_turn, result.get("turns", last_turn)),
        "events": tally.events,
        "failures": failures,
        "rejected": rejected,
        "by_type": tally.by_type,
        "by_actor": tally.by_actor,
        "first": tally.first and tally.first.timestamp,
        "last": tally.last and tally.last.timestamp,
        "files": [
            {"file": path.name, "bytes": path.stat().st_size}
            for path in segments(OS_DISK, run.folder)
        ],
        # of ordinary runs, whose many causes stand in several events, some would hide all others
        "notices": [words.sentence(e) for e in notices if words.notice_kind(e) != "joined"],
        "usage": run_usage(run.folder, has_cassette=bool(llm.get("cassette"))),
        "damage": [finding_json(finding) for finding in checked.damage],
    }


def _entry(folder: Path, config: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what `list` and `show` say of a run; it has `altered` steps and a `parent` or not."""
    name = _member(_member(config, "scenario"), "simulation").get("name", folder.name)
    status = result.get("status") or outcome(OS_DISK, folder)
    entry: dict[str, Any] = {"run_id": folder.name, "name": str(name), "status": status}
    entry |= {name: result[name] for name in ("decisions", "decisions_failed") if name in result}
    if altered := _member(config, "altered"):
        entry["altered"] = list(altered)
    parent = _member(config, "parent")
    if isinstance(parent.get("run_id"), str):
        turn = parent.get("turn")
        entry["parent"] = {**parent, "turn": turn if type(turn) is int else None}
    return entry


def _notes(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yields the parent and the altered steps of a run as text, where it has them."""
    if parent := facts.get("parent"):
        turn = "" if parent["turn"] is None else f" at turn {parent['turn']}"
        yield f"branch of {parent['run_id']}{turn}"
    if steps := facts.get("altered"):
        rest = len(steps) - _ALTERED_SHOWN_MAX
        rest_text = f" and {rest} more" if rest > 0 else ""
        yield f"altered: {', '.join(steps[:_ALTERED_SHOWN_MAX])}{rest_text}"


def variable_courses(run: RecordedRun, patterns: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
    """Returns the first and last values of a run's variables, and a note on what is left out.

    Numbers have their range too. Those are taken that fit a pattern; without any, numbers that
    changed. There are none where the verbosity left out changes: then patterns raise
    `not_recorded`. A pattern that no variable fits raises InvalidFilter.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            values = run.variables()
        except ThenceError as error:
            if patterns or error.code != "not_recorded":
                raise
            return [], "" if run.verbosity is None else f"{error.cause}: its log holds no changes"
        columns = fitting(values.columns[1:], patterns)
        if not patterns:
            columns = [name for name in values.columns[1:] if values.kinds[name] in _NUMBERS]
        unknown = dict.fromkeys(("first", "last", "minimum", "maximum"))
        courses: list[dict[str, Any]] = [{"variable": name, **unknown} for name in columns]
        for row in values:
            for course in courses:
                value: Any = row[course["variable"]]
                if course["first"] is None:  # an agent that came later had none before
                    course["first"] = value
                course["last"] = value
                if type(value) in (int, float):
                    low, high = course["minimum"], course["maximum"]
                    course["minimum"] = value if low is None else min(low, value)
                    course["maximum"] = value if high is None else max(high, value)
    note = str(caught[0].message) if caught else ""
    if not patterns:
        courses = [one for one in courses if one["minimum"] != one["maximum"]]
    return courses, note


def _course_text(course: Mapping[str, Any]) -> str:
    """Returns the first and last value of a variable, with the range of a number."""
    texts = []
    for name in ("first", "last", "minimum", "maximum"):
        value = course[name]
        if type(value) is int:
            texts.append(f"{value:,}")
        elif isinstance(value, float):
            texts.append(f"{value:.4g}")
        else:
            texts.append(clipped(msgspec.json.encode(value).decode(), _VALUE_CHARACTERS_MAX))
    first, last, low, high = texts
    return f"{first} to {last}" + ("" if course["minimum"] is None else f" ({low}..{high})")


def summary_lines(
    facts: Mapping[str, Any], folder: str, out: Output, variables: Sequence[str]
) -> list[str]:
    """Returns a summary as lines, among them those of the variables."""
    width, reason = out.width, facts["error"] or facts["reason"]
    reason_text = f": {reason}" if reason else ""
    lines = [
        *wrapped(facts["run_id"], width),
        *wrapped(run_status(facts["status"], facts).text + reason_text, width, "  "),
        f"  {counted(facts['turns'], 'turn')}, {counted(facts['events'], 'event')}",
    ]
    if facts["failures"] or facts["rejected"]:
        lines.append(f"  {failures_text(facts['failures'], facts['rejected'])}")
    for note in _notes(facts):
        lines += wrapped(note, width, "  ")
    parameters = {key: value for key, value in facts["parameters"].items() if value is not None}
    if "scenario" in parameters:
        parameters["scenario"] = Path(str(parameters["scenario"])).name
    if text := ", ".join(
        f"{key.replace('_', ' ')} {clipped(str(value), _PARAMETER_CHARACTERS_MAX)}"
        for key, value in parameters.items()
    ):
        lines += wrapped(text, width, "  ", "    ")
    if facts["first"]:
        lines.append(f"  {facts['first']} to {facts['last']}")
    sections = {
        "variables": variables,
        "by type": bars(out, facts["by_type"]),
        "by agent": bars(out, facts["by_actor"], noun="agent"),
    }
    for part, entries in facts["usage"].items():
        texts = [f"  {name}: {usage_text(sums)}" for name, sums in entries.items()]
        sections[f"models, {part.replace('_', ' ')}"] = some_lines(
            out, texts, NAMES_SHOWN_MAX, "name"
        )
    sections[f"files in {folder}"] = [
        f"  {file['file']}  {file['bytes']:,} bytes" for file in facts["files"]
    ]
    notices = facts["notices"][-_NOTICES_SHOWN_MAX:]
    sections["noted by the log"] = [
        line for notice in notices for line in wrapped(notice, width, "  ", "    ")
    ]
    for title, section in sections.items():
        lines += ["", title, *section] if section else []
    damage = counted(len(facts["damage"]), "finding") + " of damage: see `thence verify`"
    return [*lines, "", damage if facts["damage"] else "no damage"]


def _member(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns a member that is an object; {} where there is none."""
    member = of.get(name)
    return member if isinstance(member, dict) else {}


_turns_option = click.option(
    "--turns", "max_turns", type=click.IntRange(min=1), help="The maximum number of turns."
)
_calls_option = click.option(
    "--max-calls",
    type=click.IntRange(min=0),
    help="Pause before the models get more calls than this.",
)
_cost_option = click.option(
    "--max-cost",
    type=click.FloatRange(min=0),
    help="Pause once the models have cost this much, by the endpoints' prices.",
)


@sim_command.command(
    "run",
    **help_with(
        "thence sim run spatial_trade_network --seed 3 --turns 20", extra="llm for agents of models"
    ),
)
@click.argument("scenario", type=PATH)
@click.option("--seed", type=int, help="The seed; default: the scenario's.")
@_turns_option
@setting_option
@click.option("--run-id", metavar="NAME", help="The name of the run's folder; default: a new one.")
@click.option(
    "--verbosity",
    type=click.Choice([level.name for level in VerbosityLevel], case_sensitive=False),
    help="The events to write: each level adds to those before it.",
)
@click.option(
    "--mode",
    type=click.Choice(("async", "sync"), case_sensitive=False),
    help="async queues events, sync makes each durable before the next.",
)
@click.option(
    "--cassette",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Use the recorded answers in this file; no model is called.",
)
@_calls_option
@_cost_option
@root_option
@output_options
def run_command(
    scenario: str,
    settings: dict[str, list[Any]],
    root: str | None,
    **others: Any,
) -> int:
    """Run a scenario.

    SCENARIO is a YAML file, or the bare name of one that comes with thence. The run gets its own
    folder; Ctrl-C stops it cleanly.
    """
    out = current()
    several = next((key for key, values in settings.items() if len(values) > 1), None)
    if several:
        reason = f"{several} has several values, which `thence sim sweep` takes"
        raise click.BadParameter(reason, param_hint="--set")
    config = SimulationConfig.from_file(scenario, {key: one for key, (one,) in settings.items()})
    others["output_root"] = root or out.settings.root
    others["turns_planned"] = config.simulation.max_turns
    return play(out, SimulationOrchestrator, config, **others)


@sim_command.command(
    "validate", **help_with("thence sim validate scenarios/spatial_trade_network.yaml")
)
@click.argument("scenario", type=PATH)
@click.option(
    "--cost",
    "is_priced",
    is_flag=True,
    help="Estimate its models' cost from the messages of turn 1; nothing is sent.",
)
@output_options
def validate_command(scenario: str, is_priced: bool) -> int:
    """Check a scenario without running it.

    Each problem is reported with file, line, key and a hint. Exit code 2 if there is one.
    """
    out = current()
    problems: tuple[dict[str, object], ...] = ()
    price = None
    try:
        config = SimulationConfig.from_file(scenario)
        components = make_components(config)
        price = forecast(config, components) if is_priced else None
    except ScenarioError as error:
        problems = tuple(dict(problem) for problem in error.problems)
    if out.is_json:
        content = {"ok": not problems, "problems": problems}
        out.json({**content, "forecast": price} if price else content)
    elif problems:
        for problem in problems:
            out.write(problem_line(problem))
        out.write(counted(len(problems), "problem"))
    else:
        agents, turns = len(config.agents), config.simulation.max_turns
        sizes = f"{counted(agents, 'agent')}, at most {counted(turns, 'turn')}"
        out.write(f"ok: {config.simulation.name}, {sizes}")
        if price:
            ranges = []
            for name in ("calls", "tokens_in", "tokens_out"):
                least, most = price[name]
                text = f"{most:,}" if least == most else f"{least:,} to {most:,}"
                ranges.append(f"{text} {name.replace('_', ' ')}")
            cost = "cost {:.4g} to {:.4g}".format(*price["cost"]) if price["cost"] else "no prices"
            line = f"{counted(price['turns'], 'turn')}: {', '.join([*ranges, cost])}"
            for text in (line, *price["notes"]):
                out.write(*wrapped(text, out.width))
    return MISUSED if problems else 0


@sim_command.command("new", **help_with("thence sim new market"))
@click.argument("project_name", metavar="NAME")
@output_options
def new_command(project_name: str) -> None:
    """Create a folder with a small simulation of your own.

    The new folder NAME holds an agent, an engine, a scenario, and a test that passes.
    """
    out = current()
    if not is_project_name(project_name):
        reason = "a name has letters, digits, _ and -, 100 at most"
        raise click.BadParameter(reason, param_hint="NAME")
    make_project(Path(project_name))
    out.result(
        {"folder": project_name, "files": FILES},
        [f"created {project_name} with {', '.join(FILES)}"],
        [f"next: thence sim run {project_name}/scenario.yaml"],
    )


@sim_command.command("resume", **help_with("thence sim resume my-run"))
@log_argument("run")
@_turns_option
@_calls_option
@_cost_option
@output_options
def resume_command(run: str, max_turns: int | None, **limits: Any) -> int:
    """Continue a killed, interrupted or failed run.

    RUN is a run's id or its folder. It starts at the newest checkpoint; the events that it repeats
    must equal the recorded ones. Recorded answers are not asked for again. A completed run needs
    --turns to continue.
    """
    out = current()
    folder = find_run(out, run)
    with RecordedRun(folder) as recorded:
        result = recorded.result
    if max_turns is None and result.get("status") == "completed":
        reason = result.get("reason", "its end was reached")
        text = f"run {recorded.run_id} is completed: {reason}; nothing is left to run"
        out.result(result, [text, f"next: thence sim resume {run} --turns NUMBER"])
        return 0
    return play(out, resume, folder, max_turns=max_turns, **limits)


@sim_command.command("replay", **help_with("thence sim replay my-run"))
@log_argument("run")
@output_options
def replay_command(run: str) -> int:
    """Replay a run in memory, and compare all its events.

    RUN is a run's id or its folder. Nothing is written, and no model or service is called. Exit
    code 1 if an event differs; the first one is named.
    """
    out = current()
    folder = find_run(out, run)
    with run_bar(out) as display:
        send_records_to_stderr(out, names_waits=display.wait is None)
        replayed = replay(folder, on_turn=display.turn, on_wait=display.wait)
    counts = f"{counted(replayed.turns, 'turn')}, {counted(replayed.events, 'event')}"
    lines = [f"the same: {counts}, content {replayed.sha256}"]
    if step := replayed.step:
        lines = [f"not the same: the first difference is at {step}", f"  {replayed.difference}"]
    out.result(msgspec.structs.asdict(replayed), lines)
    return FAILED if replayed.step else 0


def _pairs(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, object]:
    """Returns NAME=VALUE pairs; a value is JSON, or else, for --set, a text as it stands."""
    pairs: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", context, parameter)
        pairs[name] = json_or_text(value)
        if parameter.name == "decide" and pairs[name] is value:
            reason = f"{value!r} is not JSON; write '{{\"action_type\": …}}' or null"
            raise click.BadParameter(reason, context, parameter)
    return pairs


@sim_command.command(
    "branch", **help_with("thence sim branch my-run --at 12 --set place/Mill/price_grain=9.5")
)
@log_argument("run")
@click.option("--at", type=click.IntRange(min=0), required=True, help="The last shared turn.")
@click.option(
    "--set",
    callback=_pairs,
    metavar="SCOPE/NAME=VALUE",
    multiple=True,
    help="Set a variable at the end of that turn, such as agent/ada/money=5.",
)
@click.option(
    "--decide",
    callback=_pairs,
    metavar="STEP=ACTION",
    multiple=True,
    help="Replace a decision with an action as JSON, or with null for none.",
)
@click.option("--seed", type=int, help="Draw with another seed after that turn: another future.")
@click.option("--run-id", metavar="NAME", help="The name of the new folder; default: a new one.")
@_turns_option
@root_option
@output_options
def branch_command(run: str, at: int, root: str | None, **changes: Any) -> int:
    """Continue a run from one of its turns, with something changed.

    RUN is a run's id or its folder. The new run has its own folder, and records its parent and the
    changes. `thence diff RUN NEW-RUN` shows what followed from them.
    """
    out = current()
    folder = find_run(out, run)
    output_root = root or (None if folder.is_absolute() else relpath(folder / ".."))
    return play(out, branch, folder, at, output_root=output_root, **changes)


@sim_command.command(
    "survey",
    **help_with('thence sim survey my-run --at 5 --question "Whom do you trust?"', extra="llm"),
)
@log_argument("run")
@click.option("--at", type=click.IntRange(min=1), required=True, help="The turn of the question.")
@click.option("--question", required=True, metavar="TEXT", help="The question for each agent.")
@click.option("--choices", default="", metavar="A,B,C", help="The answers to choose from.")
@click.option("--agent", "names", multiple=True, metavar="NAME", help="An agent; default: all.")
@click.option("--leavers", is_flag=True, help="Ask those who left too, as of their last turn.")
@file_option("Write the answers as .csv or .parquet, instead of to the screen.")
@_calls_option
@_cost_option
@output_options
def survey_command(
    run: str, at: int, question: str, choices: str, output: Path | None, **terms: Any
) -> int:
    """Ask the agents of a run a question, as they would have decided in a turn.

    RUN is a run's id or its folder. Each agent that asks a model answers with what it saw and
    remembered in that turn; the run does not change. Answers are recorded: the same question again
    costs nothing.
    """
    from thence.sim.again.survey import survey

    out = current()
    if output is not None:
        check_ending(output, ".csv", ".parquet")
    options = [choice.strip() for choice in choices.split(",") if choice.strip()]
    folder = find_run(out, run)
    send_records_to_stderr(out, names_waits=True)
    answers = survey(folder, at, question, options, **terms)
    rows = [*answers]
    if output is not None:
        write_table(answers, output)
    names = [row["agent"] + (f" (turn {row['turn']})" if "turn" in row else "") for row in rows]
    lines = table([(name, row["answer"] or "-") for name, row in zip(names, rows, strict=True)])
    written = [f"{counted(len(rows), 'answer')} in {output}"]
    out.result({"answers": rows}, lines if output is None else written)
    for row in rows:
        if row["answer"] is None:
            out.warn(f"no answer: {row['error']}")
    return FAILED if all(row["answer"] is None for row in rows) else 0


for command in (sweep_command, table_command, plot_command):
    sim_command.add_command(command)
