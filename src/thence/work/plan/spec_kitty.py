"""The history that spec-kitty keeps in a feature's files, as the events that an import appends.

A package's history is in its file in tasks/: a `lane` among its fields, and below the heading
`## Activity Log` a line for each move or note, such as
`- 2025-11-20T10:00:00Z – agent – shell_pid=4711 – lane=doing – text`. Dashes vary, and any field
may be missing. In an older form the file is in a folder that is named after its lane. Newer
versions keep the moves in status.events.jsonl, which then decides about the lanes: each line is an
object with `event_id`, `at`, `wp_id`, `from_lane`, `to_lane`, and more. That file is only ever
appended to and merged by git, so times order it, as in spec-kitty itself. Lanes are mapped to those
of thence.

Each event has a `source_id` that is the same at the next import. Errors do not end the reading:
what could not be read is returned beside the events.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, NamedTuple, get_args

from thence.core.clock import microseconds, timestamp_of
from thence.core.json_values import is_utf8
from thence.errors import PlanningError
from thence.work.events import Lane
from thence.work.names import digits_of, is_slug, is_wp_id, name_of
from thence.work.plan.frontmatter import Fields, read
from thence.work.plan.planning_files import Planning
from thence.work.plan.prose import MarkdownLine, lines_of
from thence.work.plan.tasks import Tasks
from thence.work.plan.tasks import parse as parse_tasks

FILES_SOURCE = "kitty-specs"
STATUS_SOURCE = "spec-kitty"
STATUS_NAME = "status.events.jsonl"
LANES: tuple[str, ...] = get_args(Lane)
NOT_A_SLUG = "the folder is not named like 028-sync or sync-01KVTVZS, in lower case"
_NOBODY = "user"
_MISSION = "software-dev"
_FILE = re.compile(r"(WP[0-9]{2,4})(?![0-9A-Za-z])")
# spec-kitty's lanes that have other names here
_LANES: Mapping[str, str] = {
    "claimed": "doing",
    "in_progress": "doing",
    "in_review": "for_review",
    "approved": "for_review",
    "canceled": "rejected",
    "cancelled": "rejected",
}
_BLOCKED = "blocked"  # the package stays in its lane
# the members of a status line that are kept beside its reason
_EXTRA = ("review_ref", "evidence")
_HEADING = "activity log"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US_MAX = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
# it begins at the first of its spaces, which are looked at once
_DASH = r"(?<![ \t])[ \t]++(?:[–—−]|--?)(?:[ \t]++|$)"
_ENTRY = re.compile(rf"\s*[-*+]\s+(\d{{4}}-\S+(?: \d{{1,2}}:\S+)?){_DASH}(.*)")
_BULLET = re.compile(r"\s*[-*+]\s+\S")
_DASH_PATTERN = re.compile(_DASH)
_FIELD = re.compile(r"(\w+)=(\S*)")


class ImportedEvent(NamedTuple):
    """An event read from planning files; `timestamp` is in an event's form, empty if unknown.

    `payload` fits the type. `file` and `line` are the source of the event.
    """

    event_type: str
    payload: dict[str, Any]
    feature_slug: str
    actor: str
    timestamp: str
    source: str
    source_id: str
    file: str
    line: int


class Unread(NamedTuple):
    """A part that could not be read, and the reason; `line` counts from 1, 0 for a whole file."""

    file: str
    line: int
    reason: str


class FeatureHistory(NamedTuple):
    """The history of a feature in order of time, and the parts that could not be read."""

    events: tuple[ImportedEvent, ...]
    unread: tuple[Unread, ...]


class StatusLine(NamedTuple):
    """One line: the move of a package to a lane.

    `lane` is that of thence, empty where the package stays; `lane_name` is spec-kitty's own name.
    """

    event_id: str
    timestamp: str
    wp_id: str
    actor: str
    lane: str
    lane_name: str
    reason: str
    further: str
    line: int


def history_in(planning: Planning, slug: str) -> FeatureHistory:
    """Reads the history in the planning files of a feature, and the parts that can't be read.

    The files are those of the main working tree.
    """
    unread: list[Unread] = []

    def read_file(path: str) -> bytes | None:
        try:
            return planning.read(None, path)
        except PlanningError as error:
            unread.append(Unread(_as_text(path), 0, error.cause))
            return None

    meta = read_file(planning.path(slug, "meta.json"))
    path = planning.path(slug, "tasks.md")
    tasks = read_file(path)
    files = {}
    for name, lane in planning.package_files(None, slug):
        data = read_file(name)
        if data is not None:
            files[_as_text(name)] = data
            if lane and lane not in LANES:
                unread.append(Unread(_as_text(name), 0, f"unknown lane {lane!r:.80}"))
    status = read_file(planning.path(slug, STATUS_NAME))
    parsed = parse_tasks(tasks, path) if tasks is not None else None
    history = history_of(slug, meta, parsed, files, planning.branch_of(slug), status)
    return FeatureHistory(history.events, tuple(sorted((*history.unread, *unread))))


def _as_text(path: str) -> str:
    """Returns a path as text; bytes that are no UTF-8 are replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def history_of(
    slug: str,
    meta: bytes | None,
    tasks: Tasks | None,
    files: Mapping[str, bytes],
    target_branch: str = "main",
    status: bytes | None = None,
) -> FeatureHistory:
    """Reads a feature: its meta.json, tasks.md as parsed, package files by path, status lines.

    `target_branch` holds where meta.json names none. A package is in tasks.md, has a file,
    or both; it begins in lane planned.
    """
    reader = _HistoryReader(slug)
    if not is_slug(slug):
        return FeatureHistory((), (Unread(reader.folder, 0, NOT_A_SLUG),))
    return reader.history(meta, tasks, files, target_branch, status or b"")


