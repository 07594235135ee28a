"""The files of a run beside its events: config.json and result.json."""

from typing import Any

import msgspec

from thence.doctor.writers import RunStatus, outcome, run_status
from thence.log.files.disk import OS_DISK
from thence.server.logs.root import FoundLog, Root

FILE_BYTES_MAX = 16 * 1024 * 1024


class RunRecord(msgspec.Struct, frozen=True):
    """A run's name, and its status: running, completed, failed, interrupted or killed.

    `ended` is the status with the decisions that failed. `altered` are the steps whose results the
    run was asked to alter, `parent` is the run that it branched from, with the turn.
    """

    name: str
    status: str
    ended: RunStatus
    reason: str | None = None
    error: str | None = None
    altered: tuple[str, ...] = ()
    parent: str | None = None


def read_record(root: Root, location: FoundLog) -> RunRecord:
    """Reads a run's own files, as far as they exist and are valid."""
    config = _object(root, location, "config.json")
    scenario, altered = config.get("scenario"), config.get("altered")
    section = scenario.get("simulation") if isinstance(scenario, dict) else None
    result = _object(root, location, "result.json")
    status = _text(result.get("status")) or _status(root, location)
    return RunRecord(
        name=_text(section.get("name") if isinstance(section, dict) else None) or location.id,
        status=status,
        ended=run_status(status, result),
        reason=_text(result.get("reason")),
        error=_text(result.get("error")),
        altered=tuple(altered) if isinstance(altered, dict) else (),
        parent=_parent(config.get("parent")),
    )


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


def _object(root: Root, location: FoundLog, name: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(root.read(location.folder, name, FILE_BYTES_MAX) or b"{}")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
