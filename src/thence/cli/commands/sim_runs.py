"""The commands `sim list` and `sim show`: the runs that are there, and one of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thence.cli.commands.verify import finding_json
from thence.cli.frame import help_with, output_options
from thence.cli.output import Output, current
from thence.cli.shared.locate import runs
from thence.cli.shared.render import bars, counted, wrapped
from thence.core.query.tally import descending
from thence.core.sentences.event_sentences import clipped
from thence.errors import InvalidFilter, NotRecorded
from thence.inspection.writers import outcome
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import segments
from thence.sim.recorded import RecordedRun, open_run, read_object

if TYPE_CHECKING:
    from thence.cli.shared.sparklines import Course

_ALTERED_SHOWN_MAX = 3
_NOTICES_SHOWN_MAX = 10
_PARAMETER_CHARACTERS_MAX = 60
# the variables that are drawn unless the user names some
_VARIABLES_SHOWN_MAX = 6
root_option = click.option(
    "--output-root",
    "root",
    metavar="FOLDER",
    help="The folder of runs; else THENCE_ROOT, else ./output.",
)


@click.command("list", **help_with("thence sim list --json"))
@root_option
@output_options
def list_command(root: str | None) -> None:
    """List the runs, the newest first.

    A run is running, completed, failed, interrupted (by Ctrl-C, or by the program that ran it), or
    killed: its process ended without a word.
    """
    out = current()
    folder = Path(root or out.settings.runs)
    entries = [run_entry(run) for run in run_folders(folder)]
    if out.is_json:
        out.json({"runs": entries})
        return
    for entry in entries:
        events = counted(int(str(entry["events"])), "event")
        notes = "; ".join(_notes(entry))
        line = f"{entry['status']:<11}  {events:>14}  {entry['run_id']}"
        out.write(f"{line}  ({notes})" if notes else line)
    if not entries:
        out.notice(f"no runs in {folder}; `thence sim run spatial_trade_network` makes one")


@click.command("show", **help_with("thence sim show output/my-run --variable place/Mill/price_ore"))
@click.argument("run", required=False)
@click.option(
    "--variable",
    "variables",
    multiple=True,
    metavar="SCOPE/NAME",
    help="A variable to draw; * stands for any characters.",
)
@output_options
def show_command(run: str | None, variables: tuple[str, ...]) -> None:
    """Sum up a run, by default the newest.

    RUN is a run's id, its folder, or one of its files: its state and parameters, its variables
    over the turns, its events by type and agent, files, and what the log noted about itself.
    Of the variables some that changed are drawn, those of the world and of places first; -v
    draws all.
    """
    from thence.cli.shared.locate import find_log

    out = current()
    folder = find_log(out, run)
    count_max = None if out.is_verbose or out.is_json else _VARIABLES_SHOWN_MAX
    with open_run(folder) as recorded:
        facts = summary(recorded)
        drawn, note = drawn_variables(recorded, variables, count_max)
    if out.is_json:
        out.json({**facts, "variables": drawn})
        return
    lines = summary_lines(facts, str(folder), out)
    out.write(*lines[0], *_variable_lines(drawn, note, out), *lines[1])


def run_folders(root: Path) -> Iterator[Path]:
    """Yields the folders of simulations' runs, the newest first."""
    for folder in runs(root):
        vocabulary = read_object(folder / ".thence" / "log.json").get("vocabulary")
        if vocabulary == "sim" or (folder / "config.json").is_file():
            yield folder


def run_entry(folder: Path) -> dict[str, Any]:
    """Returns the entry of a run in a list."""
    from thence.sim.run_folder import count_events

    config = read_object(folder / "config.json")
    state = _state(folder, config, read_object(folder / "result.json"))
    return {**state, "events": count_events(folder), **_origin(config)}


def summary(run: RecordedRun) -> dict[str, Any]:
    """Reads a run completely and returns its summary as JSON values."""
    log, result = run.log, run.result
    events = log.events()
    checked = log.verify()
    return {
        **_state(run.folder, run.config, result),
        "reason": result.get("reason"),
        "error": result.get("error"),
        **_origin(run.config),
        "parameters": _parameters(run.config),
        "turns": max((event.turn_number or 0 for event in events), default=0),
        "events": len(events),
        "by_type": descending(Counter(event.event_type for event in events)),
        "by_actor": descending(Counter(event.actor for event in events if event.actor)),
        "first": events[0].timestamp if events else None,
        "last": events[-1].timestamp if events else None,
        "files": [
            {"file": path.name, "bytes": path.stat().st_size}
            for path in segments(OS_DISK, run.folder)
        ],
        "notices": [log.vocabulary.sentence(e) for e in events if log.vocabulary.is_notice(e)],
        "damage": [finding_json(finding) for finding in checked.damage],
    }


