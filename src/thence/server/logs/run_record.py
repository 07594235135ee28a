"""The files of a run beside its events: config.json and result.json."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from thence.core.event import Event
from thence.core.ready import ready
from thence.errors import SuppressCodes
from thence.log.files.disk import OS_DISK, reading
from thence.log.files.segment import mirror_path
from thence.log.read.reader import lines
from thence.log.recovery.writers import RunStatus, outcome, run_status
from thence.server.logs.root import FoundLog, Root
from thence.sync.wire.messages import MirroredLog

MIRROR_BYTES_MAX = 64 * 1024
FILE_BYTES_MAX = 16 * 1024 * 1024
VARIABLES_MAX = 50
_OWN_COLUMNS = ("simulation.name", "simulation.seed")
_VALUES_MAX, _DEPTH_MAX, _TEXT_MAX = 1_000, 6, 200


class RunRecord(msgspec.Struct, frozen=True):
    """A run's name, and its status: running, completed, failed, interrupted or killed.

    `ended` is the status with the decisions that failed. `altered` are the steps whose results the
    run was asked to alter, `parent` is the run that it branched from, with the turn. `settings` are
    the texts of its scenario's values by their keys, but name and seed; `final` those of its
    variables at its end; `variables` are the numbers that it declares, those of agents first.
    `mirrored` is what a log mirrors that `thence sync mirror` keeps.
    """

    name: str
    status: str
    ended: RunStatus
    reason: str | None = None
    error: str | None = None
    altered: tuple[str, ...] = ()
    parent: str | None = None
    variables: tuple[str, ...] = ()
    scenario: str = ""
    seed: int | None = None
    settings: Mapping[str, str] = {}
    final: Mapping[str, str] = {}
    mirrored: MirroredLog | None = None


def read_record(root: Root, location: FoundLog) -> RunRecord:
    """Reads a run's own files, as far as they exist and are valid."""
    config = run_object(root, location, "config.json")
    scenario, altered = config.get("scenario"), config.get("altered")
    section = scenario.get("simulation") if isinstance(scenario, dict) else None
    result = run_object(root, location, "result.json")
    status = _text(result.get("status")) or _status(root, location)
    in_force = config.get("simulation")
    in_force = in_force if isinstance(in_force, dict) else {}
    settings = flattened(
        {**(scenario if isinstance(scenario, dict) else {}), "simulation": in_force}
    )
    named = _text(section.get("name") if isinstance(section, dict) else None)
    mirrored = _mirrored(root, location)
    if mirrored is not None:
        named = _simulation_id(location) or mirrored.log.title or None
    seed = in_force.get("seed")
    return RunRecord(
        name=named or location.id,
        status=status,
        ended=run_status(status, result),
        reason=_text(result.get("reason")),
        error=_text(result.get("error")),
        altered=tuple(altered) if isinstance(altered, dict) else (),
        parent=_parent(config.get("parent")),
        variables=_variables(scenario),
        scenario=named if config and named else "",
        seed=seed if type(seed) is int else None,
        settings={key: text for key, text in settings.items() if key not in _OWN_COLUMNS},
        final=flattened(result.get("final_state"), "/"),
        mirrored=mirrored,
    )


def _mirrored(root: Root, location: FoundLog) -> MirroredLog | None:
    file = mirror_path(location.folder)
    data = root.read(file.parent, file.name, MIRROR_BYTES_MAX)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(data, type=ready(MirroredLog)) if data else None
    return None


def _simulation_id(location: FoundLog) -> str | None:
    """Returns the id in a run's first event: in a mirror no file names the run."""
    if not location.is_simulation:
        return None
    with SuppressCodes("read_failed"), reading(location.folder):
        for line in lines(OS_DISK, location.folder, location.vocabulary):
            if isinstance(line.content, Event):
                return _text(line.content.members.get("simulation_id"))
    return None


def flattened(value: object, mark: str = ".") -> dict[str, str]:
    """Returns the texts of the values in an object by their paths, a bounded number of them."""
    texts: dict[str, str] = {}

    def add(inner: object, key: str, depth: int) -> None:
        if isinstance(inner, dict | list) and inner and depth < _DEPTH_MAX:
            for name, part in inner.items() if isinstance(inner, dict) else _named(inner):
                add(part, f"{key}{mark}{name}" if depth else str(name), depth + 1)
        elif depth and len(texts) < _VALUES_MAX:
            text = inner if isinstance(inner, str) else msgspec.json.encode(inner).decode()
            texts[key] = text[:_TEXT_MAX]

    add(value, "", 0)
    return texts


def _variables(scenario: object) -> tuple[str, ...]:
    section = scenario.get("state_variables") if isinstance(scenario, dict) else None
    names: list[str] = []
    for scope in ("agent_vars", "place_vars", "global_vars"):
        declared = section.get(scope) if isinstance(section, dict) else None
        for entry in declared if isinstance(declared, list) else ():
            name = entry.get("name") if isinstance(entry, dict) else None
            if isinstance(name, str) and entry.get("type") in ("int", "float"):
                names.append(name)
    return tuple(dict.fromkeys(name for name in names if " " not in name))[:VARIABLES_MAX]


def _named(parts: Sequence[object]) -> Iterator[tuple[str, object]]:
    """Yields the parts of a list by the names that they have, as `--set` calls them, or numbers."""
    for at, part in enumerate(parts):
        name = part.get("name") if isinstance(part, dict) else None
        yield (name if isinstance(name, str) else str(at)), part


def _parent(value: object) -> str | None:
    """Returns a parent as "r-1 at turn 4"."""
    if not isinstance(value, dict) or not isinstance(value.get("run_id"), str):
        return None
    turn = value.get("turn")
    return f"{value['run_id']} at turn {turn}" if type(turn) is int else str(value["run_id"])


def _status(root: Root, location: FoundLog) -> str:
    """Returns the status of a run without a result; only plain files are read."""
    try:
        return outcome(OS_DISK, location.folder) if root.is_safe(location.folder) else "interrupted"
    except OSError:
        return "interrupted"


def run_object(root: Root, location: FoundLog, name: str) -> dict[str, Any]:
    """Reads a file of a run that is a JSON object; {} where there is none."""
    try:
        value = msgspec.json.decode(root.read(location.folder, name, FILE_BYTES_MAX) or b"{}")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