class _Package:
    """One package while it is read: the fields of its file, and its present lane."""

    def __init__(self, wp_id: str, file: str, fields: Fields, folder_lane: str) -> None:
        self.wp_id = wp_id
        self.file = file
        self.fields = fields
        self.lane_in_file = one_line(fields.text("lane")) or folder_lane
        self.actor = one_line(fields.text("agent")) or _NOBODY
        self.lane = "planned"
        self.has_status_log = False


class _HistoryReader:
    """One reading of one feature."""

    def __init__(self, slug: str) -> None:
        self.slug = slug
        self.folder = f"kitty-specs/{slug}"
        self.status_file = f"{self.folder}/{STATUS_NAME}"
        self._unread: list[Unread] = []

    def history(
        self,
        meta: bytes | None,
        tasks: Tasks | None,
        files: Mapping[str, bytes],
        target_branch: str,
        status: bytes,
    ) -> FeatureHistory:
        values = self._status_lines(status)
        packages: dict[str, _Package] = {}
        moves: list[tuple[str, ImportedEvent]] = []
        for file, data in sorted(files.items()):
            package = self._package(file, data)
            if package is None:
                continue
            if package.wp_id in packages:
                first = packages[package.wp_id].file
                self._report(file, 0, f"{package.wp_id} has another file, {first}")
                continue
            packages[package.wp_id] = package
            package.has_status_log = package.wp_id in values
            latest = ""
            for event in self._moves(package, data):
                latest = max(latest, event.timestamp) if event.timestamp else "~"
                moves.append((latest, event))
        for wp_id in values:
            packages.setdefault(wp_id, _Package(wp_id, self.status_file, Fields({}, "", 1), ""))
            for line in values[wp_id]:
                stated = self._stated(packages[wp_id], line)
                moves += [(line.timestamp, event) for event in stated]
        created = self._creations(packages, tasks)
        beginning = self._beginning(meta, len(created), target_branch)
        moves.sort(key=lambda move: move[0])
        done = self._ticks(tasks)
        moved = [event for _, event in moves]
        return FeatureHistory((*beginning, *created, *moved, *done), tuple(sorted(self._unread)))

    def _beginning(self, meta: bytes | None, count: int, target_branch: str) -> list[ImportedEvent]:
        """Returns the events of the feature's beginning, by its meta.json."""
        file = f"{self.folder}/meta.json"
        values = self._meta(file, meta)
        names = (values.get(key) for key in ("friendly_name", "name", "title"))
        title = next((one_line(name) for name in names if one_line(name)), "")
        spec = {
            "feature_slug": self.slug,
            "title": title or name_of(self.slug).replace("-", " "),
            "mission": one_line(values.get("mission") or values.get("mission_type")) or _MISSION,
        }
        when = written_time(str(values.get("created_at", "")))
        feature = {
            "feature_slug": self.slug,
            "target_branch": one_line(values.get("target_branch")) or target_branch,
            "wp_count": count,
        }
        if digits := digits_of(self.slug):
            feature["feature_number"] = digits
        if when:
            feature["created_at"] = when
        return [
            self._event("SpecCreated", spec, "spec", file, 0, timestamp=when),
            self._event("FeatureCreated", feature, "created", file, 0, timestamp=when),
        ]

    def _meta(self, file: str, data: bytes | None) -> dict[str, Any]:
        if data is None:
            return {}
        try:
            values = json.loads(data.removeprefix(b"\xef\xbb\xbf"))
        except (ValueError, RecursionError) as error:
            self._report(file, getattr(error, "lineno", 1), f"it is not JSON: {error}")
            return {}
        if not isinstance(values, dict):
            self._report(file, 1, "it is not a JSON object")
            return {}
        return values

    def _package(self, file: str, data: bytes) -> _Package | None:
        try:
            fields = read(data, file)
        except PlanningError as error:
            line = error.problems[0]["line"] if error.problems else 1
            self._report(file, line if isinstance(line, int) else 1, error.cause)
            fields = Fields({}, "", 1)
        path = PurePosixPath(file)
        named = _FILE.match(path.name)
        wp_id = fields.text("work_package_id") or (named[1] if named else "")
        if not is_wp_id(wp_id):
            if wp_id or path.name.upper().startswith("WP"):
                self._report(file, 1, f"{wp_id or path.name!r} is not a package's id")
            return None
        folder = path.parent.name if path.parent.name in LANES else ""
        return _Package(wp_id, file, fields, folder)

    def _creations(
        self, packages: Mapping[str, _Package], tasks: Tasks | None
    ) -> list[ImportedEvent]:
        """Returns one WPCreated for each package that has a file or stands in tasks.md."""
        values = {package.wp_id: package for package in tasks.packages} if tasks else {}
        for problem in tasks.problems if tasks else ():
            self._report(problem.file, problem.line, problem.message)
        created = []
        for wp_id in sorted({*packages, *values}, key=lambda name: (len(name), name)):
            package, plan = packages.get(wp_id), values.get(wp_id)
            title = one_line(package.fields.text("title")) if package else ""
            payload: dict[str, Any] = {
                "wp_id": wp_id,
                "title": title or (one_line(plan.title) if plan else "") or wp_id,
                "feature_slug": self.slug,
            }
            needed = self._dependencies(package) if package else []
            needed = needed or (list(plan.dependencies) if plan else [])
            needed = [name for name in needed if is_wp_id(name)]
            payload["dependencies"] = needed
            file = package.file if package else f"{self.folder}/tasks.md"
            line = 1 if package or plan is None else plan.line
            created.append(self._event("WPCreated", payload, f"{wp_id}/created", file, line))
        return created

    def _dependencies(self, package: _Package) -> list[str]:
        listed = package.fields.values.get("dependencies")
        ids = [str(wp_id) for wp_id in listed] if isinstance(listed, list) else []
        for wp_id in ids:
            if not is_wp_id(wp_id):
                self._report(package.file, 1, f"the dependency {wp_id!r:.80} is not a package's id")
        return ids

    def _moves(self, package: _Package, data: bytes) -> Iterator[ImportedEvent]:
        """Yields the events of the Activity Log, then a move to the file's lane if that differs."""
        entries, unread = entries_of(data, package.fields.line)
        for line in unread:
            self._report(package.file, line, "the line does not begin with a time")
        for entry in entries:
            key = f"{package.wp_id}/log/{entry.digest}"
            position = (package.file, entry.line, entry.actor or _NOBODY, entry.timestamp)
            is_move = entry.lane in LANES and not package.has_status_log
            if is_move and entry.lane != package.lane:
                yield self._move(package, entry.lane, entry.text, key, *position)
                continue
            text = entry.text
            if entry.lane and entry.lane not in LANES and not package.has_status_log:
                self._report(package.file, entry.line, f"unknown lane {entry.lane!r:.80}")
                text = f"lane={entry.lane} – {text}" if text else f"lane={entry.lane}"
            if text:
                yield self._note(package, text, key, *position)
        lane, line = package.lane_in_file, _line_of_lane(data)
        if package.has_status_log:
            return
        if lane and lane not in LANES:
            self._report(package.file, line, f"unknown lane {lane!r:.80}")
        elif lane and lane != package.lane:
            key = f"{package.wp_id}/lane"
            yield self._move(package, lane, "", key, package.file, line, package.actor, "")

    def _status_lines(self, data: bytes) -> dict[str, list[StatusLine]]:
        """Reads the lines of status.events.jsonl, by package."""
        lines, unread = status_lines(data)
        for number, reason in unread:
            self._report(self.status_file, number, reason)
        by_package: dict[str, list[StatusLine]] = {}
        for line in lines:
            by_package.setdefault(line.wp_id, []).append(line)
        return by_package

    def _stated(self, package: _Package, line: StatusLine) -> Iterator[ImportedEvent]:
        """Yields the events of a status line: a move, and a note for the rest of the line."""
        position = (self.status_file, line.line, line.actor or _NOBODY, line.timestamp)
        is_move = bool(line.lane) and line.lane != package.lane
        if is_move:
            event = self._move(package, line.lane, line.reason, "", *position)
            yield event._replace(source=STATUS_SOURCE, source_id=line.event_id)
        parts = () if is_move else (f"lane={line.lane_name}", line.reason)
        text = " – ".join(filter(None, (*parts, line.further)))
        if text:
            event = self._note(package, text, "", *position)
            source_id = f"{line.event_id}/note"
            yield event._replace(source=STATUS_SOURCE, source_id=source_id)

    def _note(self, package: _Package, text: str, key: str, *position: Any) -> ImportedEvent:
        payload = {
            "wp_id": package.wp_id,
            "entry_type": "note",
            "entry_content": text,
            "author": position[2],
        }
        return self._event("HistoryAdded", payload, key, *position)

    def _move(
        self, package: _Package, lane: str, reason: str, key: str, *position: Any
    ) -> ImportedEvent:
        payload = {
            "wp_id": package.wp_id,
            "previous_status": package.lane,
            "new_status": lane,
            "changed_by": position[2],
            "feature_slug": self.slug,
        }
        if reason:
            payload["reason"] = reason
        package.lane = lane
        return self._event("WPStatusChanged", payload, key, *position)

    def _ticks(self, tasks: Tasks | None) -> list[ImportedEvent]:
        """Returns one SubtaskCompleted for each ticked box."""
        ticked = []
        for package in tasks.packages if tasks else ():
            for subtask in package.subtasks:
                if subtask.is_done:
                    payload = {
                        "work_package_id": package.wp_id,
                        "subtask_index": subtask.id,
                        "subtask_text": subtask.text,
                    }
                    file, key = f"{self.folder}/tasks.md", f"{subtask.id}/done"
                    ticked.append(self._event("SubtaskCompleted", payload, key, file, subtask.line))
        return ticked

    def _event(
        self,
        event_type: str,
        payload: dict[str, Any],
        key: str,
        file: str,
        line: int,
        actor: str = _NOBODY,
        timestamp: str = "",
    ) -> ImportedEvent:
        source_id = f"{self.slug}/{key}"
        return ImportedEvent(
            event_type, payload, self.slug, actor, timestamp, FILES_SOURCE, source_id, file, line
        )

    def _report(self, file: str, line: int, reason: str) -> None:
        self._unread.append(Unread(file, line, reason))


