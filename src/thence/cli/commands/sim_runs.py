"""The commands `sim list` and `sim show`: the runs that are there, and one of them."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thence.cli.commands.verify import finding_json
from thence.cli.groups import help_with, json_option, verbosity_options
from thence.cli.output import Output, current
from thence.cli.shared.locate import runs
from thence.cli.shared.render import bars, counted, wrapped
from thence.core.query.tally import descending
from thence.core.sentences.wording import clipped
from thence.errors import InvalidFilter, NotALog, NotRecorded
from thence.inspection.outcome import outcome
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import segments
from thence.replica import open_log

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
@json_option
@verbosity_options
def list_command(root: str | None, is_json: bool) -> None:
    """List the runs, the newest first.

    A run is running, completed, failed, interrupted (by Ctrl-C, or by the program that ran it), or
    killed: its process ended without a word.
    """
    out = current()
    folder = Path(root or out.settings.runs)
    entries = [run_entry(run) for run in run_folders(folder)]
    if is_json:
        out.json({"runs": entries})
        return
    for entry in entries:
        events = counted(int(str(entry["events"])), "event")
        notes = "; ".join(filter(None, (parent_note(entry), altered_note(entry))))
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
@json_option
@verbosity_options
def show_command(run: str | None, variables: tuple[str, ...], is_json: bool) -> None:
    """Sum up a run, by default the newest.

    RUN is a run's id, its folder, or one of its files: its state and parameters, its variables
    over the turns, its events by type and agent, files, and what the log noted about itself.
    Of the variables some that changed are drawn, those of the world and of places first; -v
    draws all.
    """
    from thence.cli.shared.locate import find_log

    out = current()
    folder = find_log(out, run)
    facts = summary(folder)
    most = None if out.is_verbose or is_json else _VARIABLES_SHOWN_MAX
    drawn, note = drawn_variables(folder, variables, most)
    if is_json:
        out.json({**facts, "variables": drawn})
        return
    lines = summary_lines(facts, str(folder), out)
    out.write(*lines[0], *_variable_lines(drawn, note, out), *lines[1])


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
        **_parent_member(folder),
    }


def parent_note(entry: Mapping[str, Any]) -> str:
    """Returns the parent of a run, as "branch of r-1 at turn 4"; "" for a run without one."""
    parent = entry.get("parent")
    if not parent:
        return ""
    turn = parent.get("turn")
    return f"branch of {parent['run_id']}" + ("" if turn is None else f" at turn {turn}")


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


def _parent_member(folder: Path) -> dict[str, Any]:
    """Returns the member `parent`, the run that a run branched off; {} for a run without one."""
    found = _read(folder / "config.json").get("parent")
    if not isinstance(found, dict) or not isinstance(found.get("run_id"), str):
        return {}
    turn = found.get("turn")
    return {"parent": {**found, "turn": turn if type(turn) is int else None}}


def parameters(folder: Path) -> dict[str, Any]:
    """Returns what a run was given, by config.json: seed, turns, settings, components.

    A value that config.json lacks is None.
    """
    config = _read(folder / "config.json")
    scenario = _member(config, "scenario")
    simulation = _member(config, "simulation") or _member(scenario, "simulation")
    events = _member(config, "events")
    agents = scenario.get("agents")
    count = None
    if isinstance(agents, list):
        counts = [each.get("count", 1) if isinstance(each, dict) else 1 for each in agents]
        count = sum(counts) if all(type(each) is int for each in counts) else len(counts)
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
        **_parent_member(folder),
        "parameters": parameters(folder),
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


def drawn_variables(
    folder: Path, patterns: Sequence[str], most: int | None
) -> "tuple[list[Course], str]":
    """Returns the courses of a run's variables, and a note on what is left out.

    Those are taken that fit a pattern; without any, numbers that changed, at most `most`. The
    courses are none where the verbosity left out changes: then patterns raise NotRecorded. A
    pattern that no variable fits raises InvalidFilter.
    """
    import warnings

    from thence.cli.shared.sparklines import courses
    from thence.sim.recorded.run import open_run
    from thence.sim.recorded.variable_rows import rank

    with open_run(folder) as run, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            table = run.variables()
        except NotRecorded as error:
            if patterns:
                raise
            is_known = run.verbosity is not None
            return [], f"{error.cause}: its log holds no changes" if is_known else ""
        columns = [name for name in table.columns if name != "turn"]
        if patterns:
            columns = _chosen(columns, patterns)
        else:
            numbers = [name for name in columns if table.kinds[name] in ("int", "float")]
            columns = sorted(numbers, key=lambda name: rank(name.rpartition("/")[0]))
        found = courses(table, len(table), columns)
    note = str(caught[0].message) if caught else ""
    if patterns:
        return found, note
    changed = [course for course in found if not course.is_constant]
    shown = changed if most is None else changed[:most]
    if len(shown) < len(changed):
        more = counted(len(changed) - len(shown), "more variable") + "; -v draws all"
        note = f"{note}; {more}" if note else more
    return shown, note


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
    for note in (parent_note(facts), altered_note(facts)):
        if note:
            head += wrapped(note, width, "  ")
    given = {key: value for key, value in facts["parameters"].items() if value is not None}
    if "scenario" in given:
        given["scenario"] = Path(str(given["scenario"])).name
    if text := ", ".join(
        f"{key.replace('_', ' ')} {clipped(str(value), _PARAMETER_CHARACTERS_MAX)}"
        for key, value in given.items()
    ):
        head += wrapped(text, width, "  ", "    ")
    if facts["first"]:
        head.append(f"  {facts['first']} to {facts['last']}")
    block = "▇" if out.has_blocks else "#"
    lines = ["", "by type", *bars(facts["by_type"], block)]
    if facts["by_actor"]:
        lines += ["", "by agent", *bars(facts["by_actor"], block)]
    lines += ["", f"files in {folder}"]
    lines += [f"  {file['file']}  {file['bytes']:,} bytes" for file in facts["files"]]
    if facts["notices"]:
        lines += ["", "noted by the log"]
        shown = facts["notices"][-_NOTICES_SHOWN_MAX:]
        for notice in shown:
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

    found: dict[str, None] = {}
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
        found |= dict.fromkeys(fitting)
    return list(found)


def _member(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns a member that is an object; {} where there is none."""
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    """Reads a JSON object that the run wrote; {} where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
