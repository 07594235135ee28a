"""What a run says of itself beside its events: config.json and result.json."""

from typing import Any

import msgspec

from thence.inspection.outcome import outcome
from thence.log.storage.disk import OS_DISK
from thence.server.logs.root import FoundLog, Root

FILE_BYTES_MAX = 16 * 1024 * 1024


class RunRecord(msgspec.Struct, frozen=True):
    """A run's name, and whether it is running, completed, failed or interrupted.

    `altered` are the steps that the run was told to alter.
    """

    name: str
    status: str
    reason: str | None = None
    error: str | None = None
    altered: tuple[str, ...] = ()


def recorded(root: Root, found: FoundLog) -> RunRecord:
    """Reads what a run's own files say, as far as they are there and fit to be read."""
    config = _object(root, found, "config.json")
    scenario, altered = config.get("scenario"), config.get("altered")
    section = scenario.get("simulation") if isinstance(scenario, dict) else None
    result = _object(root, found, "result.json")
    return RunRecord(
        name=_text(section.get("name") if isinstance(section, dict) else None) or found.id,
        status=_text(result.get("status")) or _status(root, found),
        reason=_text(result.get("reason")),
        error=_text(result.get("error")),
        altered=tuple(altered) if isinstance(altered, dict) else (),
    )


def _status(root: Root, found: FoundLog) -> str:
    """Returns how a run without a result is; what is no plain file is not looked at."""
    try:
        return outcome(OS_DISK, found.folder) if root.is_safe(found.folder) else "interrupted"
    except OSError:
        return "interrupted"


def _object(root: Root, found: FoundLog, name: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(root.read(found.folder, name, FILE_BYTES_MAX) or b"{}")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