def _line_of_lane(data: bytes) -> int:
    """Returns the number of the line that names the lane, 1 if none does."""
    match = re.search(rb"^[ \t]*[\"']?lane[\"']?[ \t]*:", data, re.MULTILINE)
    return data[: match.start()].count(b"\n") + 1 if match else 1


def status_lines(data: bytes) -> tuple[list[StatusLine], list[tuple[int, str]]]:
    """Returns the lines in the order of their times, each event_id once.

    The second value are the numbers of lines that could not be read, with the reasons. A line with
    an unknown lane is among them too, though it is returned.
    """
    by_id: dict[str, StatusLine] = {}
    unread: list[tuple[int, str]] = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        line = _status_line(raw, number)
        if isinstance(line, str):
            unread.append((number, line))
            continue
        lane = _LANES.get(line.lane_name, line.lane_name)
        if lane not in LANES:
            if lane != _BLOCKED:
                unread.append((number, f"unknown lane {line.lane_name!r:.80}"))
            lane = ""
        by_id.setdefault(line.event_id, line._replace(lane=lane))
    return sorted(by_id.values(), key=lambda line: (line.timestamp, line.event_id)), unread


def _status_line(raw: bytes, number: int) -> StatusLine | str:
    """Reads one line; a text is the reason that it can't be read."""
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        return "the line is not JSON"
    if not isinstance(values, dict):
        return "the line is not a JSON object"
    event_id, wp_id, lane = (
        one_line(values.get(name)) for name in ("event_id", "wp_id", "to_lane")
    )
    timestamp = written_time(one_line(values.get("at")) or one_line(values.get("timestamp")))
    if not event_id or not lane:
        return f"the line has no {'to_lane' if event_id else 'event_id'}"
    if not is_wp_id(wp_id):
        return f"{wp_id!r:.80} is not a package's id"
    if not timestamp:
        return "the line has no time"
    return StatusLine(
        event_id,
        timestamp,
        wp_id,
        _actor(values.get("actor")),
        "",
        lane,
        one_line(values.get("reason")),
        _extra(values),
        number,
    )


