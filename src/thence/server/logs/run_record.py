"""The files of a run beside its events: config.json and result.json."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from thence.core.ready import ready
from thence.core.vocabulary import WORK
from thence.errors import SuppressCodes
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import mirror_path
from thence.log.recovery.writers import RunStatus, outcome, run_status
from thence.server.logs.root import FoundLog, Root, first_event
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


def read_record(root: Root, log: FoundLog) -> RunRecord:
    """Reads a run's own files, as far as they exist and are valid."""
    config, result = (run_object(root, log, f"{name}.json") for name in ("config", "result"))
    scenario, in_force = _object(config.get("scenario")), _object(config.get("simulation"))
    named = _text(_object(scenario.get("simulation")).get("name"))
    settings = flattened({**scenario, "simulation": in_force})
    parent, seed = _object(config.get("parent")), in_force.get("seed")
    origin, turn = _text(parent.get("run_id")), parent.get("turn")
    if origin is not None and type(turn) is int:
        origin += f" at turn {turn}"
    status = _text(result.get("status"))
    if status is None:
        status = "interrupted"
        with suppress(OSError):
            status = outcome(OS_DISK, log.folder) if root.is_safe(log.folder) else status
    file = mirror_path(log.folder)
    data, mirrored = root.read(file.parent, file.name, MIRROR_BYTES_MAX), None
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        mirrored = msgspec.json.decode(data, type=ready(MirroredLog)) if data else None
    if mirrored is not None:
        named = mirrored.log.title or None
        with SuppressCodes("read_failed"):  # in a mirror no file names the run
            first = first_event(log.folder, log.vocabulary) if log.is_simulation else None
            named = (_text(first.members.get("simulation_id")) if first else None) or named
    folder = log.folder  # a project's journal has an id for its name, and the repository's is known
    is_journal = folder.parent.name == "thence" and folder.parents[1].name == ".git"
    if named is None and is_journal and log.vocabulary.name == WORK.name:
        named = folder.parents[2].name
    return RunRecord(
        name=named or log.id,
        status=status,
        ended=run_status(status, result),
        reason=_text(result.get("reason")),
        error=_text(result.get("error")),
        altered=tuple(_object(config.get("altered"))),
        parent=origin,
        variables=_variables(_object(scenario.get("state_variables"))),
        scenario=named if config and named else "",
        seed=seed if type(seed) is int else None,
        settings={key: text for key, text in settings.items() if key not in _OWN_COLUMNS},
        final=flattened(result.get("final_state"), "/"),
        mirrored=mirrored,
    )


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


def _named(parts: Sequence[object]) -> Iterator[tuple[str, object]]:
    """Yields the parts of a list by the names that they have, as `--set` calls them, or numbers."""
    for at, part in enumerate(parts):
        name = _text(_object(part).get("name"))
        yield (str(at) if name is None else name), part


def _variables(section: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the names of the numbers that a scenario declares."""
    names: list[str] = []
    for scope in ("agent_vars", "place_vars", "global_vars"):
        declared = section.get(scope)
        for entry in declared if isinstance(declared, list) else ():
            kind, name = _object(entry).get("type"), _text(_object(entry).get("name"))
            if name and kind in ("int", "float") and " " not in name:
                names.append(name)
    return tuple(dict.fromkeys(names))[:VARIABLES_MAX]


def run_object(root: Root, log: FoundLog, name: str) -> dict[str, Any]:
    """Reads a file of a run that is a JSON object; {} where there is none."""
    try:
        return _object(msgspec.json.decode(root.read(log.folder, name, FILE_BYTES_MAX) or b"{}"))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
