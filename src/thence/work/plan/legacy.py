"""The history of an existing feature in its planning files, read without changes.

Before there was a log, tools kept a package's lane in the fields of its file (or in the name of the
file's folder), and its history as lines below `## Activity Log`. Newer tools keep the moves in a
file of their own, which then decides about the lanes. This module turns them into the events that
`work import` appends, each with a `source_id` that is the same at the next import, and a list of
the parts that could not be read. Errors do not end the reading.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple, get_args

from thence.errors import PlanningError
from thence.work.events import Lane
from thence.work.naming import digits_of, is_slug, is_wp_id, name_of
from thence.work.plan import status_log
from thence.work.plan.frontmatter import Fields, read
from thence.work.plan.status_log import entries_of, one_line, written_time
from thence.work.plan.tasks import Tasks

SOURCE = "kitty-specs"
LANES: tuple[str, ...] = get_args(Lane)
NOBODY = "user"
MISSION = "software-dev"
NOT_A_SLUG = "the folder is not named like 028-sync or sync-01KVTVZS, in lower case"
_FILE = re.compile(r"(WP[0-9]{2,4})(?![0-9A-Za-z])")


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
        self.actor = one_line(fields.text("agent")) or NOBODY
        self.lane = "planned"
        self.has_status_log = False


class _HistoryReader:
    """One reading of one feature."""

    def __init__(self, slug: str) -> None:
        self.slug = slug
        self.folder = f"kitty-specs/{slug}"
        self.status_file = f"{self.folder}/{status_log.NAME}"
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
                moves += [(line.timestamp, each) for each in self._stated(packages[wp_id], line)]
        created = self._creations(packages, tasks)
        begun = self._beginning(meta, len(created), target_branch)
        moves.sort(key=lambda move: move[0])
        done = self._ticks(tasks)
        moved = [event for _, event in moves]
        return FeatureHistory((*begun, *created, *moved, *done), tuple(sorted(self._unread)))

    def _beginning(self, meta: bytes | None, count: int, target_branch: str) -> list[ImportedEvent]:
        """Returns the events of the feature's beginning, by its meta.json."""
        file = f"{self.folder}/meta.json"
        values = self._meta(file, meta)
        names = (values.get(key) for key in ("friendly_name", "name", "title"))
        title = next((one_line(name) for name in names if one_line(name)), "")
        spec = {
            "feature_slug": self.slug,
            "title": title or name_of(self.slug).replace("-", " "),
            "mission": one_line(values.get("mission") or values.get("mission_type")) or MISSION,
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
            self._report(file, getattr(error, "lineno", 1), f"it is no JSON: {error}")
            return {}
        if not isinstance(values, dict):
            self._report(file, 1, "it is no JSON object")
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
        found = _FILE.match(path.name)
        wp_id = fields.text("work_package_id") or (found[1] if found else "")
        if not is_wp_id(wp_id):
            if wp_id or path.name.upper().startswith("WP"):
                self._report(file, 1, f"{wp_id or path.name!r} is no package's id")
            return None
        folder = path.parent.name if path.parent.name in LANES else ""
        return _Package(wp_id, file, fields, folder)

    def _creations(
        self, packages: Mapping[str, _Package], tasks: Tasks | None
    ) -> list[ImportedEvent]:
        """Returns one WPCreated for each package that has a file or stands in tasks.md."""
        values = {each.wp_id: each for each in tasks.packages} if tasks else {}
        for problem in tasks.problems if tasks else ():
            self._report(problem.file, problem.line, problem.message)
        created = []
        for wp_id in sorted({*packages, *values}, key=lambda each: (len(each), each)):
            package, plan = packages.get(wp_id), values.get(wp_id)
            title = one_line(package.fields.text("title")) if package else ""
            payload: dict[str, Any] = {
                "wp_id": wp_id,
                "title": title or (one_line(plan.title) if plan else "") or wp_id,
                "feature_slug": self.slug,
            }
            needed = self._dependencies(package) if package else []
            needed = needed or (list(plan.dependencies) if plan else [])
            needed = [each for each in needed if is_wp_id(each)]
            payload["dependencies"] = needed
            file = package.file if package else f"{self.folder}/tasks.md"
            line = 1 if package or plan is None else plan.line
            created.append(self._event("WPCreated", payload, f"{wp_id}/created", file, line))
        return created

    def _dependencies(self, package: _Package) -> list[str]:
        given = package.fields.values.get("dependencies")
        ids = [str(each) for each in given] if isinstance(given, list) else []
        for each in ids:
            if not is_wp_id(each):
                self._report(package.file, 1, f"the dependency {each!r:.80} is no package's id")
        return ids

    def _moves(self, package: _Package, data: bytes) -> Iterator[ImportedEvent]:
        """Yields the events of the Activity Log, then a move to the file's lane if that differs."""
        entries, unread = entries_of(data, package.fields.line)
        for line in unread:
            self._report(package.file, line, "the line does not begin with a time")
        for entry in entries:
            key = f"{package.wp_id}/log/{entry.digest}"
            position = (package.file, entry.line, entry.actor or NOBODY, entry.timestamp)
            is_move = entry.lane in LANES and not package.has_status_log
            if is_move and entry.lane != package.lane:
                yield self._move(package, entry.lane, entry.text, key, *position)
                continue
            text = entry.text
            if entry.lane and entry.lane not in LANES and not package.has_status_log:
                self._report(package.file, entry.line, f"nobody knows the lane {entry.lane!r:.80}")
                text = f"lane={entry.lane} – {text}" if text else f"lane={entry.lane}"
            if text:
                yield self._note(package, text, key, *position)
        lane, line = package.lane_in_file, _line_of_lane(data)
        if package.has_status_log:
            return
        if lane and lane not in LANES:
            self._report(package.file, line, f"nobody knows the lane {lane!r:.80}")
        elif lane and lane != package.lane:
            key = f"{package.wp_id}/lane"
            yield self._move(package, lane, "", key, package.file, line, package.actor, "")

    def _status_lines(self, data: bytes) -> dict[str, list[status_log.StatusLine]]:
        """Reads the lines of status.events.jsonl, by package."""
        lines, unread = status_log.status_lines(data, LANES)
        for number, reason in unread:
            self._report(self.status_file, number, reason)
        found: dict[str, list[status_log.StatusLine]] = {}
        for line in lines:
            found.setdefault(line.wp_id, []).append(line)
        return found

    def _stated(self, package: _Package, line: status_log.StatusLine) -> Iterator[ImportedEvent]:
        """Yields the events of a status line: a move, and a note for the rest of the line."""
        position = (self.status_file, line.line, line.actor or NOBODY, line.timestamp)
        is_move = bool(line.lane) and line.lane != package.lane
        if is_move:
            found = self._move(package, line.lane, line.reason, "", *position)
            yield found._replace(source=status_log.SOURCE, source_id=line.event_id)
        parts = () if is_move else (f"lane={line.lane_name}", line.reason)
        text = " – ".join(filter(None, (*parts, line.further)))
        if text:
            found = self._note(package, text, "", *position)
            source_id = f"{line.event_id}/note"
            yield found._replace(source=status_log.SOURCE, source_id=source_id)

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
        actor: str = NOBODY,
        timestamp: str = "",
    ) -> ImportedEvent:
        source_id = f"{self.slug}/{key}"
        return ImportedEvent(
            event_type, payload, self.slug, actor, timestamp, SOURCE, source_id, file, line
        )

    def _report(self, file: str, line: int, reason: str) -> None:
        self._unread.append(Unread(file, line, reason))


def _line_of_lane(data: bytes) -> int:
    """Returns the number of the line that names the lane, 1 if none does."""
    found = re.search(rb"^[ \t]*[\"']?lane[\"']?[ \t]*:", data, re.MULTILINE)
    return data[: found.start()].count(b"\n") + 1 if found else 1
