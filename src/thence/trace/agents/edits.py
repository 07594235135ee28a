"""What a log has of the work in a repository: commits, rewrites, and what edits wrote into files.

All have places in one order. The events of one node are in the log's order; only times order them
against those of another node, against a transcript's, and against commits that no hook recorded.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from thence.core.bodies import BodyMissing
from thence.core.event import Event
from thence.log.files.disk import OS_DISK
from thence.log.files.identity import known_node_ids
from thence.log.open import Log
from thence.trace.agents.judging import EditText
from thence.trace.agents.sessions import text_of

SECOND = 1_000_000  # places are microseconds, or follow the place before by one
_CHECKED_EVERY = 1_000  # events of the log that are read
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_FILES = b'"files":['


class CommitRecord(NamedTuple):
    """An event of a commit, with its place."""

    place: int
    event: Event
    commit: str
    root: str | None
    session: str | None
    by: str

    @property
    def maker(self) -> tuple[str | None, ...]:
        """Who made it: a kind, its session, and the subagent of that."""
        return self.by, self.session, text_of(self.event.cut_payload, "agent")


class Edit(NamedTuple):
    """What one edit wrote into one file, or one hunk of it, with its event and its subagent."""

    text: EditText
    event: Event
    agent: str | None


class RecordedWork:
    """The commits, rewrites and edits of a log, which is read once.

    `commits` are in the log's order. Hooks of two commits named those that are `disputed`.
    `edited` are the events of edits with the places of their calls, in the order of their begin.
    `first_moment` is the time of the first event that a hook recorded.
    """

    def __init__(
        self, log: Log, top: Path | None, check: Callable[[], None] = lambda: None
    ) -> None:
        self.log, self._top = log, os.path.realpath(top) if top else None
        self.commits: dict[str, CommitRecord] = {}
        self.rewritten: dict[str, list[str]] = {}
        self.disputed: set[str] = set()
        self.edited: list[tuple[int, int, Event]] = []
        self._nodes = {"", *known_node_ids(OS_DISK, log.folder)}
        self._begun: dict[str, int] = {}
        self._last: dict[tuple[str, str | None], int] = {}
        self._real = cache(os.path.realpath)  # asks the disk about each folder above
        self.first_moment = ""
        for number, event in enumerate(log.read()):
            if not number % _CHECKED_EVERY:
                check()
            if not self.first_moment and event.header.source != "transcript":
                self.first_moment = event.timestamp or ""
            if event.event_type == "tool.begun":
                self._begun[event.event_id] = self._place(event)
            elif event.event_type == "tool.ended" and _FILES in event.line:
                place = self._place(event)
                self.edited.append((self._begun.get(event.ends or "", place), place, event))
            elif event.event_type in ("commit", "rewrite"):
                payload = event.cut_payload
                names = (text_of(payload, name) or "" for name in ("commit", "old", "new"))
                commit, old, new = (name if _COMMIT.fullmatch(name) else "" for name in names)
                if event.event_type == "rewrite" and old and new and old != new:
                    self.rewritten.setdefault(new, []).append(old)
                elif event.event_type == "commit" and commit:
                    where = self._tree(event, payload.get("root")), text_of(payload, "session")
                    by = str(payload.get("by"))
                    record = CommitRecord(self._place(event), event, commit, *where, by)
                    first = self.commits.setdefault(commit, record)
                    if first.maker != record.maker:
                        self.disputed.add(commit)
        self.edited.sort(key=lambda edited: edited[0])

    def _place(self, event: Event) -> int:
        """Returns the next place of an event's node, or of its session in a transcript."""
        time = 0
        with suppress(ValueError):
            time = int(datetime.fromisoformat(event.timestamp or "").timestamp() * SECOND)
        writer = event.node_id, event.stream if event.header.source == "transcript" else None
        self._last[writer] = max(time, self._last.get(writer, 0) + 1)
        return self._last[writer]

    @property
    def end(self) -> int:
        """The place behind all others."""
        return max(self._last.values(), default=0) + 1

    @cached_property
    def edits(self) -> dict[str, Edit]:
        """What the edits wrote, by the keys of their texts, in the order of their begin."""
        edits = (edit for edited in self.edited for edit in self._read(*edited))
        return {edit.text.key: edit for edit in edits}

    def edit(self, key: str) -> Edit | None:
        """Returns the edit of a key; None for one that the log no longer has."""
        for edited in self.edited:
            if key.startswith(f"{edited[2].event_id}/"):
                return next((edit for edit in self._read(*edited) if edit.text.key == key), None)
        return None

    def _read(self, begun: int, place: int, event: Event) -> Iterator[Edit]:
        try:
            payload = event.payload
        except BodyMissing:
            return
        session = text_of(payload, "session") or event.stream
        own_tree, files = self._tree(event, payload.get("root")), payload.get("files")
        files = [
            file
            for file in (files if isinstance(files, list) else ())
            if isinstance(file, dict) and isinstance(file.get("path"), str)
        ]
        answer = payload.get("answer") if len(files) == 1 else None
        for number, file in enumerate(files):
            # the real path, as the hook saw it
            path, tree = os.path.normpath(text_of(file, "real") or file["path"]), own_tree
            folder = self._of_node(event) if os.path.isabs(path) or not tree else f"{tree}{os.sep}"
            full_path = f"{folder}{path}"
            if tops := [top for top in self._roots if full_path.startswith(f"{top}{os.sep}")]:
                tree = max(tops, key=len)
                path = full_path[len(tree) + 1 :]
            for part, (new, old) in enumerate(_texts_of(file, answer)):
                key = f"{event.event_id}/{number}.{part}"
                text = EditText(key, path, tree, place, begun, new, old, session)
                yield Edit(text, event, text_of(payload, "agent"))

    def _of_node(self, event: Event) -> str:
        """Returns what stands before the paths of an event: "" if it is of this log.

        Clones of a team may have the same path, each on its own machine.
        """
        return "" if event.node_id in self._nodes else f"{event.node_id}:"

    def _tree(self, event: Event, root: Any) -> str | None:
        """Returns the working tree of an event, which has a top folder and a node."""
        is_path = isinstance(root, str) and root and "\0" not in root
        return f"{self._of_node(event)}{self._real(root)}" if is_path else None

    @cached_property
    def _roots(self) -> frozenset[str]:
        tops = {record.root for record in self.commits.values()} | {
            self._tree(event, event.cut_payload.get("root")) for _, _, event in self.edited
        }
        return frozenset(filter(None, (*tops, self._top)))


def _texts_of(file: Mapping[str, Any], answer: object) -> Iterator[tuple[str, str | None]]:
    """Yields what an edit left, and what stood there before: None if that is unknown.

    Claude Code's answer has hunks of whole lines. What the user changed before it was written
    replaced something unknown.
    """
    added, removed = file.get("added"), file.get("removed")
    if not isinstance(added, str):
        return
    if file.get("is_user_modified"):
        yield added, None
        return
    hunks = answer.get("structuredPatch") if isinstance(answer, Mapping) else None
    has_sides = False
    for hunk in hunks if isinstance(hunks, list) else ():
        lines = hunk.get("lines") if isinstance(hunk, Mapping) else None
        texts = [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []
        new, old = ([line[1:] for line in texts if line[:1] in (" ", sign)] for sign in "+-")
        if new:
            has_sides = True
            yield "\n".join([*new, ""]), "\n".join([*old, ""])
    if not has_sides:
        before = "" if file.get("is_hunk") is True else None  # a patch for a new file
        yield added, removed if isinstance(removed, str) else before
