"""The runs in a folder: one entry each for a list, one summary for a look."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from thence.cli.commands.verify import as_json
from thence.cli.shared.locate import runs
from thence.cli.shared.render import bars, counted, wrapped
from thence.core.query.tally import falling
from thence.errors import NotALog
from thence.inspection.outcome import outcome
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import segments
from thence.replica import open_log

_ALTERED_SHOWN_MAX = 3
_NOTICES_SHOWN_MAX = 10


def run_folders(root: Path) -> Iterator[Path]:
    """Yields the folders of simulations' runs, the newest first."""
    for folder in runs(root):
        if (folder / "config.json").is_file() or _vocabulary(folder) == "sim":
            yield folder


def run_entry(folder: Path) -> dict[str, Any]:
    """Returns what a list tells of a run."""
    from thence.sim.run_folder import count_events

    result = _read(folder / "result.json")
    return {
        "run_id": folder.name,
        "name": run_name(folder),
        "status": result.get("status") or outcome(OS_DISK, folder),
        "events": count_events(folder),
        **_altered(folder),
    }


def altered_note(told: Mapping[str, Any]) -> str:
    """Says in a few words what of a run was altered, "altered: 2.decide.ada.0"; else nothing."""
    steps = told.get("altered", ())
    shown = ", ".join(steps[:_ALTERED_SHOWN_MAX])
    more = len(steps) - _ALTERED_SHOWN_MAX
    return f"altered: {shown}{f' and {more} more' if more > 0 else ''}" if steps else ""


def _altered(folder: Path) -> dict[str, list[str]]:
    """Returns the steps that a run was told to alter, as a member that other runs lack."""
    found = _read(folder / "config.json").get("altered")
    return {"altered": list(found)} if isinstance(found, dict) and found else {}


def run_name(folder: Path) -> str:
    """Returns the name in a run's scenario, else its folder's."""
    scenario = _read(folder / "config.json").get("scenario")
    section = scenario.get("simulation") if isinstance(scenario, dict) else None
    return str((section if isinstance(section, dict) else {}).get("name", folder.name))


def summary(folder: Path) -> dict[str, Any]:
    """Reads all of a run and returns what there is to say of it as JSON values.

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
        **_altered(folder),
        "turns": max((event.turn_number or 0 for event in events), default=0),
        "events": len(events),
        "by_type": falling(Counter(event.event_type for event in events)),
        "by_actor": falling(Counter(event.actor for event in events if event.actor)),
        "first": events[0].timestamp if events else None,
        "last": events[-1].timestamp if events else None,
        "files": [
            {"file": path.name, "bytes": path.stat().st_size} for path in segments(OS_DISK, folder)
        ],
        "notices": notices,
        "damage": [as_json(finding) for finding in checked.damage],
    }


def drawn_summary(told: Mapping[str, Any], folder: str, width: int) -> list[str]:
    """Draws a summary as lines."""
    why = told["error"] or told["reason"]
    lines = [
        *wrapped(told["run_id"], width),
        *wrapped(told["status"] + (f": {why}" if why else ""), width, "  "),
        f"  {counted(told['turns'], 'turn')}, {counted(told['events'], 'event')}",
    ]
    if note := altered_note(told):
        lines += wrapped(note, width, "  ")
    if told["first"]:
        lines.append(f"  {told['first']} to {told['last']}")
    lines += ["", "by type", *bars(told["by_type"])]
    if told["by_actor"]:
        lines += ["", "by agent", *bars(told["by_actor"])]
    lines += ["", f"files in {folder}"]
    lines += [f"  {file['file']}  {file['bytes']:,} bytes" for file in told["files"]]
    if told["notices"]:
        lines += ["", "noted by the log"]
        shown = told["notices"][-_NOTICES_SHOWN_MAX:]
        for notice in shown:
            lines += wrapped(notice, width, "  ", "    ")
    damage = counted(len(told["damage"]), "finding") + " of damage: thence verify tells where"
    lines += ["", damage if told["damage"] else "no damage"]
    return lines


def _vocabulary(folder: Path) -> str | None:
    return _read(folder / ".thence" / "log.json").get("vocabulary")


def _read(path: Path) -> dict[str, Any]:
    """Reads a JSON object that the run wrote; empty where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