def _extra(values: Mapping[str, Any]) -> str:
    extra = {name: values[name] for name in _EXTRA if values.get(name)}
    text = json.dumps(extra, ensure_ascii=False) if extra else ""
    return text if is_utf8(text) else json.dumps(extra)


def _actor(value: object) -> str:
    """Returns the actor: the text, or the tool's name in an object."""
    if isinstance(value, dict):
        value = value.get("tool") or value.get("name")
    return one_line(value)


def one_line(value: object) -> str:
    """Returns a text on one line; empty for any other value."""
    return " ".join(value.split()) if isinstance(value, str) and is_utf8(value) else ""


class ActivityLine(NamedTuple):
    """One line of an Activity Log; `timestamp` is in an event's form, missing fields are empty.

    `digest` does not depend on the line's position, and differs between equal lines.
    """

    line: int
    timestamp: str
    actor: str
    lane: str
    text: str
    digest: str


def entries_of(data: bytes, line: int = 1) -> tuple[tuple[ActivityLine, ...], tuple[int, ...]]:
    """Returns the entries of a file's Activity Log, and the numbers of lines that are none.

    `line` is the first line of the Markdown, behind the fields. Prose is ignored; a bullet without
    a time is reported.
    """
    skipped = line - 1
    body = b"\n".join(data.split(b"\n")[skipped:])
    entries: list[ActivityLine] = []
    unread: list[int] = []
    seen: dict[str, int] = {}
    for bullet in _bullets(body):
        entry = _entry(bullet.number + skipped, bullet.text)
        if entry is None:
            unread.append(bullet.number + skipped)
            continue
        times = seen[entry.digest] = seen.get(entry.digest, 0) + 1
        digest = entry.digest if times == 1 else f"{entry.digest}.{times}"
        entries.append(entry._replace(digest=digest))
    return tuple(entries), tuple(unread)


