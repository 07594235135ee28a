"""`.kittify/errors/YYYY-MM-DD.jsonl`: refused attempts, a line each, for agents to learn from.

The files are derived: the log holds an ErrorLogged event of each refusal. Lines and files that
can't be read are passed over.
"""

from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import msgspec

from thence.core.ready import ready
from thence.core.vocabulary import WORK
from thence.errors import Refused, ThenceError
from thence.git.files import TreeFiles
from thence.log.open import new_id, now
from thence.work.journal.store import Result, WorkEvent, hide_keyword, redact_settings_of
from thence.work.names import is_wp_id, wp_id_of
from thence.work.project.project import KITTIFY, Project, find_project

RECENT = 20
LINE_BYTES_MAX = 65_536
_NAME = f"{KITTIFY}/errors"
_ENDING = ".jsonl"
_DAY_CHARACTERS = len("2026-11-20")
Report = Callable[[str], None]


class RefusalRecord(msgspec.Struct, frozen=True):
    """One refused attempt. `context` holds the values that the guard read."""

    error_id: str
    error_type: str
    entity_id: str
    attempted_operation: str
    reason: str
    timestamp: str
    context: Mapping[str, Any] = {}


_decode = msgspec.json.Decoder(ready(RefusalRecord)).decode


def failure_event(
    operation: str, entity: str, error: ThenceError, feature: str | None, actor: str | None
) -> WorkEvent:
    """Returns the ErrorLogged event of a failure, about a package if `entity` names one."""
    with suppress(Refused):
        entity = wp_id_of(entity)
    payload = {
        "error_type": "validation" if isinstance(error, (Refused, ValueError)) else "runtime",
        "error_message": f"{operation}: {error}",
        "wp_id": entity if feature and is_wp_id(entity) else None,
        "agent_id": actor,
    }
    return WorkEvent("ErrorLogged", payload, feature)


def paths(files: TreeFiles) -> list[str]:
    """Returns the paths of the files of refusals."""
    return [f"{_NAME}/{name}" for name in sorted(files.stats(_NAME)) if name.endswith(_ENDING)]


def without(data: bytes, event_ids: Container[bytes]) -> bytes:
    """Returns a file of refusals without those whose ErrorLogged was redacted."""
    kept = []
    for line in data.splitlines(keepends=True):
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if _decode(line).error_id.encode() in event_ids:
                continue
        kept.append(line)
    return b"".join(kept)


class ErrorStore:
    """The refusals of a project, by UTC day."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._files = project.files

    @classmethod
    def at(cls, folder: str | Path = ".") -> "ErrorStore":
        """Returns the refusals of the project that a folder or worktree belongs to.

        Raises `not_a_project`, GitFailed.
        """
        return cls(find_project(Path(folder)))

    def add(
        self,
        error_type: str,
        *,
        entity_id: str,
        attempted_operation: str,
        reason: str,
        context: Mapping[str, Any] | None = None,
        error_id: str | None = None,
    ) -> RefusalRecord:
        """Adds a refusal, in one write at the end of its day's file.

        `error_id` is the event_id of its ErrorLogged, if there is one. What the project's settings
        mask is masked. Raises OSError, `bad_settings`.
        """
        context = context or {}
        if masking := redact_settings_of(self._project).masking:
            reason, context = masking.text(reason), masking.payload(context, WORK)
        record = RefusalRecord(
            error_id or new_id(), error_type, entity_id, attempted_operation, reason, now(), context
        )
        line = msgspec.json.encode(record)
        if len(line) > LINE_BYTES_MAX:
            record = msgspec.structs.replace(record, context={}, reason=reason[:1000])
            line = msgspec.json.encode(record)
        path = f"{_NAME}/{record.timestamp[:_DAY_CHARACTERS]}{_ENDING}"
        self._project.begin()
        self._files.append(path, line + b"\n")
        return record

    def recent(
        self, limit: int = RECENT, report: Report = lambda words: None
    ) -> list[RefusalRecord]:
        """Returns the last refusals, the newest first.

        A file that can't be read is skipped; `report` gets a sentence about the file.
        """
        records: list[RefusalRecord] = []
        for path in reversed(paths(self._files)):
            try:
                lines = self._files.read(path).split(b"\n")
            except OSError as error:
                report(f"{path} was skipped: {error.strerror or error}")
                continue
            for line in reversed(lines):
                with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    records.append(_decode(line))
            if len(records) >= limit:
                break
        return records[:limit]


def with_error_store(command: Callable[..., Result]) -> Callable[..., Result]:
    """Gives a command its project's ErrorStore as keyword `error_store`, not shown in its help."""

    @wraps(command)
    def with_store(*arguments: object, **keywords: object) -> Result:
        if keywords.get("error_store") is None:  # the project is looked for only then
            keywords["error_store"] = ErrorStore.at()
        return command(*arguments, **keywords)

    return hide_keyword("error_store", with_store)