def _state(folder: Path, config: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    name = _member(_member(config, "scenario"), "simulation").get("name", folder.name)
    status = result.get("status") or outcome(OS_DISK, folder)
    return {"run_id": folder.name, "name": str(name), "status": status}


def _origin(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `altered`, the steps that a run had to alter, and `parent`; each where it is."""
    altered, parent = _member(config, "altered"), _member(config, "parent")
    members: dict[str, Any] = {"altered": list(altered)} if altered else {}
    if isinstance(parent.get("run_id"), str):
        turn = parent.get("turn")
        members["parent"] = {**parent, "turn": turn if type(turn) is int else None}
    return members


def _notes(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yields the parent and the altered steps of a run as text, where it has them."""
    if parent := facts.get("parent"):
        turn = "" if parent["turn"] is None else f" at turn {parent['turn']}"
        yield f"branch of {parent['run_id']}{turn}"
    if steps := facts.get("altered"):
        rest = len(steps) - _ALTERED_SHOWN_MAX
        rest_text = f" and {rest} more" if rest > 0 else ""
        yield f"altered: {', '.join(steps[:_ALTERED_SHOWN_MAX])}{rest_text}"


def _parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns seed, turns, settings and components by config.json; None where it lacks one."""
    scenario, events = _member(config, "scenario"), _member(config, "events")
    simulation = _member(config, "simulation") or _member(scenario, "simulation")
    agents = scenario.get("agents")
    count = None
    if isinstance(agents, list):
        counts = (agent.get("count") for agent in agents if isinstance(agent, dict))
        count = sum(number if type(number) is int else 1 for number in counts)
    return {
        "seed": simulation.get("seed"),
        "max_turns": simulation.get("max_turns"),
        "verbosity": events.get("verbosity"),
        "mode": events.get("mode"),
        "engine": _member(scenario, "engine").get("type"),
        "validator": _member(scenario, "validator").get("type"),
        "agents": count,
        "scenario": config.get("source"),
    }


def drawn_variables(
    run: RecordedRun, patterns: Sequence[str], count_max: int | None
) -> "tuple[list[Course], str]":
    """Returns the courses of a run's variables, and a note on what is left out.

    Those are taken that fit a pattern; without any, numbers that changed, at most `count_max`. The
    courses are none where the verbosity left out changes: then patterns raise NotRecorded. A
    pattern that no variable fits raises InvalidFilter.
    """
    import warnings

    from thence.cli.shared.sparklines import courses
    from thence.sim.recorded import rank

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            table = run.variables()
        except NotRecorded as error:
            if patterns:
                raise
            return [], "" if run.verbosity is None else f"{error.cause}: its log holds no changes"
        columns = [name for name in table.columns if name != "turn"]
        if patterns:
            columns = _chosen(columns, patterns)
        else:
            numbers = [name for name in columns if table.kinds[name] in ("int", "float")]
            columns = sorted(numbers, key=lambda name: rank(name.rpartition("/")[0]))
        drawn = courses(table, len(table), columns)
    note = str(caught[0].message) if caught else ""
    if patterns:
        return drawn, note
    changed = [course for course in drawn if not course.is_constant]
    hidden = 0 if count_max is None else max(0, len(changed) - count_max)
    if hidden:
        hidden_text = counted(hidden, "more variable") + "; -v draws all"
        note = f"{note}; {hidden_text}" if note else hidden_text
    return changed[: len(changed) - hidden], note


def summary_lines(
    facts: Mapping[str, Any], folder: str, out: Output
) -> tuple[list[str], list[str]]:
    """Returns a summary as lines: those before the variables, and those after them."""
    width, reason = out.width, facts["error"] or facts["reason"]
    head = [
        *wrapped(facts["run_id"], width),
        *wrapped(facts["status"] + (f": {reason}" if reason else ""), width, "  "),
        f"  {counted(facts['turns'], 'turn')}, {counted(facts['events'], 'event')}",
    ]
    for note in _notes(facts):
        head += wrapped(note, width, "  ")
    parameters = {key: value for key, value in facts["parameters"].items() if value is not None}
    if "scenario" in parameters:
        parameters["scenario"] = Path(str(parameters["scenario"])).name
    if text := ", ".join(
        f"{key.replace('_', ' ')} {clipped(str(value), _PARAMETER_CHARACTERS_MAX)}"
        for key, value in parameters.items()
    ):
        head += wrapped(text, width, "  ", "    ")
    if facts["first"]:
        head.append(f"  {facts['first']} to {facts['last']}")
    lines = ["", "by type", *bars(out, facts["by_type"])]
    if facts["by_actor"]:
        lines += ["", "by agent", *bars(out, facts["by_actor"])]
    lines += ["", f"files in {folder}"]
    lines += [f"  {file['file']}  {file['bytes']:,} bytes" for file in facts["files"]]
    if facts["notices"]:
        lines += ["", "noted by the log"]
        for notice in facts["notices"][-_NOTICES_SHOWN_MAX:]:
            lines += wrapped(notice, width, "  ", "    ")
    damage = counted(len(facts["damage"]), "finding") + " of damage: thence verify tells where"
    lines += ["", damage if facts["damage"] else "no damage"]
    return head, lines


def _variable_lines(drawn: "Sequence[Course]", note: str, out: Output) -> list[str]:
    from thence.cli.shared.sparklines import course_lines

    if not drawn and not note:
        return []
    lines = ["", "variables"]
    lines += course_lines(drawn, out.width, has_blocks=out.has_blocks)
    return lines + (wrapped(note, out.width, "  ") if note else [])


def _chosen(columns: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Returns the variables that fit the patterns, in their order; raises InvalidFilter."""
    from thence.core.nearest import nearest

    chosen: dict[str, None] = {}
    for pattern in patterns:
        fitting = [name for name in columns if name == pattern or fnmatchcase(name, pattern)]
        if not fitting:
            near = nearest(pattern, columns, likeness=0)
            raise InvalidFilter(
                "could not draw the variable",
                key=pattern,
                cause="the run has no such one",
                hint=f"the nearest is {near[0]}" if near else "the run has no variables",
            )
        chosen |= dict.fromkeys(fitting)
    return list(chosen)


def _member(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns a member that is an object; {} where there is none."""
    member = of.get(name)
    return member if isinstance(member, dict) else {}
