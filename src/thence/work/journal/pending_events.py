"""The recovery of events that a command could not write: the journal was full, busy or read-only.

A command whose work is in git does it nevertheless, and puts the missing events into the message of
its commit, a line each: `Thence-Pending: {…}`. The next command that finds such a commit on a
branch appends the event, with the source "recovered". Without a commit the lines wait in a file of
the shared git folder.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from thence.core.event import Event
from thence.core.values.new_event import cause_ids
from thence.replica import new_id, now
from thence.work.journal.store import WorkEvent
from thence.work.vcs.locks import held
from thence.work.vcs.repository import Repository

SOURCE = "recovered"
_KEY = "Thence-Pending: "
_COMMITS_MAX = 1_000


class Pending(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that waits in the message of a commit."""

    id: str
    type: str
    payload: dict[str, Any]
    actor: str
    at: str
    feature: str | None = None
    causes: tuple[str, ...] = ()


def pending_lines(new_events: Sequence[WorkEvent], actor: str) -> list[str]:
    """Returns events that could not be written as lines of a commit's message, one each."""
    lines = []
    for one in new_events:
        waiting = Pending(
            one.source_id or one.event_id,
            one.event_type,
            {key: value for key, value in one.payload.items() if value is not None},
            one.actor or actor,
            one.timestamp or now(),
            one.feature,
            cause_ids(one.caused_by),
        )
        lines.append(_KEY + msgspec.json.encode(waiting).decode())
    return lines


def store_pending(path: Path, new_events: Sequence[WorkEvent], actor: str) -> None:
    """Stores events that could not be written in a file; raises OSError, GitFailed."""
    with held(path.with_suffix(".lock")), path.open("a") as file:
        file.write("".join(f"{line}\n" for line in pending_lines(new_events, actor)))
        file.flush()
        os.fsync(file.fileno())


def recover_file(path: Path, append: Callable[[Sequence[Pending]], None]) -> None:
    """Passes the events that wait in a file to `append`, and deletes the file then."""
    if path.exists():
        with held(path.with_suffix(".lock")):
            append(tuple(_read(path.read_bytes())))
            path.unlink()


@contextmanager
def waiting_lines(path: Path) -> Iterator[list[str]]:
    """Yields the lines that wait in a file, and deletes the file if the caller clears them."""
    if not path.exists():
        yield []
        return
    with held(path.with_suffix(".lock")):
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        is_there = bool(lines)
        yield lines
        if is_there and not lines:
            path.unlink()


def pending_in_commits(repo: Repository, old: str | None, new: str) -> tuple[Pending, ...]:
    """Returns the events that wait in the commits of a branch since `old`, oldest first.

    Without `old` the last 1,000 commits are searched.
    """
    reach = [f"^{old}"] if old else [f"--max-count={_COMMITS_MAX}"]
    arguments = ("log", "-z", "--reverse", "--format=%B", "--fixed-strings", f"--grep={_KEY}")
    answer = repo.git.ask(*arguments, *reach, new, "--")
    if answer.status:  # `old` is no commit of this repository any more
        return ()
    return tuple(_read(answer.out))


def _read(messages: bytes) -> Iterator[Pending]:
    for line in messages.replace(b"\0", b"\n").splitlines():
        if line.startswith(_KEY.encode()):
            try:
                yield msgspec.json.decode(line[len(_KEY) :], type=Pending)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue


def events_to_recover(waiting: Sequence[Pending], events: Sequence[Event]) -> list[WorkEvent]:
    """Returns the waiting events that the journal lacks, each once, with their causes."""
    known = recovered(events) | {event.event_id: event.event_id for event in events}
    new_events = []
    for one in waiting:
        if one.id in known:
            continue
        known[one.id] = new_id()
        new_events.append(
            WorkEvent(
                one.type,
                one.payload,
                one.feature,
                tuple(known[cause] for cause in one.causes if cause in known),
                actor=one.actor,
                source=SOURCE,
                source_id=one.id,
                timestamp=one.at,
                event_id=known[one.id],
            )
        )
    return new_events


def recovered(events: Sequence[Event]) -> dict[str, str]:
    """Returns the ids of recovered events by the ids or names that they were recovered from."""
    return {
        event.header.source_id: event.event_id
        for event in events
        if event.header.source == SOURCE and event.header.source_id
    }