def written_time(text: str) -> str:
    """Returns a written time in an event's form; empty for what is none, or before 1970."""
    us = microseconds(text)
    if us is None or not 0 <= us <= _US_MAX:
        return ""
    return timestamp_of(_EPOCH + timedelta(microseconds=us))


def _bullets(body: bytes) -> Iterator[MarkdownLine]:
    """Yields the bullets below the heading, up to the next heading of its level."""
    level = 0
    for line in lines_of(body).lines:
        if line.level and _HEADING in line.text.casefold():
            level = line.level
        elif line.level:
            level = level if line.level > level else 0
        elif level and _BULLET.match(line.text):
            yield line


def _entry(number: int, text: str) -> ActivityLine | None:
    match = _ENTRY.fullmatch(text)
    timestamp = written_time(match[1]) if match else ""
    if match is None or not timestamp:
        return None
    fields: dict[str, str] = {}
    rest = match[2]
    actor, position = _part(rest, 0)
    if _FIELD.fullmatch(actor.strip()):
        actor, position = "", 0
    while position < len(rest):
        part, behind = _part(rest, position)
        field = _FIELD.fullmatch(part.strip())
        if field is None:
            break
        fields[field[1]], position = field[2], behind
    actor = actor.strip(" \t`*") or fields.get("agent", "")
    digest = sha256(text.strip().encode()).hexdigest()[:16]
    return ActivityLine(
        number, timestamp, actor, fields.get("lane", ""), rest[position:].strip(), digest
    )


def _part(text: str, start: int) -> tuple[str, int]:
    """Returns the text from a position to the next dash, and the position behind that."""
    dash = _DASH_PATTERN.search(text, start)
    return (text[start : dash.start()], dash.end()) if dash else (text[start:], len(text))
