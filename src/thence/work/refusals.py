"""`.kittify/errors/YYYY-MM-DD.jsonl`: what was refused, a line each, for agents to learn from.

It is no record: the log holds an ErrorLogged event of each refusal. Lines that can't be read
are passed over.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from thence.log.process import new_id, now
from thence.work.project import Project, find_project

RECENT = 20
LINE_BYTES_MAX = 65_536
_FOLDER = "errors"
_DAY_CHARACTERS = len("2026-11-20")


class RefusalRecord(msgspec.Struct, frozen=True):
    """One refused attempt. `context` holds what the guard looked at."""

    error_id: str
    error_type: str
    entity_id: str
    attempted_operation: str
    reason: str
    timestamp: str
    context: Mapping[str, Any] = {}


_decode = msgspec.json.Decoder(RefusalRecord).decode


class ErrorStore:
    """The refusals of a project, by UTC day."""

    def __init__(self, project: Project) -> None:
        self._folder = project.kittify / _FOLDER

    @classmethod
    def at(cls, folder: str | Path = ".") -> "ErrorStore":
        """Returns the refusals of the project that a folder or worktree belongs to.

        Raises NotAProject, GitFailed.
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
    ) -> RefusalRecord:
        """Adds a refusal, in one write at the end of its day's file; raises OSError."""
        made = RefusalRecord(
            new_id(), error_type, entity_id, attempted_operation, reason, now(), context or {}
        )
        line = msgspec.json.encode(made)
        if len(line) > LINE_BYTES_MAX:
            made = msgspec.structs.replace(made, context={}, reason=reason[:1000])
            line = msgspec.json.encode(made)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{made.timestamp[:_DAY_CHARACTERS]}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, line + b"\n")
        finally:
            os.close(descriptor)
        return made

    def recent(self, limit: int = RECENT) -> list[RefusalRecord]:
        """Returns the last refusals, the newest first."""
        found: list[RefusalRecord] = []
        for record in self._backwards():
            if len(found) == limit:
                break
            found.append(record)
        return found

    def _backwards(self) -> Iterator[RefusalRecord]:
        try:
            names = sorted(os.listdir(self._folder), reverse=True)
        except OSError:
            return
        for name in names:
            if not name.endswith(".jsonl"):
                continue
            for line in reversed((self._folder / name).read_bytes().split(b"\n")):
                try:
                    yield _decode(line)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue
